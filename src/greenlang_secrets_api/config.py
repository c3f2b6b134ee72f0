"""The service's own settings: whose bearers are accepted, and how much of a request.

What concerns Vault is `SecretsServiceConfig` in the library. Every refusal names the
setting, what was seen, and the fix.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from greenlang_secrets.audit import AuditConfig
from greenlang_secrets.catalogue import CatalogueConfig
from greenlang_secrets.config import Environment, Settings
from greenlang_secrets.development import DEVELOPMENT_ISSUER
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.invalidation import InvalidationConfig
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets_api.addresses import Network, parse_networks
from greenlang_secrets_api.eso_config import EsoConfig
from greenlang_secrets_api.rate_policies import RatePolicies
from greenlang_secrets_api.rate_storage_url import storage_url

__all__ = ["ALGORITHMS", "ApiConfig"]

ALGORITHMS: Final = frozenset(
    {
        *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
        *("ES256", "ES384", "ES512", "EdDSA"),
    }
)
"""What may be configured at all. HS* is missing on purpose: whoever can verify it can sign."""

_DEFAULT_ALGORITHMS: Final = frozenset({"RS256", "ES256", "EdDSA"})
_DEFAULT_TYPES: Final = frozenset({"at+jwt", "jwt"})
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

_ISSUER: Final = "GREENLANG_SECRETS_JWT_ISSUER"
_AUDIENCE: Final = "GREENLANG_SECRETS_JWT_AUDIENCE"
_FILE: Final = "GREENLANG_SECRETS_JWT_JWKS_FILE"
_URL: Final = "GREENLANG_SECRETS_JWT_JWKS_URL"
_ALGORITHMS: Final = "GREENLANG_SECRETS_JWT_ALGORITHMS"
_PROXIES: Final = "GREENLANG_SECRETS_TRUSTED_PROXIES"
_TENANT_CLAIM: Final = "GREENLANG_SECRETS_JWT_TENANT_CLAIM"

# Claims with a meaning of their own: a tenant's id in one of them would be two things at once.
_TAKEN_CLAIMS: Final = frozenset(
    {"iss", "aud", "sub", "exp", "nbf", "iat", "jti", "platform", "permissions"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """Everything the service needs besides Vault.

    Attributes:
        environment: decides whether a JWKS may come over plain HTTP, and whether the bearers
            of `make dev` are taken: in development alone.
        jwt_issuer: what a bearer's `iss` must be, to the letter.
        jwt_audience: what a bearer's `aud` must contain.
        jwks_file, jwks_url: where the issuer's public keys are; exactly one of them.
        algorithms: signature algorithms accepted.
        token_types: header `typ` accepted, in lower case.
        jwt_tenant_claim: the claim that holds the tenant's id.
        jwt_denylist_file: the `jti` of revoked bearers, one on a line; None revokes none, and
            then a bearer needs no `jti`.
        max_body: octets of a request body (raft refuses values over 1 MiB with a 500).
        max_headers: octets of all header fields.
        body_timeout: seconds in which a body must have arrived.
        rate_limits: how many requests each class of calls may make.
        rate_limit_url: the Valkey or Redis where several replicas count together; None counts
            in the memory of this one. A secret, since there may be a password in it.
        drain_for: seconds to serve on after SIGTERM, while ``/readyz`` says 503.
        trusted_proxies: whose `X-Forwarded-For` is believed.
        audit: where the audit log is; None is read from the environment, as the next four.
        catalogue: the database beside Vault.
        invalidation: how changes made elsewhere are heard of.
        rotation: how this process rotates.
        eso: whether ExternalSecrets are watched, and where.
        access_log: whether each request gives one log line (kind, never the path).
    """

    jwt_issuer: str
    jwt_audience: str
    jwks_file: Path | None = None
    jwks_url: str | None = None
    environment: Environment = Environment.DEVELOPMENT
    algorithms: frozenset[str] = _DEFAULT_ALGORITHMS
    token_types: frozenset[str] = _DEFAULT_TYPES
    jwt_tenant_claim: str = "tenant_id"
    jwt_denylist_file: Path | None = None
    max_body: int = 768 * 1024
    max_headers: int = 16 * 1024
    body_timeout: float = 10.0
    rate_limits: RatePolicies = field(default_factory=RatePolicies)
    rate_limit_url: SecretValue | None = None
    drain_for: float = 0.0
    trusted_proxies: tuple[Network, ...] = ()
    audit: AuditConfig | None = None
    catalogue: CatalogueConfig | None = None
    invalidation: InvalidationConfig | None = None
    rotation: RotationConfig | None = None
    eso: EsoConfig | None = None
    access_log: bool = True

    def __post_init__(self) -> None:
        if not self.jwt_issuer:
            raise ConfigurationError(f"{_ISSUER} is empty; set it to the `iss` of your tokens.")
        if self.jwt_issuer == DEVELOPMENT_ISSUER and self.environment != Environment.DEVELOPMENT:
            raise ConfigurationError(
                f"{_ISSUER} is the development issuer's, whose key lies in a developer's folder, "
                f"and GREENLANG_SECRETS_ENVIRONMENT is {self.environment}; set it to the `iss` "
                "of your own issuer's tokens."
            )
        if not self.jwt_audience:
            raise ConfigurationError(
                f"{_AUDIENCE} is empty; set it to the `aud` meant for this service."
            )
        if (self.jwks_file is None) == (self.jwks_url is None):
            seen = "Neither" if self.jwks_file is None else "Each"
            raise ConfigurationError(f"{seen} of {_FILE} and {_URL} is set; set exactly one.")
        if self.jwks_url is not None:
            _check_url(self.jwks_url, self.environment)
        foreign = self.algorithms - ALGORITHMS
        if foreign or not self.algorithms:
            raise ConfigurationError(
                f"{_ALGORITHMS} is {','.join(sorted(self.algorithms))!r}; "
                f"use one or more of {', '.join(sorted(ALGORITHMS))}."
            )
        if not self.jwt_tenant_claim or self.jwt_tenant_claim in _TAKEN_CLAIMS:
            raise ConfigurationError(
                f"{_TENANT_CLAIM} is {self.jwt_tenant_claim!r}; name a claim that means nothing "
                "else, such as tenant_id."
            )

    @classmethod
    def from_env(
        cls, environment: str | None = None, *, environ: Mapping[str, str] | None = None
    ) -> ApiConfig:
        """Return the configuration that the environment variables describe.

        `environment` overrides ``GREENLANG_SECRETS_ENVIRONMENT``; without either it is
        development.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        settings = Settings(os.environ if environ is None else environ)
        algorithms = _names(settings.text("JWT_ALGORITHMS"))
        types = _names(settings.text("JWT_TYPES"))
        place = Environment.parse(environment or settings.text("ENVIRONMENT") or "development")
        return cls(
            environment=place,
            jwt_issuer=_required(settings, "JWT_ISSUER", "the `iss` of your tokens"),
            jwt_audience=_required(settings, "JWT_AUDIENCE", "the `aud` meant for this service"),
            jwks_file=settings.file("JWT_JWKS_FILE"),
            jwks_url=settings.text("JWT_JWKS_URL"),
            algorithms=algorithms or _DEFAULT_ALGORITHMS,
            token_types=frozenset(name.lower() for name in types) or _DEFAULT_TYPES,
            rate_limits=RatePolicies.from_settings(settings),
            rate_limit_url=storage_url(settings, place),
            drain_for=settings.number("DRAIN_SECONDS", 0.0),
            trusted_proxies=parse_networks(
                settings.text("TRUSTED_PROXIES") or "", setting=_PROXIES
            ),
            jwt_tenant_claim=settings.text("JWT_TENANT_CLAIM") or "tenant_id",
            jwt_denylist_file=settings.file("JWT_DENYLIST_FILE"),
            access_log=settings.flag("ACCESS_LOG", default=True),
        )


def _required(settings: Settings, name: str, what: str) -> str:
    value = settings.text(name)
    if value is None:
        raise ConfigurationError(f"GREENLANG_SECRETS_{name} is not set; set it to {what}.")
    return value


def _names(raw: str | None) -> frozenset[str]:
    return frozenset(part.strip() for part in (raw or "").split(",") if part.strip())


def _check_url(url: str, where: Environment) -> None:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    shown = url.rpartition("@")[2]  # a password typed into it must not be shown
    loopback = parts.hostname in _LOOPBACK and where is Environment.DEVELOPMENT
    if not parts.hostname or not port_is_fine or parts.username or parts.password:
        raise ConfigurationError(f"{_URL} is {shown!r}; use https://host/path without a user.")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise ConfigurationError(
            f"{_URL} is {shown!r}; it must begin with https:// "
            "(http:// only to this machine, in development)."
        )
