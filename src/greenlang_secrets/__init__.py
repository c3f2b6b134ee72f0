"""Secrets for asyncio services on HashiCorp Vault and OpenBao.

>>> import greenlang_secrets as gs
>>> async def main() -> None:
...     async with gs.SecretsService.open() as secrets:
...         pg = await secrets.get("database/postgresql")
...         connect(pg["password"].reveal())
"""

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
    ConfigurationError,
    Conflict,
    InvalidPath,
    InvalidRequest,
    InvalidSecret,
    InvalidTenant,
    InvalidVersion,
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
)
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
from greenlang_secrets.view import SecretsView

__all__ = [
    "PLATFORM",
    "AccessDenied",
    "AncestorIsSecret",
    "AuthConfig",
    "AuthenticationLost",
    "CacheConfig",
    "ConfigurationError",
    "Conflict",
    "Environment",
    "Health",
    "InvalidPath",
    "InvalidRequest",
    "InvalidSecret",
    "InvalidTenant",
    "InvalidVersion",
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
    "__version__",
]
