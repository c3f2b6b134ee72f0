"""Secrets for asyncio services on HashiCorp Vault and OpenBao.

>>> import greenlang_secrets as gs
>>> async def main() -> None:
...     async with gs.SecretsService.open() as secrets:
...         pg = await secrets.get("database/postgresql")
...         connect(pg["password"].reveal())
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenlang_secrets.access import Permission, Principal, TenantContext
    from greenlang_secrets.cache import SecretCache
    from greenlang_secrets.config import (
        AuthConfig,
        CacheConfig,
        Environment,
        SecretsServiceConfig,
    )
    from greenlang_secrets.credentials import (
        ApiKey,
        ApiKeyVerifier,
        Bound,
        DatabaseCredentials,
        EncryptionKey,
        RedisCredentials,
        ServiceToken,
        TlsCertificate,
        TypedSecret,
    )
    from greenlang_secrets.errors import (
        AccessDenied,
        AncestorIsSecret,
        AuditUnavailable,
        AuthenticationLost,
        CatalogueUnavailable,
        CiphertextRefused,
        CiphertextTooOld,
        ConfigurationError,
        Conflict,
        InvalidPath,
        InvalidRequest,
        InvalidSecret,
        InvalidTenant,
        InvalidVersion,
        LeaseExpired,
        NotRenewable,
        ObjectExists,
        ObjectNotFound,
        OutcomeUnknown,
        PathIsFolder,
        PreconditionRequired,
        ReservedName,
        SecretDeleted,
        SecretExists,
        SecretIncomplete,
        SecretNotFound,
        SecretsError,
        SecretTooLarge,
        SecretTypeMismatch,
        SecretUnavailable,
        VaultError,
        VaultProtocolError,
        VaultRefused,
        VaultUnavailable,
        VersionConflict,
        VersionDestroyed,
        VersionNotFound,
        WrappingTokenForeign,
        WrappingTokenUsed,
    )
    from greenlang_secrets.held import Held
    from greenlang_secrets.invalidation import Invalidation, InvalidationConfig
    from greenlang_secrets.leases import HeldLease
    from greenlang_secrets.listing import Page
    from greenlang_secrets.model import (
        Health,
        Secret,
        SecretEntry,
        SecretMetadata,
        SecretType,
        SecretVersion,
        SecretWritten,
        Undeleted,
    )
    from greenlang_secrets.paths import PLATFORM, Platform, Scope, SecretPath, Tenant, TenantId
    from greenlang_secrets.sensitive import SecretMap, SecretValue
    from greenlang_secrets.service import SecretsService
    from greenlang_secrets.vault import VaultClient
    from greenlang_secrets.vault.transit_values import Encrypted, Plaintext
    from greenlang_secrets.version import __version__
    from greenlang_secrets.view import Explanation, SecretsView, Subscription, Watch

__all__ = [
    "PLATFORM",
    "AccessDenied",
    "AncestorIsSecret",
    "ApiKey",
    "ApiKeyVerifier",
    "AuditUnavailable",
    "AuthConfig",
    "AuthenticationLost",
    "Bound",
    "CacheConfig",
    "CatalogueUnavailable",
    "CiphertextRefused",
    "CiphertextTooOld",
    "ConfigurationError",
    "Conflict",
    "DatabaseCredentials",
    "Encrypted",
    "EncryptionKey",
    "Environment",
    "Explanation",
    "Health",
    "Held",
    "HeldLease",
    "InvalidPath",
    "InvalidRequest",
    "InvalidSecret",
    "InvalidTenant",
    "InvalidVersion",
    "Invalidation",
    "InvalidationConfig",
    "LeaseExpired",
    "NotRenewable",
    "ObjectExists",
    "ObjectNotFound",
    "OutcomeUnknown",
    "Page",
    "PathIsFolder",
    "Permission",
    "Plaintext",
    "Platform",
    "PreconditionRequired",
    "Principal",
    "RedisCredentials",
    "ReservedName",
    "Scope",
    "Secret",
    "SecretCache",
    "SecretDeleted",
    "SecretEntry",
    "SecretExists",
    "SecretIncomplete",
    "SecretMap",
    "SecretMetadata",
    "SecretNotFound",
    "SecretPath",
    "SecretTooLarge",
    "SecretType",
    "SecretTypeMismatch",
    "SecretUnavailable",
    "SecretValue",
    "SecretVersion",
    "SecretWritten",
    "SecretsError",
    "SecretsService",
    "SecretsServiceConfig",
    "SecretsView",
    "ServiceToken",
    "Subscription",
    "Tenant",
    "TenantContext",
    "TenantId",
    "TlsCertificate",
    "TypedSecret",
    "Undeleted",
    "VaultClient",
    "VaultError",
    "VaultProtocolError",
    "VaultRefused",
    "VaultUnavailable",
    "VersionConflict",
    "VersionDestroyed",
    "VersionNotFound",
    "Watch",
    "WrappingTokenForeign",
    "WrappingTokenUsed",
    "__version__",
]

_HOME = {
    "ApiKey": "credentials",
    "ApiKeyVerifier": "credentials",
    "Bound": "credentials",
    "DatabaseCredentials": "credentials",
    "EncryptionKey": "credentials",
    "RedisCredentials": "credentials",
    "ServiceToken": "credentials",
    "TlsCertificate": "credentials",
    "TypedSecret": "credentials",
    "SecretTypeMismatch": "errors",
    "SecretIncomplete": "errors",
    "Encrypted": "vault.transit_values",
    "Plaintext": "vault.transit_values",
    "ObjectNotFound": "errors",
    "ObjectExists": "errors",
    "LeaseExpired": "errors",
    "NotRenewable": "errors",
    "CiphertextRefused": "errors",
    "CiphertextTooOld": "errors",
    "WrappingTokenUsed": "errors",
    "WrappingTokenForeign": "errors",
    "AccessDenied": "errors",
    "AncestorIsSecret": "errors",
    "AuthConfig": "config",
    "AuditUnavailable": "errors",
    "AuthenticationLost": "errors",
    "CatalogueUnavailable": "errors",
    "CacheConfig": "config",
    "ConfigurationError": "errors",
    "Conflict": "errors",
    "Environment": "config",
    "Explanation": "view",
    "Health": "model",
    "Held": "held",
    "HeldLease": "leases",
    "Invalidation": "invalidation",
    "InvalidationConfig": "invalidation",
    "InvalidPath": "errors",
    "InvalidRequest": "errors",
    "InvalidSecret": "errors",
    "InvalidTenant": "errors",
    "InvalidVersion": "errors",
    "OutcomeUnknown": "errors",
    "PLATFORM": "paths",
    "Page": "listing",
    "PathIsFolder": "errors",
    "Permission": "access",
    "Platform": "paths",
    "PreconditionRequired": "errors",
    "Principal": "access",
    "ReservedName": "errors",
    "Scope": "paths",
    "Secret": "model",
    "SecretCache": "cache",
    "SecretDeleted": "errors",
    "SecretEntry": "model",
    "SecretExists": "errors",
    "SecretMap": "sensitive",
    "SecretMetadata": "model",
    "SecretNotFound": "errors",
    "SecretPath": "paths",
    "SecretTooLarge": "errors",
    "SecretType": "model",
    "SecretUnavailable": "errors",
    "SecretValue": "sensitive",
    "SecretVersion": "model",
    "SecretWritten": "model",
    "SecretsError": "errors",
    "SecretsService": "service",
    "SecretsServiceConfig": "config",
    "SecretsView": "view",
    "Subscription": "view",
    "Tenant": "paths",
    "TenantContext": "access",
    "TenantId": "paths",
    "Undeleted": "model",
    "VaultClient": "vault",
    "VaultError": "errors",
    "VaultProtocolError": "errors",
    "VaultRefused": "errors",
    "VaultUnavailable": "errors",
    "VersionConflict": "errors",
    "VersionDestroyed": "errors",
    "VersionNotFound": "errors",
    "Watch": "view",
    "__version__": "version",
}


# Looked up when asked for: a program that needs the exceptions alone does not pay for the
# HTTP client, and pytest, which loads our plugin in every run, for nothing. A type checker
# knows the names from above, and is not told that any other may be here.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value  # found without this function from now on
        return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
