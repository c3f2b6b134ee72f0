"""Secrets to begin with: the product's tree of paths, with values made up anew for each Vault.

``database/postgresql`` and ``database/redis`` tell the truth: where the servers beside are, and
how to log in to them as a user that is rotated. Their administrators' are beside them.
``certificates/internal-mtls`` is one of Vault's PKI engine, and is rotated, too.
"""

from __future__ import annotations

import secrets as random_values
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from greenlang_secrets.errors import Conflict, SecretNotFound
from greenlang_secrets.model import SecretType
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.service import SecretsService
from greenlang_secrets.view import SecretsView

__all__ = [
    "CERTIFICATE",
    "PAIR",
    "POSTGRESQL",
    "REDIS",
    "TENANTS",
    "USER",
    "Beside",
    "platform_tree",
    "seed",
]

TENANTS: Final = ("acme", "globex")

POSTGRESQL: Final = "database/postgresql"
REDIS: Final = "database/redis"

CERTIFICATE: Final = "certificates/internal-mtls"
COMMON_NAME: Final = "greenlang.mtls.greenlang.internal"
"""Of the certificate; `rotation.yaml` has it, too."""

PAIR: Final = ("app_a", "app_b")
"""The users of PostgreSQL that take turns."""
USER: Final = "app"
"""The user of Valkey."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Login:
    """A login that is rotated.

    Attributes:
        users: whose it may be, the first one to begin with.
        data: makes the secret's data from a user and a password.
    """

    path: str
    type: SecretType
    users: tuple[str, ...]
    data: Callable[[str, str], Mapping[str, str]]


async def seed(service: SecretsService, beside: Beside) -> list[str]:
    """Make the secrets that were never made; bring the real ones up to date. Return the paths of
    those that were made and that are rotated.

    What a developer has changed or deleted since the first seeding stays so.

    Raises:
        SecretsError: Vault gives no answer, or denies it.
    """
    made = [login.path for login in _logins(beside) if await _make_login(service, login)]
    if await _make_certificate(service):
        made.append(CERTIFICATE)
    for item in _platform(beside):
        await _make(service, item)
    for tenant in TENANTS:
        view = service.for_tenant(tenant)
        for item in _tenant(tenant):
            await _make(view, item)
    return made


def platform_tree() -> dict[str, frozenset[str]]:
    """Return the platform's secrets and the keys of each, as they are without servers beside."""
    alone = Beside(postgres_url=None, valkey_url=None)
    tree = {item.path: frozenset(item.data) for item in _platform(alone)}
    tree[CERTIFICATE] = frozenset({"certificate", "private_key", "ca_chain"})
    return tree


async def _make_login(view: SecretsView, login: _Login) -> bool:
    """Make a login, or have it follow its server with the user and the password that it has."""
    new = login.data(login.users[0], random_values.token_urlsafe(24))
    try:
        known = await view.metadata(login.path)
    except SecretNotFound:
        try:
            await view.create(login.path, new, type=login.type)
        except Conflict:  # somebody's secret is above or below this path
            return False
        return True
    if not known.live:
        return False
    there = (await view.get(login.path, fresh=True)).data
    username, password = there.get("username"), there.get("password")
    ours = False
    if username is not None and password is not None and username.reveal() in login.users:
        ours, new = True, login.data(username.reveal(), password.reveal())
    await view.put(login.path, new, expected_version=known.current_version)
    return not ours


async def _make_certificate(service: SecretsService) -> bool:
    """Make the certificate if there never was one; it lives three days, so that it may be seen to
    be rotated.
    """
    try:
        await service.metadata(CERTIFICATE)
    except SecretNotFound:
        pass
    else:
        return False
    issued = await service.certificate(
        "internal-mtls", common_name=COMMON_NAME, ttl=timedelta(days=3).total_seconds()
    )
    data = {
        "certificate": issued.certificate,
        "private_key": issued.private_key.reveal(),
        "ca_chain": "\n".join(issued.chain),
    }
    try:
        await service.create(CERTIFICATE, data, type=SecretType.CERTIFICATE)
    except Conflict:  # somebody's secret is above or below this path
        return False
    return True


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
        _database("database/catalogue", "postgresql.greenlang.internal", "greenlang"),
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


def _logins(beside: Beside) -> list[_Login]:
    found = []
    if beside.postgres_url is not None:
        place = urlsplit(beside.postgres_url.reveal())
        found.append(
            _Login(
                path=POSTGRESQL,
                type=SecretType.DATABASE,
                users=PAIR,
                data=lambda username, password: _database_login(place, username, password),
            )
        )
    if beside.valkey_url is not None:
        server = urlsplit(beside.valkey_url.reveal())
        found.append(
            _Login(
                path=REDIS,
                type=SecretType.CACHE,
                users=(USER,),
                data=lambda username, password: _cache_login(server, username, password),
            )
        )
    return found


def _postgres(url: SecretValue | None) -> _Seed:
    if url is None:
        return _database(POSTGRESQL, "postgresql.greenlang.internal", "greenlang")
    parts = urlsplit(url.reveal())
    return _Seed(
        path=f"{POSTGRESQL}-admin",
        type=SecretType.DATABASE,
        data=_database_login(parts, unquote(parts.username or ""), unquote(parts.password or "")),
        real=True,
    )


def _redis(url: SecretValue | None) -> _Seed:
    if url is None:
        place = urlsplit("redis://redis.greenlang.internal:6379/0")
        data = _cache_login(place, USER, _random("redis"))
        return _Seed(path=REDIS, type=SecretType.CACHE, data=data)
    parts = urlsplit(url.reveal())
    return _Seed(
        path=f"{REDIS}-admin",
        type=SecretType.CACHE,
        data=_cache_login(parts, "default", unquote(parts.password or "")),
        real=True,
    )


def _database_login(place: SplitResult, username: str, password: str) -> Mapping[str, str]:
    return {
        "host": place.hostname or "",
        "port": str(place.port),
        "username": username,
        "password": password,
        "database": place.path.strip("/"),
    }


def _cache_login(place: SplitResult, username: str, password: str) -> Mapping[str, str]:
    host, port = place.hostname or "", str(place.port)
    return {
        "host": host,
        "port": port,
        "username": username,
        "password": password,
        "url": f"redis://{username}:{quote(password, safe='')}@{host}:{port}/0",
    }


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
