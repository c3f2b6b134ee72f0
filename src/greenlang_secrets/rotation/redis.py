"""Redis and Valkey, by an ACL user that takes two passwords while consumers move to the new one.

Passwords go to the server as SHA-256 digests (``ACL SETUSER u #<digest>``), so that none is in
its ``MONITOR``, ``SLOWLOG`` or ``ACL LOG``. ``WATCH`` on the fence and ``MULTI`` make one step of
the look at the fence and the change, so that an owner that was taken for dead is refused.

A server's users are its own: replicas and other nodes of a cluster do not get them from it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from greenlang_secrets.errors import (
    NotRotatable,
    RotationFailed,
    RotationFenced,
    SecretDeleted,
    SecretNotFound,
)
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import KvPath, Scope, SecretPath
from greenlang_secrets.rotation.candidate import with_login
from greenlang_secrets.rotation.handler import Prepared, Rotation, Subject
from greenlang_secrets.rotation.redis_login import RedisLogin, driver_errors, on_redis
from greenlang_secrets.rotation.requirements import check_kind
from greenlang_secrets.rotation.targets import AllowedTargets, admin_path, read_admin
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.sensitive import SecretMap, SecretValue
from greenlang_secrets.vault.client import VaultClient

__all__ = ["RedisRotation"]

_PASSWORD_OCTETS: Final = 32
_SETTINGS: Final = ("admin", "ca")
_TRIES: Final = 5  # of a transaction that another owner's came before; two owners are the most
_NO_FILE: Final = "not configured to use an ACL file"  # what a server says that has none


class RedisRotation:
    """Rotates a secret of the type `cache` whose user is one of the ACL of a Redis or Valkey.

    Args:
        kv_mount: the mount with the secrets, the administrator's among them.
        tenant_targets: where tenants' secrets may be rotated; see `AllowedTargets`.
    """

    kind: Final = RotationKind.REDIS
    promotes: Final = True

    def __init__(
        self, client: VaultClient, *, kv_mount: str, tenant_targets: Sequence[str] = ()
    ) -> None:
        self._client = client
        self._kv_mount = kv_mount
        self._allowed = AllowedTargets(tenant_targets)

    async def check(self, subject: Subject) -> None:
        """Return if both logins work: the secret's own, and that of an administrator who may see
        the user. Changes nothing.

        Raises:
            NotRotatable: a setting or a field is missing or wrong, or the user takes any password.
            RotationFailed: the server is away, or a login does not work.
            VaultError: the administrator's secret cannot be read.
        """
        check_kind(subject, self.kind, *_SETTINGS)
        path, settings = subject.path, subject.policy.settings
        login = RedisLogin.of(subject.data, settings, path=path)
        name = _ordinary(login, path)
        with_login(subject.data, username=None, password=SecretValue("b"), path=path)
        admin = await self._admin(login, settings, subject.scope, path)
        for one in (login, admin):
            self._allowed.check(subject.scope, one.host, one.port, path=path)

        async def look(server: Any) -> None:
            try:
                _usable(await server.acl_getuser(name), path)
            except RotationFailed:
                raise NotRotatable(
                    "The server has no such user, or one that takes any password.", path=path
                ) from None
            await server.get(_fence_key(name))

        await on_redis(admin, look, denied="target_denied")
        await on_redis(login, _ping, denied="verify_failed")

    async def prepare(self, rotation: Rotation) -> Prepared:
        """Return the data with a password of 256 random bits, in its URLs as well."""
        _, data = self._read(rotation, rotation.current)
        password = SecretValue(secrets.token_urlsafe(_PASSWORD_OCTETS))
        try:
            candidate = with_login(data, username=None, password=password, path=rotation.path)
        except NotRotatable:
            raise RotationFailed("incomplete", path=rotation.path) from None
        return Prepared(candidate=candidate)

    async def apply(self, rotation: Rotation) -> Prepared:
        """Have the user take the present password and the candidate's, and no other.

        Raises:
            RotationFenced: the server has seen a greater fence for this user.
            RotationFailed: the server is away, or refuses.
        """
        login, _ = self._read(rotation, rotation.candidate)
        before, _ = self._read(rotation, rotation.current)
        if before.username != login.username:
            raise RotationFailed("incomplete", path=rotation.path)
        await self._take(rotation, login, before.password, login.password)
        return Prepared()

    async def verify(self, rotation: Rotation) -> None:
        """Log in with the candidate.

        Raises:
            RotationFailed: `verify_failed`, or the server is away.
        """
        login, _ = self._read(rotation, rotation.candidate)
        self._allowed.need(rotation.scope, login.host, login.port, path=rotation.path)
        await on_redis(login, _ping, denied="verify_failed")

    async def retire(self, rotation: Rotation) -> Prepared:
        """Have the user take the candidate's password and no other, except for one that somebody
        has written into the secret by hand since.

        Raises:
            RotationFenced, RotationFailed: as `apply`.
            VaultError: the secret cannot be read.
        """
        login, _ = self._read(rotation, rotation.candidate)
        live = await self._live_password(rotation, login)
        await self._take(rotation, login, login.password, *([live] if live else []))
        return Prepared()

    # ------------------------------------------------------------ what the steps need

    def _read(self, rotation: Rotation, data: SecretMap | None) -> tuple[RedisLogin, SecretMap]:
        """Return what this data of the secret says.

        Raises:
            RotationFailed: there is no such data, or something is missing or wrong (`incomplete`).
        """
        if data is None:
            raise RotationFailed("incomplete", path=rotation.path)
        try:
            login = RedisLogin.of(data, rotation.settings, path=rotation.path)
            _ordinary(login, rotation.path)
        except NotRotatable:
            raise RotationFailed("incomplete", path=rotation.path) from None
        return login, data

    async def _take(self, rotation: Rotation, login: RedisLogin, *passwords: SecretValue) -> None:
        """Have the user take exactly these passwords, and the server keep that if it keeps users."""
        path = rotation.path
        name = _ordinary(login, path)
        try:
            admin = await self._admin(login, rotation.settings, rotation.scope, path)
        except NotRotatable:
            raise RotationFailed("incomplete", path=path) from None
        self._allowed.need(rotation.scope, admin.host, admin.port, path=path)
        rules = ["resetpass", *sorted({f"#{_digest(password)}" for password in passwords})]

        async def take(server: Any) -> None:
            for _ in range(_TRIES):
                if await _fenced(server, name, rotation, rules):
                    return await _save(server)
            raise RotationFailed("target_unavailable", path=path)

        await on_redis(admin, take, denied="target_denied")

    async def _admin(
        self, login: RedisLogin, settings: Mapping[str, str], scope: Scope, path: SecretPath
    ) -> RedisLogin:
        """Return the administrator's login."""
        secret = await read_admin(
            self._client,
            self._kv_mount,
            scope=scope,
            path=path,
            admin=admin_path(settings, path=path),
            type_=SecretType.CACHE,
        )
        admin = RedisLogin.of(secret.data, settings, path=path, at=login)
        if admin.username == login.username:
            raise NotRotatable("The administrator is the user to be rotated.", path=path)
        return admin

    async def _live_password(self, rotation: Rotation, login: RedisLogin) -> SecretValue | None:
        """Return the password in the secret as it is now, if it is one of the same user."""
        place = KvPath.of(self._kv_mount, rotation.scope, rotation.path)
        try:
            live = await self._client.kv(rotation.scope).read(place, consistent=True)
        except (SecretNotFound, SecretDeleted):
            return None
        named = live.data.get("username")
        if named is None or named != SecretValue(login.username):
            return None
        return live.data.get("password") or None


def _ordinary(login: RedisLogin, path: object) -> str:
    """Return the user's name.

    Raises:
        NotRotatable: it is the user that everybody is who does not log in.
    """
    if login.username == "default":
        raise NotRotatable(
            "The user 'default' is not rotated: make a user of your own and name it.", path=path
        )
    return login.username


async def _ping(server: Any) -> None:
    with suppress(driver_errors().NoPermissionError):  # it was let in, and may do other things
        await server.ping()


def _fence_key(name: str) -> str:
    return f"gls:fence:{name}"


async def _fenced(server: Any, name: str, rotation: Rotation, rules: Sequence[str]) -> bool:
    """Change the user and raise the fence, at once; return False if somebody came between.

    Raises:
        RotationFenced: the server has seen a greater fence.
        RotationFailed: there is no such user, or it takes any password.
    """
    async with server.pipeline(transaction=True) as transaction:
        await transaction.watch(_fence_key(name))
        seen = await transaction.get(_fence_key(name))
        if seen is not None and int(seen) > rotation.fence:
            raise RotationFenced(path=rotation.path)
        _usable(await transaction.execute_command("ACL GETUSER", name), rotation.path)
        transaction.multi()
        transaction.set(_fence_key(name), str(rotation.fence))
        transaction.execute_command("ACL SETUSER", name, *rules)
        try:
            await transaction.execute()
        except driver_errors().WatchError:
            return False
    return True


def _usable(user: Any, path: object) -> None:
    """Return if there is a user who needs a password.

    Raises:
        RotationFailed: there is none, it is off, or it takes any password (`target_refused`).
    """
    flags = set() if user is None else {str(flag) for flag in user["flags"]}
    if "on" not in flags or "nopass" in flags:
        raise RotationFailed("target_refused", path=path)


async def _save(server: Any) -> None:
    """Have the server keep its users, where it keeps them in a file (Redis, "ACL SAVE")."""
    try:
        await server.execute_command("ACL SAVE")
    except driver_errors().ResponseError as error:
        if _NO_FILE not in str(error):
            raise


def _digest(password: SecretValue) -> str:
    return hashlib.sha256(password.reveal().encode()).hexdigest()
