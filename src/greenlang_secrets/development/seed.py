"""Secrets to begin with: the product's tree of paths, with values made up anew for each Vault.

``database/postgresql`` and ``database/redis`` tell the truth: where the servers beside are,
and how to log in to them.
"""

from __future__ import annotations

import secrets as random_values
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from greenlang_secrets.errors import Conflict, SecretNotFound
from greenlang_secrets.model import SecretType
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.service import SecretsService
from greenlang_secrets.view import SecretsView

__all__ = ["TENANTS", "Beside", "seed"]

TENANTS: Final = ("acme", "globex")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """The servers that run beside; None for one that does not.

    Attributes:
        postgres_url: ``postgresql://user:password@host:port/database``.
        valkey_url: ``redis://:password@host:port/0``.
    """

    postgres_url: SecretValue | None
    valkey_url: SecretValue | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seed:
    """One secret to make.

    Attributes:
        real: whether it must follow the servers; others are left alone once made.
    """

    path: str
    type: SecretType
    data: Mapping[str, str]
    real: bool = False


async def seed(service: SecretsService, beside: Beside) -> None:
    """Make the secrets that were never made; bring the two real ones up to date.

    What a developer has changed or deleted since the first seeding stays so.

    Raises:
        SecretsError: Vault gives no answer, or denies it.
    """
    for item in _platform(beside):
        await _make(service, item)
    for tenant in TENANTS:
        view = service.for_tenant(tenant)
        for item in _tenant(tenant):
            await _make(view, item)


async def _make(view: SecretsView, item: _Seed) -> None:
    try:
        known = await view.metadata(item.path)
    except SecretNotFound:
        try:
            await view.create(item.path, item.data, type=item.type)
        except Conflict:  # somebody's secret is above or below this path
            return
        return
    if item.real and known.live:
        # With the version expected, equal data makes no new one.
        await view.put(item.path, item.data, expected_version=known.current_version)


def _platform(beside: Beside) -> list[_Seed]:
    return [
        _postgres(beside.postgres_url),
        _redis(beside.valkey_url),
        _database("database/timescaledb", "timescaledb.greenlang.internal", "metrics"),
        *(
            _Seed(path=path, type=SecretType.API_KEY, data={"api_key": _random("gl")})
            for path in ("api-keys/internal", "api-keys/external")
        ),
        *(
            _Seed(
                path=f"services/{name}",
                type=SecretType.SERVICE_TOKEN,
                data={"token": _random(name)},
            )
            for name in ("auth-service", "agent-factory", "audit-service")
        ),
    ]


def _tenant(tenant: str) -> list[_Seed]:
    return [
        *(
            _Seed(path=f"api-keys/{name}", type=SecretType.API_KEY, data={"api_key": _random(name)})
            for name in ("stripe", "mapbox")
        ),
        *(
            _Seed(
                path=f"integrations/{name}",
                type=SecretType.OAUTH_CLIENT,
                data={"client_id": f"{tenant}-{name}", "client_secret": _random(name)},
            )
            for name in ("sap", "salesforce")
        ),
    ]


def _postgres(url: SecretValue | None) -> _Seed:
    if url is None:
        return _database("database/postgresql", "postgresql.greenlang.internal", "greenlang")
    parts = urlsplit(url.reveal())
    return _Seed(
        path="database/postgresql",
        type=SecretType.DATABASE,
        data={
            "host": parts.hostname or "",
            "port": str(parts.port),
            "username": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "database": parts.path.strip("/"),
        },
        real=True,
    )


def _redis(url: SecretValue | None) -> _Seed:
    text = f"redis://:{_random('redis')}@redis.greenlang.internal:6379/0"
    if url is not None:
        text = url.reveal()
    parts = urlsplit(text)
    return _Seed(
        path="database/redis",
        type=SecretType.CACHE,
        data={
            "host": parts.hostname or "",
            "port": str(parts.port),
            "password": unquote(parts.password or ""),
            "url": text,
        },
        real=url is not None,
    )


def _database(path: str, host: str, database: str) -> _Seed:
    return _Seed(
        path=path,
        type=SecretType.DATABASE,
        data={
            "host": host,
            "port": "5432",
            "username": "greenlang",
            "password": random_values.token_urlsafe(24),
            "database": database,
        },
    )


def _random(prefix: str) -> str:
    return f"{prefix}_{random_values.token_hex(16)}"
