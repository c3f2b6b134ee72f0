"""The database engine: credentials that Vault makes, and accounts whose password it rotates.

Dynamic credentials have a lease: revoking it drops the account. Static credentials have none:
they change at the end of their `ttl`, or at once by `rotate_role`, and two readers get the same
password. Keeping either fresh is left to the leases, connections and roles to
`database_setup`.

When the database is down Vault answers 500, which `transport` turns into `VaultUnavailable`,
or into `OutcomeUnknown` for what must not be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from greenlang_secrets.model import Lease
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport import VaultRequest
from greenlang_secrets.vault.answers import Call, accepted, lease_of, why_refused
from greenlang_secrets.vault.database_setup import DatabaseSetup

__all__ = ["Database", "DynamicCredentials", "StaticCredentials"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DynamicCredentials:
    """An account made for the one who asked; it is dropped when its lease ends.

    Attributes:
        asked_at: monotonic seconds at which it was asked for; the lease counts from here.
    """

    lease: Lease
    username: str
    password: SecretValue
    asked_at: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StaticCredentials:
    """The present password of an account that Vault rotates.

    Attributes:
        ttl: seconds from `asked_at` until the next rotation; read again then.
        rotation_period: seconds between rotations.
        asked_at: monotonic seconds at which it was asked for.
    """

    username: str
    password: SecretValue
    ttl: float
    rotation_period: float
    last_rotated_at: datetime
    asked_at: float


class Database:
    """One database mount, spoken to with one token; `call` sends a request with that token.

    Every method also raises what `TokenHolder.call` raises, and `VaultRefused` where the mount
    does not exist.

    Attributes:
        setup: connections, roles and static roles.
    """

    def __init__(self, call: Call, *, mount: str = "database") -> None:
        self.setup = DatabaseSetup(call, mount=mount)
        self._call = call
        self._mount = mount

    async def credentials(self, role: str) -> DynamicCredentials:
        """Return a new account of `role`, with its lease.

        ``GET /v1/{mount}/creds/{name}`` (Vault API: Databases, "Generate Credentials").
        An attempt without answer is repeated: the account it may have made ends with its lease.

        Raises:
            ObjectNotFound: there is no such role.
            AccessDenied: the token's policies do not allow it.
            VaultUnavailable: the database does not answer, or the connection does not allow
                the role.
        """
        answer = await self._call(VaultRequest(method="GET", path=self._path("creds", role)))
        if not answer.ok:
            raise await why_refused(self._call, answer, self._path("roles", role), "role")
        fields = accepted(answer)
        return DynamicCredentials(
            lease=lease_of(answer),
            username=fields.text("username"),
            password=fields.secret("password"),
            asked_at=answer.asked_at,
        )

    async def static_credentials(self, role: str) -> StaticCredentials:
        """Return the present password of a static role; works while the database is down.

        ``GET /v1/{mount}/static-creds/{name}`` (Vault API: Databases, "Get Static Credentials").

        Raises:
            ObjectNotFound: there is no such static role.
            AccessDenied: the token's policies do not allow it.
        """
        answer = await self._call(VaultRequest(method="GET", path=self._path("static-creds", role)))
        if not answer.ok:
            path = self._path("static-roles", role)
            raise await why_refused(self._call, answer, path, "static role")
        fields = accepted(answer)
        return StaticCredentials(
            username=fields.text("username"),
            password=fields.secret("password"),
            ttl=fields.seconds("ttl"),
            rotation_period=fields.seconds("rotation_period"),
            last_rotated_at=fields.moment("last_vault_rotation"),
            asked_at=answer.asked_at,
        )

    async def rotate_role(self, role: str) -> None:
        """Give a static role a new password now; the old one does not work any more.

        ``POST /v1/{mount}/rotate-role/{name}`` (Vault API: Databases, "Rotate Static Role
        Credentials").

        Raises:
            ObjectNotFound: there is no such static role.
            AccessDenied: the token's policies do not allow it.
            OutcomeUnknown: no good answer; where the database was down, Vault keeps trying.
        """
        answer = await self._call(VaultRequest(method="POST", path=self._path("rotate-role", role)))
        if not answer.ok:
            path = self._path("static-roles", role)
            raise await why_refused(self._call, answer, path, "static role")

    async def rotate_root(self, connection: str) -> None:
        """Give the account that Vault itself uses a new password, which only Vault knows.

        ``POST /v1/{mount}/rotate-root/{name}`` (Vault API: Databases, "Rotate Root
        Credentials").

        Raises:
            ObjectNotFound: there is no such connection.
            AccessDenied: the token's policies do not allow it.
            OutcomeUnknown: no good answer; try again, Vault keeps the password that works.
        """
        # Vault says 500 to an unknown one, which would leave the outcome unknown.
        await self.setup.need_connection(connection)
        path = self._path("rotate-root", connection)
        accepted(await self._call(VaultRequest(method="POST", path=path)))

    def _path(self, *parts: str) -> ApiPath:
        return ApiPath.of(self._mount, *parts)
