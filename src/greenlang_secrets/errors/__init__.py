"""Everything this library raises on purpose.

SecretsError
├── ConfigurationError          a setting is missing or wrong
├── InvalidRequest              the caller's input, refused before anything is sent
│   ├── InvalidPath
│   │   └── ReservedName
│   ├── InvalidTenant
│   ├── InvalidVersion
│   ├── InvalidSecret
│   ├── SecretTooLarge
│   └── NotRotatable            no rotation policy, or one that does not fit
├── AccessDenied                the caller, or Vault's policy, may not
├── SecretUnavailable           there is no value to give
│   ├── SecretNotFound
│   ├── SecretDeleted
│   └── VersionNotFound
├── Conflict                    the state in Vault is another than the caller thought
│   ├── VersionConflict
│   │   └── SecretExists
│   ├── VersionDestroyed
│   ├── PathIsFolder
│   ├── AncestorIsSecret
│   ├── SecretTypeMismatch      it is declared as another type
│   ├── SecretIncomplete        a field is missing, or not what its type needs
│   ├── ObjectExists
│   ├── LeaseExpired
│   ├── NotRenewable
│   ├── RotationInProgress
│   └── OverlapInProgress       consumers may still use the credential before
├── PreconditionRequired        Vault demands CAS for this secret
├── ObjectNotFound              Vault has no such role, key, certificate, policy, mount, token
├── CiphertextRefused           it does not fit the key, the context or the associated data
│   └── CiphertextTooOld
├── WrappingTokenUsed           an alarm: somebody else may have opened it
├── WrappingTokenForeign        an alarm: another request made it
├── RotationFailed              a step failed, and is tried again later
├── RotationFenced              the target has seen a later owner
├── RotationLost                the record has another owner
├── NeedsUnmet                  declared needs: missing, denied or without what they name
│   └── NeedsUnavailable        all of them may be there later
├── AuditUnavailable            no durable record, so no value
├── CatalogueUnavailable        the database beside Vault
└── VaultError                  Vault, or the way to it
    ├── VaultUnavailable
    ├── VaultProtocolError
    ├── VaultRefused
    ├── AuthenticationLost
    └── OutcomeUnknown

Texts are fixed: they say what was attempted, on which path, and what to do.
They never hold a value, a token, Vault's own words (which quote hosts, users and
databases) or an address. `code` is stable and appears in logs, metrics and HTTP
problems; `retryable` says whether the same call may succeed later unchanged.
"""

from greenlang_secrets.errors.engines import (
    CiphertextRefused,
    CiphertextTooOld,
    LeaseExpired,
    NotRenewable,
    ObjectExists,
    ObjectKind,
    ObjectNotFound,
    WrappingTokenForeign,
    WrappingTokenUsed,
)
from greenlang_secrets.errors.needs import NeedsUnavailable, NeedsUnmet
from greenlang_secrets.errors.records import AuditUnavailable, CatalogueUnavailable
from greenlang_secrets.errors.requests import (
    AccessDenied,
    DenialReason,
    InvalidPath,
    InvalidRequest,
    InvalidSecret,
    InvalidTenant,
    InvalidVersion,
    PreconditionRequired,
    ReservedName,
    SecretTooLarge,
)
from greenlang_secrets.errors.root import (
    ConfigurationError,
    SecretsError,
)
from greenlang_secrets.errors.rotation import (
    NotRotatable,
    OverlapInProgress,
    RotationFailed,
    RotationFailure,
    RotationFenced,
    RotationInProgress,
    RotationLost,
)
from greenlang_secrets.errors.secrets import (
    AncestorIsSecret,
    Conflict,
    PathIsFolder,
    SecretDeleted,
    SecretExists,
    SecretIncomplete,
    SecretNotFound,
    SecretTypeMismatch,
    SecretUnavailable,
    VersionConflict,
    VersionDestroyed,
    VersionNotFound,
)
from greenlang_secrets.errors.vault import (
    AuthenticationLost,
    OutcomeUnknown,
    UnavailableReason,
    VaultError,
    VaultProtocolError,
    VaultRefused,
    VaultUnavailable,
)

__all__ = [
    "AccessDenied",
    "AncestorIsSecret",
    "AuditUnavailable",
    "AuthenticationLost",
    "CatalogueUnavailable",
    "CiphertextRefused",
    "CiphertextTooOld",
    "ConfigurationError",
    "Conflict",
    "DenialReason",
    "InvalidPath",
    "InvalidRequest",
    "InvalidSecret",
    "InvalidTenant",
    "InvalidVersion",
    "LeaseExpired",
    "NeedsUnavailable",
    "NeedsUnmet",
    "NotRenewable",
    "NotRotatable",
    "ObjectExists",
    "ObjectKind",
    "ObjectNotFound",
    "OutcomeUnknown",
    "OverlapInProgress",
    "PathIsFolder",
    "PreconditionRequired",
    "ReservedName",
    "RotationFailed",
    "RotationFailure",
    "RotationFenced",
    "RotationInProgress",
    "RotationLost",
    "SecretDeleted",
    "SecretExists",
    "SecretIncomplete",
    "SecretNotFound",
    "SecretTooLarge",
    "SecretTypeMismatch",
    "SecretUnavailable",
    "SecretsError",
    "UnavailableReason",
    "VaultError",
    "VaultProtocolError",
    "VaultRefused",
    "VaultUnavailable",
    "VersionConflict",
    "VersionDestroyed",
    "VersionNotFound",
    "WrappingTokenForeign",
    "WrappingTokenUsed",
]
