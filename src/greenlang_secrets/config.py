"""The configuration: one frozen value, its defaults per environment, and how it is read.

How the service logs in is `auth_config`'s part of it; reading variables by name is left to
`settings`. Every refusal names the setting, what was seen (never a secret) and the fix.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from greenlang_secrets.auth_config import AuthConfig, auth_from_settings
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.settings import PREFIX, Settings

__all__ = [
    "AuthConfig",
    "CacheConfig",
    "Environment",
    "EnvironmentDefaults",
    "SecretsServiceConfig",
    "Settings",
]


class Environment(StrEnum):
    """Where the service runs; decides defaults and what is refused."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"

    @classmethod
    def parse(cls, raw: str) -> Environment:
        """Return the environment named `raw`; dev, stage and prod are understood too.

        Raises:
            ConfigurationError: it names none.
        """
        names = {"dev": cls.DEVELOPMENT, "stage": cls.STAGING, "prod": cls.PRODUCTION}
        try:
            return names.get(raw) or cls(raw)
        except ValueError:
            raise ConfigurationError(
                f"{PREFIX}ENVIRONMENT is {raw!r}; use development, staging or production."
            ) from None

    @property
    def defaults(self) -> EnvironmentDefaults:
        """The numbers of this environment."""
        return _DEFAULTS[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentDefaults:
    """The numbers that differ between environments; `k8s/overlays` carry the same.

    Attributes:
        vault_replicas: nodes of the Vault cluster.
        eso_refresh: seconds between two refreshes of an ExternalSecret.
        rotation_interval: seconds between two rotations of a credential.
        lease_ttl: seconds of life of a dynamic credential.
        audit_retention: seconds an audit record is kept in the catalogue.
    """

    vault_replicas: int
    eso_refresh: float
    rotation_interval: float
    lease_ttl: float
    audit_retention: float


_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR

_DEFAULTS: Final[dict[Environment, EnvironmentDefaults]] = {
    Environment.DEVELOPMENT: EnvironmentDefaults(
        vault_replicas=1,
        eso_refresh=60.0,
        rotation_interval=7 * _DAY,
        lease_ttl=24 * _HOUR,
        audit_retention=7 * _DAY,
    ),
    Environment.STAGING: EnvironmentDefaults(
        vault_replicas=3,
        eso_refresh=30.0,
        rotation_interval=_DAY,
        lease_ttl=12 * _HOUR,
        audit_retention=30 * _DAY,
    ),
    Environment.PRODUCTION: EnvironmentDefaults(
        vault_replicas=5,
        eso_refresh=15.0,
        rotation_interval=12 * _HOUR,
        lease_ttl=6 * _HOUR,
        audit_retention=365 * _DAY,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """Bounds of the cache.

    Attributes:
        fresh_for: seconds a value is served without asking Vault.
        stale_for: seconds after the read during which it is still served while Vault
            cannot be asked; 0 serves nothing stale.
        max_entries: secrets held at most; the oldest that were not read lately go first.
        max_bytes: octets of keys, values and bookkeeping held at most.
        missing_for, denied_for: seconds a "not found" or "denied" is remembered, so that
            a loop over a wrong path does not load Vault. Never served stale.
    """

    fresh_for: float = 30.0
    stale_for: float = 300.0
    max_entries: int = 100_000
    max_bytes: int = 256 * 1024 * 1024
    missing_for: float = 1.0
    denied_for: float = 5.0

    def __post_init__(self) -> None:
        seconds = (self.fresh_for, self.stale_for, self.missing_for, self.denied_for)
        if not all(each >= 0 for each in seconds):
            raise ConfigurationError("The cache's seconds are 0 or greater.")
        if self.max_entries < 1 or self.max_bytes < 1:
            raise ConfigurationError("The cache's bounds are 1 or greater.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsServiceConfig:
    """Everything `SecretsService.open` needs.

    Attributes:
        addresses: Vault's base URLs. Any may answer reads, and the one that answers is kept;
            writes go to the active node, as long as it is one of them.
        namespace: Vault Enterprise or OpenBao namespace; never the caller's input.
        ca_cert, client_cert, client_key: PEM files for TLS.
        kv_mount: the KV v2 mount.
        tenant_token_role: the token role under which a child token per tenant is made;
            None uses the service's own token for all (one wall less).
        request_timeout: seconds for one operation in all, its retries included. Short,
            because a cached value is waiting behind it.
        write_timeout: seconds for one write in all, while the cluster has no active node or
            the outcome must be found out; a raft election takes 1 to 6 of them.
        connect_timeout: seconds to connect to one address.
        skip_unchanged: whether `put` with an expected version and equal data makes no new
            version.
        vault_traceparent: whether requests to Vault carry a `traceparent`, which its audit log
            shows once the header is listed in ``sys/config/auditing/request-headers``.
    """

    environment: Environment = Environment.DEVELOPMENT
    addresses: tuple[str, ...] = ("http://127.0.0.1:8200",)
    namespace: str | None = None
    ca_cert: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    auth: AuthConfig = field(default_factory=AuthConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    kv_mount: str = "secret"
    tenant_token_role: str | None = "tenant"  # noqa: S105  # a role's name, not a token
    request_timeout: float = 5.0
    write_timeout: float = 10.0
    connect_timeout: float = 1.0
    skip_unchanged: bool = True
    vault_traceparent: bool = False

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ConfigurationError("VAULT_ADDR is empty; set it to Vault's base URL.")
        for address in self.addresses:
            _check_address(address, self.environment)
        if not all(
            seconds > 0
            for seconds in (self.request_timeout, self.write_timeout, self.connect_timeout)
        ):
            raise ConfigurationError("Timeouts are seconds greater than 0.")
        if (self.client_cert is None) != (self.client_key is None):
            raise ConfigurationError(
                "VAULT_CLIENT_CERT and VAULT_CLIENT_KEY belong together; set both or neither."
            )
        if self.auth.method == "cert":
            _check_client_certificate(self.client_cert, self.addresses)

    @classmethod
    def from_env(
        cls, environment: str | None = None, *, environ: Mapping[str, str] | None = None
    ) -> SecretsServiceConfig:
        """Return the configuration that the environment variables describe.

        `environment` overrides ``GREENLANG_SECRETS_ENVIRONMENT``; without either it is
        development. In production secrets come from files only, and Vault is spoken to
        over TLS.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        settings = Settings(os.environ if environ is None else environ)
        where = Environment.parse(environment or settings.text("ENVIRONMENT") or "development")
        return cls(
            environment=where,
            addresses=_addresses(settings, where),
            namespace=settings.vault("NAMESPACE"),
            ca_cert=settings.vault_file("CACERT"),
            client_cert=settings.vault_file("CLIENT_CERT"),
            client_key=settings.vault_file("CLIENT_KEY"),
            auth=auth_from_settings(settings, production=where is Environment.PRODUCTION),
            cache=CacheConfig(
                fresh_for=settings.number("CACHE_FRESH_SECONDS", 30.0),
                stale_for=settings.number("CACHE_STALE_SECONDS", 300.0),
                max_entries=int(settings.number("CACHE_MAX_ENTRIES", 100_000, least=1)),
                max_bytes=int(settings.number("CACHE_MAX_BYTES", 256 * 1024 * 1024, least=1)),
                missing_for=settings.number("CACHE_MISSING_SECONDS", 1.0),
                denied_for=settings.number("CACHE_DENIED_SECONDS", 5.0),
            ),
            kv_mount=settings.text("KV_MOUNT") or "secret",
            tenant_token_role=_tenant_token_role(settings),
            request_timeout=settings.number("REQUEST_TIMEOUT_SECONDS", 5.0, least=0.001),
            write_timeout=settings.number("WRITE_TIMEOUT_SECONDS", 10.0, least=0.001),
            connect_timeout=settings.number("CONNECT_TIMEOUT_SECONDS", 1.0, least=0.001),
            skip_unchanged=settings.flag("SKIP_UNCHANGED", default=True),
            vault_traceparent=settings.flag("VAULT_TRACEPARENT", default=False),
        )


def _addresses(settings: Settings, where: Environment) -> tuple[str, ...]:
    raw = settings.vault("ADDR")
    if raw is None:
        if where is Environment.DEVELOPMENT:
            return ("http://127.0.0.1:8200",)
        raise ConfigurationError(
            f"VAULT_ADDR is not set; in {where} it must name Vault's base URL "
            "(several are separated by commas)."
        )
    addresses = tuple(part.strip().rstrip("/") for part in raw.split(",") if part.strip())
    if len(addresses) > 1 and any("@" in part and "://" not in part for part in addresses):
        # A comma within a password: no part of it can be told from an address.
        raise ConfigurationError("VAULT_ADDR has a user or password; leave them out.")
    return addresses


def _check_address(address: str, where: Environment) -> None:
    try:
        parts = urlsplit(address)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    plain = parts.path in {"", "/"} and not parts.query and not parts.fragment
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_fine or not plain:
        raise ConfigurationError(
            f"VAULT_ADDR is {_without_userinfo(address)!r}; use https://host:port."
        )
    if parts.username or parts.password:
        raise ConfigurationError(
            f"VAULT_ADDR is {_without_userinfo(address)!r} with a user or password; "
            "leave them out, Vault takes a token."
        )
    if parts.scheme == "http" and where is Environment.PRODUCTION:
        raise ConfigurationError(
            f"VAULT_ADDR is {address!r}; in production it must begin with https://."
        )


def _check_client_certificate(client_cert: Path | None, addresses: tuple[str, ...]) -> None:
    if client_cert is None:
        raise ConfigurationError(
            "VAULT_CLIENT_CERT and VAULT_CLIENT_KEY are not set; the auth method cert logs in "
            "with that certificate."
        )
    for address in addresses:
        if urlsplit(address).scheme != "https":
            raise ConfigurationError(
                f"VAULT_ADDR is {address!r}; the auth method cert shows its certificate over "
                "https:// only."
            )


def _without_userinfo(address: str) -> str:
    """An address as it may be shown: a password typed into it must not be."""
    before, at, after = address.rpartition("@")
    if not at:
        return address
    scheme, slashes, _ = before.partition("://")
    return scheme + slashes + after if slashes else after


def _tenant_token_role(settings: Settings) -> str | None:
    raw = settings.text("TENANT_TOKEN_ROLE")
    if raw is None:
        return "tenant"
    return None if raw == "none" else raw
