"""PostgreSQL, by a pair of users of which one is used while the other gets a new password.

Both are members of a role that owns the objects, and act as it from their login on, so that it
does not matter which of them an application is. The server refuses an owner that was taken for
dead: what it wants to change and the greatest fence it has seen are in one transaction.

The password does not go to the server: a SCRAM verifier does, and that by ``COPY`` into a
temporary table, because statements are what the server's log, ``pg_stat_activity`` and
``pg_stat_statements`` show (docs/explanation/vault-facts.md, "Targets of rotation").
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from greenlang_secrets.errors import (
    NotRotatable,
    RotationFailed,
    SecretDeleted,
    SecretNotFound,
)
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import KvPath, Scope, SecretPath
from greenlang_secrets.rotation.candidate import with_login
from greenlang_secrets.rotation.handler import Prepared, Rotation, Subject
from greenlang_secrets.rotation.postgresql_fence import (
    MISFITS,
    Fence,
    cut_off,
    end_sessions,
    give,
    misfit,
)
from greenlang_secrets.rotation.postgresql_login import PostgresqlLogin, log_in, on_postgresql
from greenlang_secrets.rotation.requirements import check_kind
from greenlang_secrets.rotation.scram import scram_verifier
from greenlang_secrets.rotation.targets import (
    AllowedTargets,
    admin_path,
    needed_setting,
    read_admin,
)
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.sensitive import SecretMap, SecretValue
from greenlang_secrets.vault.client import VaultClient

__all__ = ["PostgresqlRotation"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")
_PASSWORD_OCTETS: Final = 32
_SETTINGS: Final = ("users", "owner", "admin", "terminate", "tls", "ca")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """What the settings say."""

    users: tuple[str, str]
    owner: str
    admin: SecretPath
    terminate: bool

    @classmethod
    def of(cls, settings: Mapping[str, str], *, path: SecretPath) -> _Pair:
        users = tuple(
            name.strip() for name in needed_setting(settings, "users", path=path).split(",")
        )
        owner = needed_setting(settings, "owner", path=path)
        if len({*users, owner}) != 3 or not all(map(_NAME.match, (*users, owner))):
            raise NotRotatable(
                "The settings 'users' and 'owner' are the names of two users, with a comma "
                "between, and of the role that both are members of: letters, digits and '_'.",
                path=path,
            )
        terminate = settings.get("terminate", "false")
        if terminate not in {"true", "false"}:
            raise NotRotatable("The setting 'terminate' is true or false.", path=path)
        return cls(
            users=(users[0], users[1]),
            owner=owner,
            admin=admin_path(settings, path=path),
            terminate=terminate == "true",
        )

    def other(self, username: str, *, path: object) -> str:
        """Return the other user of the pair.

        Raises:
            NotRotatable: `username` is none of them.
        """
        if username not in self.users:
            raise NotRotatable(
                "The secret's username is none of those in the setting 'users'.", path=path
            )
        return self.users[1 - self.users.index(username)]


class PostgresqlRotation:
    """Rotates a secret of the type `database` between two users of a PostgreSQL.

    Args:
        kv_mount: the mount with the secrets, the administrator's among them.
        tenant_targets: where tenants' secrets may be rotated; see `AllowedTargets`.
    """

    kind: Final = RotationKind.POSTGRESQL
    promotes: Final = True

    def __init__(
        self, client: VaultClient, *, kv_mount: str, tenant_targets: Sequence[str] = ()
    ) -> None:
        self._client = client
        self._kv_mount = kv_mount
        self._allowed = AllowedTargets(tenant_targets)

    async def check(self, subject: Subject) -> None:
        """Return if both logins work: the secret's own, and that of an administrator who may change
        both users. Changes nothing.

        Raises:
            NotRotatable: a setting or a field is missing or wrong, or the users are not such a
                pair.
            RotationFailed: the server is away, or a login does not work.
            VaultError: the administrator's secret cannot be read.
        """
        check_kind(subject, self.kind, *_SETTINGS)
        path, settings = subject.path, subject.policy.settings
        pair = _Pair.of(settings, path=path)
        login = PostgresqlLogin.of(subject.data, settings, path=path)
        pair.other(login.username, path=path)
        with_login(subject.data, username="a", password=SecretValue("b"), path=path)
        admin = await self._admin(pair, login, settings, subject.scope, path)
        for one in (login, admin):
            self._allowed.check(subject.scope, one.host, one.port, path=path)
        fence = self._fence(pair, subject.scope, path, number=0, operation="")

        async def look(connection: Any) -> str | None:
            return await misfit(connection, fence, pair.owner)

        if found := await on_postgresql(admin, look, denied="target_denied"):
            raise NotRotatable(MISFITS[found], path=path)
        await on_postgresql(login, log_in, denied="verify_failed")

    async def prepare(self, rotation: Rotation) -> Prepared:
        """Return the data with the other user of the pair, and a password of 256 random bits."""
        pair, login, data = self._read(rotation, rotation.current)
        try:
            candidate = with_login(
                data,
                username=pair.other(login.username, path=rotation.path),
                password=_new_password(),
                path=rotation.path,
            )
        except NotRotatable:
            raise RotationFailed("incomplete", path=rotation.path) from None
        return Prepared(candidate=candidate)

    async def apply(self, rotation: Rotation) -> Prepared:
        """Give the candidate's user the candidate's password; the user is made if missing.

        Raises:
            RotationFenced: the server has seen a greater fence for one of the two users.
            RotationFailed: the server is away, or refuses.
        """
        pair, login, _ = self._read(rotation, rotation.candidate)
        verifier = scram_verifier(login.password)

        async def take(connection: Any, fence: Fence) -> None:
            await give(connection, fence, role=login.username, owner=pair.owner, verifier=verifier)

        await self._as_admin(rotation, pair, login, take)
        return Prepared()

    async def verify(self, rotation: Rotation) -> None:
        """Log in with the candidate, and see that it acts as the role that owns the objects.

        Raises:
            RotationFailed: `verify_failed`, or the server is away.
        """
        pair, login, _ = self._read(rotation, rotation.candidate)
        self._allowed.need(rotation.scope, login.host, login.port, path=rotation.path)
        acts_as = await on_postgresql(login, log_in, denied="verify_failed")
        if acts_as != pair.owner:
            raise RotationFailed("verify_failed", path=rotation.path)

    async def retire(self, rotation: Rotation) -> Prepared:
        """Give the user before a password that nobody knows; with the setting ``terminate`` end its
        sessions too. Leaves it alone if the secret names it again by now.

        Raises:
            RotationFenced, RotationFailed: as `apply`.
            VaultError: the secret cannot be read.
        """
        pair, login, _ = self._read(rotation, rotation.candidate)
        old = pair.other(login.username, path=rotation.path)
        if await self._is_live(rotation, old):
            return Prepared()
        verifier = scram_verifier(_new_password())

        async def retire(connection: Any, fence: Fence) -> None:
            await cut_off(connection, fence, role=old, verifier=verifier)
            if pair.terminate:  # after the commit: nobody logs in with the old password any more
                await end_sessions(connection, old)

        await self._as_admin(rotation, pair, login, retire)
        return Prepared()

    # ------------------------------------------------------------ what the steps need

    def _read(
        self, rotation: Rotation, data: SecretMap | None
    ) -> tuple[_Pair, PostgresqlLogin, SecretMap]:
        """Return what the settings and this data of the secret say.

        Raises:
            RotationFailed: there is no such data, or something is missing or wrong (`incomplete`).
        """
        if data is None:
            raise RotationFailed("incomplete", path=rotation.path)
        try:
            pair = _Pair.of(rotation.settings, path=rotation.path)
            login = PostgresqlLogin.of(data, rotation.settings, path=rotation.path)
            pair.other(login.username, path=rotation.path)
        except NotRotatable:
            raise RotationFailed("incomplete", path=rotation.path) from None
        return pair, login, data

    async def _as_admin(
        self,
        rotation: Rotation,
        pair: _Pair,
        login: PostgresqlLogin,
        work: Callable[[Any, Fence], Awaitable[None]],
    ) -> None:
        """Do something as the administrator, with the fence of this rotation."""
        path = rotation.path
        try:
            admin = await self._admin(pair, login, rotation.settings, rotation.scope, path)
        except NotRotatable:
            raise RotationFailed("incomplete", path=path) from None
        self._allowed.need(rotation.scope, admin.host, admin.port, path=path)
        fence = self._fence(
            pair, rotation.scope, path, number=rotation.fence, operation=rotation.id
        )
        await on_postgresql(
            admin, lambda connection: work(connection, fence), denied="target_denied"
        )

    async def _admin(
        self,
        pair: _Pair,
        login: PostgresqlLogin,
        settings: Mapping[str, str],
        scope: Scope,
        path: SecretPath,
    ) -> PostgresqlLogin:
        """Return the administrator's login; where its secret does not say where, it is where the
        rotated secret says.
        """
        secret = await read_admin(
            self._client,
            self._kv_mount,
            scope=scope,
            path=path,
            admin=pair.admin,
            type_=SecretType.DATABASE,
        )
        admin = PostgresqlLogin.of(secret.data, settings, path=path, at=login)
        if admin.username in pair.users:
            raise NotRotatable("The administrator is one of the users to be rotated.", path=path)
        return admin

    def _fence(
        self, pair: _Pair, scope: Scope, path: SecretPath, *, number: int, operation: str
    ) -> Fence:
        place = KvPath.of(self._kv_mount, scope, path)
        return Fence(
            users=pair.users,
            secret=KvPath.of_rotation(self._kv_mount, place).segments[-1],
            number=number,
            operation=operation,
            path=path,
        )

    async def _is_live(self, rotation: Rotation, username: str) -> bool:
        """Whether the secret, as it is now, names this user: somebody wrote it by hand then."""
        place = KvPath.of(self._kv_mount, rotation.scope, rotation.path)
        try:
            live = await self._client.kv(rotation.scope).read(place, consistent=True)
        except (SecretNotFound, SecretDeleted):
            return False
        named = live.data.get("username")
        return named is not None and named == SecretValue(username)


def _new_password() -> SecretValue:
    return SecretValue(secrets.token_urlsafe(_PASSWORD_OCTETS))
