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
    from greenlang_secrets.errors import (
        AccessDenied,
        AncestorIsSecret,
        AuthenticationLost,
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
        SecretNotFound,
        SecretsError,
        SecretTooLarge,
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
    from greenlang_secrets.version import __version__
    from greenlang_secrets.view import SecretsView, Subscription, Watch

__all__ = [
    "PLATFORM",
    "AccessDenied",
    "AncestorIsSecret",
    "AuthConfig",
    "AuthenticationLost",
    "CacheConfig",
    "CiphertextRefused",
    "CiphertextTooOld",
    "ConfigurationError",
    "Conflict",
    "Environment",
    "Health",
    "Held",
    "InvalidPath",
    "InvalidRequest",
    "InvalidSecret",
    "InvalidTenant",
    "InvalidVersion",
    "LeaseExpired",
    "NotRenewable",
    "ObjectExists",
    "ObjectNotFound",
    "OutcomeUnknown",
    "Page",
    "PathIsFolder",
    "Permission",
    "Platform",
    "PreconditionRequired",
    "Principal",
    "ReservedName",
    "Scope",
    "Secret",
    "SecretCache",
    "SecretDeleted",
    "SecretEntry",
    "SecretExists",
    "SecretMap",
    "SecretMetadata",
    "SecretNotFound",
    "SecretPath",
    "SecretTooLarge",
    "SecretType",
    "SecretUnavailable",
    "SecretValue",
    "SecretVersion",
    "SecretWritten",
    "SecretsError",
    "SecretsService",
    "SecretsServiceConfig",
    "SecretsView",
    "Subscription",
    "Tenant",
    "TenantContext",
    "TenantId",
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
    "AuthenticationLost": "errors",
    "CacheConfig": "config",
    "ConfigurationError": "errors",
    "Conflict": "errors",
    "Environment": "config",
    "Health": "model",
    "Held": "held",
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
# HTTP client, and pytest, which loads our plugin in every run, for nothing.
def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
