"""What an operator sets up in the database engine: connections, roles, static roles.

Passwords go in and never come out again. `database` uses what is set up here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from greenlang_secrets.errors import AccessDenied
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretMap, SecretValue
from greenlang_secrets.transport import VaultRequest
from greenlang_secrets.vault.answers import (
    Call,
    accepted,
    given,
    names_of,
    plain,
    read_object,
    ttl_text,
)

__all__ = ["DatabaseConnection", "DatabaseRole", "DatabaseSetup", "StaticRole"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DatabaseConnection:
    """How Vault reaches a database.

    Attributes:
        username: the account Vault logs in with; empty if the plugin has none.
        allowed_roles: names of roles that may use it; ``*`` for all.
        details: everything the plugin was told, without the password; masked as a whole,
            because a connection URL may have another password written into it.
    """

    name: str
    plugin_name: str
    username: str
    allowed_roles: tuple[str, ...]
    details: SecretMap


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseRole:
    """How accounts of a role are made and dropped.

    Attributes:
        creation_statements: with ``{{name}}``, ``{{password}}`` and ``{{expiration}}``.
        revocation_statements: none leaves it to the plugin.
        default_ttl, max_ttl: seconds; 0 leaves it to the mount.
    """

    connection: str
    creation_statements: tuple[str, ...]
    revocation_statements: tuple[str, ...] = ()
    rollback_statements: tuple[str, ...] = ()
    renew_statements: tuple[str, ...] = ()
    default_ttl: float = 0.0
    max_ttl: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticRole:
    """An account that exists in the database and whose password Vault rotates.

    Attributes:
        rotation_period: seconds, 5 at least.
        rotation_statements: none leaves it to the plugin.
        last_rotated_at: None in a role that is to be written.
    """

    connection: str
    username: str
    rotation_period: float
    rotation_statements: tuple[str, ...] = ()
    last_rotated_at: datetime | None = None


class DatabaseSetup:
    """The set-up of one database mount; made by `Database`."""

    def __init__(self, call: Call, *, mount: str) -> None:
        self._call = call
        self._mount = mount

    # ------------------------------------------------------------ connections

    async def read_connection(self, name: str) -> DatabaseConnection:
        """Return how Vault reaches a database; the password is never given back.

        ``GET /v1/{mount}/config/{name}`` (Vault API: Databases, "Read Connection").

        Raises:
            ObjectNotFound: there is no such connection.
            AccessDenied: the token's policies do not allow it.
        """
        fields = await read_object(self._call, self._path("config", name), "connection")
        details = fields.part("connection_details")
        return DatabaseConnection(
            name=name,
            plugin_name=fields.text("plugin_name"),
            username=details.text("username", absent=""),
            allowed_roles=fields.texts("allowed_roles", absent=()),
            details=details.masked(),
        )

    async def write_connection(
        self,
        name: str,
        *,
        plugin_name: str,
        connection_url: str | SecretValue | None = None,
        username: str | None = None,
        password: SecretValue | None = None,
        allowed_roles: Sequence[str] = (),
        verify_connection: bool = True,
        options: Mapping[str, str | int | bool | SecretValue] | None = None,
    ) -> None:
        """Create a connection or change it; what is None stays as it is.

        ``POST /v1/{mount}/config/{name}`` (Vault API: Databases, "Configure Connection").
        Write ``{{username}}`` and ``{{password}}`` into `connection_url` and give the password
        by itself: only then can `rotate_root` change it. `options` are the plugin's own, such
        as ``tls_ca``.

        Raises:
            VaultRefused: the plugin is unknown, or it cannot log in with these.
            AccessDenied: the token's policies do not allow it.
        """
        body = given(
            plugin_name=plugin_name,
            connection_url=plain(connection_url),
            username=username,
            password=plain(password),
            allowed_roles=list(allowed_roles),
            verify_connection=verify_connection,
        )
        body.update((key, plain(value)) for key, value in (options or {}).items())
        await self._write(self._path("config", name), body)

    async def list_connections(self) -> tuple[str, ...]:
        """Return the names of all connections.

        ``LIST /v1/{mount}/config`` (Vault API: Databases, "List Connections").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        return await self._list("config")

    async def delete_connection(self, name: str) -> None:
        """Forget a connection; succeeds too where there is none.

        ``DELETE /v1/{mount}/config/{name}`` (Vault API: Databases, "Delete Connection").
        Leases of its roles can then no longer be revoked: revoke them before.

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        await self._delete(self._path("config", name))

    async def reset_connection(self, name: str) -> None:
        """Close a connection and open it again, as after a change of certificates.

        ``POST /v1/{mount}/reset/{name}`` (Vault API: Databases, "Reset Connection").

        Raises:
            ObjectNotFound: there is no such connection.
            VaultUnavailable: the database does not answer.
            AccessDenied: the token's policies do not allow it.
        """
        await self.need_connection(name)
        await self._write(self._path("reset", name), None)

    # ------------------------------------------------------------ roles

    async def read_role(self, name: str) -> DatabaseRole:
        """Return how accounts of a role are made.

        ``GET /v1/{mount}/roles/{name}`` (Vault API: Databases, "Read Role").

        Raises:
            ObjectNotFound: there is no such role.
            AccessDenied: the token's policies do not allow it.
        """
        fields = await read_object(self._call, self._path("roles", name), "role")
        return DatabaseRole(
            connection=fields.text("db_name"),
            creation_statements=fields.texts("creation_statements", absent=()),
            revocation_statements=fields.texts("revocation_statements", absent=()),
            rollback_statements=fields.texts("rollback_statements", absent=()),
            renew_statements=fields.texts("renew_statements", absent=()),
            default_ttl=fields.seconds("default_ttl"),
            max_ttl=fields.seconds("max_ttl"),
        )

    async def write_role(self, name: str, role: DatabaseRole) -> None:
        """Create a role or replace it. Whether its connection exists is not checked by Vault.

        ``POST /v1/{mount}/roles/{name}`` (Vault API: Databases, "Create Role").

        Raises:
            VaultRefused: Vault does not accept the role.
            AccessDenied: the token's policies do not allow it.
        """
        body = {
            "db_name": role.connection,
            "creation_statements": list(role.creation_statements),
            "revocation_statements": list(role.revocation_statements),
            "rollback_statements": list(role.rollback_statements),
            "renew_statements": list(role.renew_statements),
            "default_ttl": ttl_text(role.default_ttl),
            "max_ttl": ttl_text(role.max_ttl),
        }
        await self._write(self._path("roles", name), body)

    async def list_roles(self) -> tuple[str, ...]:
        """Return the names of all dynamic roles.

        ``LIST /v1/{mount}/roles`` (Vault API: Databases, "List Roles").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        return await self._list("roles")

    async def delete_role(self, name: str) -> None:
        """Remove a dynamic role; its leases live on. Succeeds too where there is none.

        ``DELETE /v1/{mount}/roles/{name}`` (Vault API: Databases, "Delete Role").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        await self._delete(self._path("roles", name))

    # ------------------------------------------------------------ static roles

    async def read_static_role(self, name: str) -> StaticRole:
        """Return which account a static role rotates, and how.

        ``GET /v1/{mount}/static-roles/{name}`` (Vault API: Databases, "Read Static Role").

        Raises:
            ObjectNotFound: there is no such static role.
            AccessDenied: the token's policies do not allow it.
        """
        fields = await read_object(self._call, self._path("static-roles", name), "static role")
        return StaticRole(
            connection=fields.text("db_name"),
            username=fields.text("username"),
            rotation_period=fields.seconds("rotation_period"),
            rotation_statements=fields.texts("rotation_statements", absent=()),
            last_rotated_at=fields.moment_or_none("last_vault_rotation"),
        )

    async def write_static_role(self, name: str, role: StaticRole) -> None:
        """Create a static role or change it. A new one gets a new password at once.

        ``POST /v1/{mount}/static-roles/{name}`` (Vault API: Databases, "Create Static Role").

        Raises:
            VaultRefused: Vault does not accept the role, such as another username for it.
            OutcomeUnknown: no good answer; the account may be missing in the database.
            AccessDenied: the token's policies do not allow it.
        """
        body = {
            "db_name": role.connection,
            "username": role.username,
            "rotation_period": ttl_text(role.rotation_period),
            "rotation_statements": list(role.rotation_statements),
        }
        path = self._path("static-roles", name)
        accepted(await self._call(VaultRequest(method="POST", path=path, body=body)))

    async def list_static_roles(self) -> tuple[str, ...]:
        """Return the names of all static roles.

        ``LIST /v1/{mount}/static-roles`` (Vault API: Databases, "List Static Roles").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        return await self._list("static-roles")

    async def delete_static_role(self, name: str) -> None:
        """Stop rotating an account, which keeps its last password; succeeds too without one.

        ``DELETE /v1/{mount}/static-roles/{name}`` (Vault API: Databases, "Delete Static Role").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        await self._delete(self._path("static-roles", name))

    async def need_connection(self, name: str) -> None:
        """Raise `ObjectNotFound` if there is no such connection and the token may see that."""
        with suppress(AccessDenied):
            await read_object(self._call, self._path("config", name), "connection")

    def _path(self, *parts: str) -> ApiPath:
        return ApiPath.of(self._mount, *parts)

    async def _write(self, path: ApiPath, body: Mapping[str, Any] | None) -> None:
        # Names its effect ("the role is this"), so that doing it twice is doing it once.
        request = VaultRequest(method="POST", path=path, body=body, repeatable=True)
        accepted(await self._call(request))

    async def _list(self, what: str) -> tuple[str, ...]:
        return names_of(await self._call(VaultRequest(method="LIST", path=self._path(what))))

    async def _delete(self, path: ApiPath) -> None:
        accepted(await self._call(VaultRequest(method="DELETE", path=path, repeatable=True)))
