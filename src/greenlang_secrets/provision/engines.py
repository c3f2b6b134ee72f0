"""Each part of the desired state, in terms of a `Reconciliation`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import anyio
import anyio.to_thread

from greenlang_secrets.errors import ConfigurationError, VaultRefused, VaultUnavailable
from greenlang_secrets.provision.desired import (
    APPROLE_ROLE,
    DATABASE_NAME,
    DATABASE_ROLES,
    INTERMEDIATE_CA_LIFE,
    MOUNTS,
    PKI_ROLES,
    POLICIES,
    ROOT_CA_LIFE,
    SERVICE_POLICY,
    SERVICE_TOKEN_ROLE,
    SERVICE_TOKEN_ROLE_NAME,
    TENANT_TOKEN_ROLE,
    TOKEN_ROLE,
    TRANSIT_KEYS,
)
from greenlang_secrets.provision.policies import render_policy
from greenlang_secrets.provision.reconcile import Reconciliation, check_type, differing
from greenlang_secrets.provision.wanted import Desired
from greenlang_secrets.sensitive import SecretValue

__all__ = ["auth", "database", "mounts", "pki", "policies", "transit"]

_UPGRADE_DEADLINE: Final = 10.0  # seconds; a new KV v2 mount took 5 to 30 ms on OpenBao 2.7.2
_UPGRADE_POLL: Final = 0.02


async def mounts(state: Reconciliation, desired: Desired) -> None:
    """Mount the engines.

    ``GET /v1/sys/mounts``, ``POST /v1/sys/mounts/{path}`` and ``…/tune`` (Vault API:
    "/sys/mounts").

    Raises:
        ConfigurationError: a mount is there with another type or KV version.
    """
    wanted: dict[str, Mapping[str, Any]] = {
        desired.kv_mount: {"type": "kv", "options": {"version": "2"}},
        **MOUNTS,
        "database": {
            "type": "database",
            "config": {"max_lease_ttl": int(desired.environment.defaults.lease_ttl)},
        },
    }
    there = await state.read("sys", "mounts") or {}
    for name, settings in wanted.items():  # all are looked at before the first is made
        check_type(name, there.get(f"{name}/"), settings)
    for name, settings in wanted.items():
        mount = there.get(f"{name}/")
        if mount is None:
            if state.create("sys", "mounts", name):
                await state.write("sys", "mounts", name, body=settings)
        else:
            config = settings.get("config", {})
            wrong = differing(mount.get("config") or {}, config)
            if wrong and state.update("sys", "mounts", name, settings=wrong):
                await state.write("sys", "mounts", name, "tune", body=config)
    if not state.plan:
        await _wait_for_kv(state, desired.kv_mount)


async def _wait_for_kv(state: Reconciliation, mount: str) -> None:
    """Wait until a new mount serves: it answers 400, "Upgrading from non-versioned to versioned
    data", for a moment (OpenBao 2.7.2, test_provision.py).
    """
    with anyio.move_on_after(_UPGRADE_DEADLINE):
        while True:
            try:
                await state.read(mount, "config")
            except VaultRefused:
                await anyio.sleep(_UPGRADE_POLL)
            else:
                return
    raise VaultUnavailable("timeout")


async def policies(state: Reconciliation, desired: Desired) -> None:
    """Write the policies.

    ``GET`` and ``POST /v1/sys/policies/acl/{name}`` (Vault API: "/sys/policies/").
    """
    auth_mounts = await state.read("sys", "auth") or {}
    accessor = auth_mounts["token/"]["accessor"]
    for name in POLICIES:
        render = partial(render_policy, name, kv_mount=desired.kv_mount, token_accessor=accessor)
        text = await anyio.to_thread.run_sync(render)
        await state.settings("sys", "policies", "acl", name, desired={"policy": text})
    for name, text in desired.consumers.policies.items():
        await state.settings("sys", "policies", "acl", name, desired={"policy": text})


async def auth(state: Reconciliation) -> None:
    """Make the token roles of tenants and of rotated tokens, and the service's AppRole.

    ``POST /v1/auth/token/roles/{name}`` (Vault API: Token, "Create/Update Token Role"),
    ``POST /v1/sys/auth/{path}``, ``POST /v1/auth/approle/role/{name}`` (AppRole,
    "Create/Update AppRole").
    """
    await state.settings("auth", "token", "roles", TENANT_TOKEN_ROLE, desired=TOKEN_ROLE)
    await state.settings(
        "auth", "token", "roles", SERVICE_TOKEN_ROLE_NAME, desired=SERVICE_TOKEN_ROLE
    )
    there = await state.read("sys", "auth") or {}
    method = there.get("approle/")
    if method is None:
        if state.create("sys", "auth", "approle"):
            await state.write("sys", "auth", "approle", body={"type": "approle"})
    else:
        check_type("auth/approle", method, {"type": "approle"})
    await state.settings("auth", "approle", "role", SERVICE_POLICY, desired=APPROLE_ROLE)


async def transit(state: Reconciliation) -> None:
    """Make the encryption keys, and keep them from being deleted.

    ``POST /v1/transit/keys/{name}`` and ``…/config`` (Vault API: Transit).
    """
    kept = {"deletion_allowed": False}
    for name in TRANSIT_KEYS:
        key = await state.read("transit", "keys", name)
        if key is None:
            if state.create("transit", "keys", name):
                await state.write("transit", "keys", name, body={"type": "aes256-gcm96"})
            continue
        wrong = differing(key, kept)
        if wrong and state.update("transit", "keys", name, "config", settings=wrong):
            await state.write("transit", "keys", name, "config", body=kept)


async def pki(state: Reconciliation, desired: Desired) -> None:
    """Make a root CA, an intermediate CA under it, and the roles that issue from that.

    ``POST /v1/pki/root/generate/internal``, ``…/root/sign-intermediate``,
    ``POST /v1/pki_int/intermediate/generate/internal``, ``…/set-signed``,
    ``POST /v1/pki_int/roles/{name}`` (Vault API: PKI). No private key leaves Vault.
    """
    key = {"key_type": "ec", "key_bits": 384}
    if not await _has_issuer(state, "pki") and state.create("pki", "root"):
        body = {"common_name": "GreenLang Root CA", "ttl": ROOT_CA_LIFE, **key}
        await state.write("pki", "root", "generate", "internal", body=body)
    if not await _has_issuer(state, "pki_int") and state.create("pki_int", "intermediate"):
        name = {"common_name": "GreenLang Intermediate CA"}
        request = await state.write(
            "pki_int", "intermediate", "generate", "internal", body={**name, **key}
        )
        signed = await state.write(
            *("pki", "root", "sign-intermediate"),
            # No CA below it, and a life that ends before the root's.
            body={
                **name,
                "csr": request["csr"],
                "ttl": INTERMEDIATE_CA_LIFE,
                "max_path_length": 0,
            },
        )
        # With the root, so that ca_chain is whole for those who ask pki_int alone.
        chain = f"{signed['certificate']}\n{signed['issuing_ca']}"
        await state.write("pki_int", "intermediate", "set-signed", body={"certificate": chain})
    for role, settings in {**PKI_ROLES, **desired.consumers.pki_roles}.items():
        await state.settings("pki_int", "roles", role, desired=settings)


async def _has_issuer(state: Reconciliation, mount: str) -> bool:
    config = await state.read(mount, "config", "issuers")
    return bool(config and config.get("default"))


async def database(state: Reconciliation, desired: Desired, url: SecretValue) -> None:
    """Connect the database engine to PostgreSQL and make its roles.

    ``POST /v1/database/config/{name}`` and ``/v1/database/roles/{name}`` (Vault API:
    Databases). Vault logs in to PostgreSQL before it takes the connection.

    Raises:
        ConfigurationError: the URL lacks user, password or host.
        VaultRefused: Vault cannot log in with it.
    """
    connection, password = _connection(url)
    path = ("database", "config", DATABASE_NAME)
    roles = {**DATABASE_ROLES, **desired.consumers.database_roles}
    actual = await state.read(*path)
    wanted = {
        "plugin_name": "postgresql-database-plugin",
        "allowed_roles": list(roles),
        **connection,
    }
    wrong: tuple[str, ...] = ()
    if actual is not None:
        wrong = differing({**actual, **(actual.get("connection_details") or {})}, wanted)
    write = state.create(*path) if actual is None else wrong and state.update(*path, settings=wrong)
    if write:
        try:
            await state.write(*path, body={**wanted, "password": password})
        except VaultRefused as error:
            raise VaultRefused(
                "Vault does not take the PostgreSQL connection; check that it can reach the "
                "server, and the user and password.",
                status=error.status,
            ) from None
    for role, settings in roles.items():
        await state.settings("database", "roles", role, desired=settings)


def _connection(url: SecretValue) -> tuple[dict[str, str], str]:
    """The connection settings that Vault gives back, and the password, which it does not."""
    try:
        parts = urlsplit(url.reveal())
        user, password, host, port = parts.username, parts.password, parts.hostname, parts.port
    except ValueError:
        user = password = host = port = None
    if not (user and password and host):
        raise ConfigurationError(
            "The PostgreSQL URL must name everything: postgresql://user:password@host:port/database"
        )
    where = f"[{host}]" if ":" in host else host
    query = f"?{parts.query}" if parts.query else ""
    target = f"{where}:{port or 5432}/{parts.path.strip('/') or 'postgres'}{query}"
    settings = {
        "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@{target}",
        "username": unquote(user),
        # PostgreSQL then gets a verifier and not the password, which its log could show.
        "password_authentication": "scram-sha-256",
    }
    return settings, unquote(password)
