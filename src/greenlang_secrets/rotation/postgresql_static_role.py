"""PostgreSQL, by a static role of Vault's database engine: one account whose password Vault changes.

One account has one password, so that there is a window: from Vault's change until consumers have
read what is promoted, logins with the old one fail. It is for consumers that try again;
`postgresql` has no such window. Vault has no fence either: what keeps an owner that was taken for
dead from changing the password once more is that it looks first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from greenlang_secrets.errors import InvalidPath, NotRotatable, ObjectNotFound, RotationFailed
from greenlang_secrets.paths import ApiPath, SecretPath
from greenlang_secrets.rotation.candidate import with_login
from greenlang_secrets.rotation.handler import Prepared, Rotation, Subject
from greenlang_secrets.rotation.postgresql_login import PostgresqlLogin, log_in, on_postgresql
from greenlang_secrets.rotation.requirements import check_kind
from greenlang_secrets.rotation.targets import AllowedTargets, needed_setting
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.sensitive import SecretMap
from greenlang_secrets.vault.client import VaultClient
from greenlang_secrets.vault.database import Database, StaticCredentials

__all__ = ["PostgresqlStaticRoleRotation"]

_MOUNT: Final = "database"
_SETTINGS: Final = ("role", "mount", "tls", "ca")
_LEAST_PERIODS: Final = 2  # Vault's own clock starts anew with each change, so that it never ends


class PostgresqlStaticRoleRotation:
    """Rotates a secret of the type `database` that is a copy of a static role's credentials.

    Args:
        kv_mount, tenant_targets: as for the other kinds; this one is the platform's alone.
    """

    kind: Final = RotationKind.POSTGRESQL_STATIC_ROLE
    promotes: Final = True

    def __init__(
        self, client: VaultClient, *, kv_mount: str, tenant_targets: Sequence[str] = ()
    ) -> None:
        self._client = client
        self._kv_mount = kv_mount
        self._allowed = AllowedTargets(tenant_targets)

    async def check(self, subject: Subject) -> None:
        """Return if the static role is the secret's account, Vault does not change it by itself
        before the schedule does, and its credentials log in where the secret says.

        Raises:
            NotRotatable: a setting or a field is missing or wrong, or the role does not fit.
            RotationFailed: the server is away, or the login does not work.
            VaultError, AccessDenied: the role cannot be read.
        """
        check_kind(subject, self.kind, *_SETTINGS)
        path, settings = subject.path, subject.policy.settings
        database, name = self._role(settings, path)
        login = PostgresqlLogin.of(subject.data, settings, path=path)
        self._allowed.check(subject.scope, login.host, login.port, path=path)
        try:
            role = await database.setup.read_static_role(name)
        except ObjectNotFound:
            raise NotRotatable("Vault has no such static role.", path=path) from None
        if role.username != login.username:
            raise NotRotatable(
                "The static role's account is another than the secret's username.", path=path
            )
        if role.rotation_period < _LEAST_PERIODS * subject.policy.interval:
            raise NotRotatable(
                "Vault changes the password by itself: give the static role a rotation_period of "
                "twice the interval or more.",
                path=path,
            )
        made = await database.static_credentials(name)
        await self._log_in(self._copy(subject.data, made, path), settings, path)

    async def prepare(self, rotation: Rotation) -> Prepared:
        """Return no candidate: Vault makes the password, in `apply`."""
        self._needed(rotation, rotation.current)
        return Prepared()

    async def apply(self, rotation: Rotation) -> Prepared:
        """Have Vault change the password, unless it is another than the secret's already; return
        the data with what Vault has then. From here on the old password does not work.

        Raises:
            RotationFailed: a setting or the version that it began with is gone (`incomplete`).
            OutcomeUnknown: the database was away; Vault goes on trying.
        """
        database, name, data = self._needed(rotation, rotation.current)
        made = await database.static_credentials(name)
        try:  # before anything is changed
            candidate = self._copy(data, made, rotation.path)
        except NotRotatable:
            raise RotationFailed("incomplete", path=rotation.path) from None
        if made.password == data.get("password"):
            await database.rotate_role(name)
            made = await database.static_credentials(name)
            candidate = self._copy(data, made, rotation.path)
        return Prepared(candidate=candidate)

    async def verify(self, rotation: Rotation) -> None:
        """Log in with the candidate, which is what Vault has.

        Raises:
            RotationFailed: `verify_failed`, or the server is away.
        """
        database, name, data = self._needed(rotation, rotation.candidate)
        made = await database.static_credentials(name)
        if made.password != data.get("password"):
            raise RotationFailed("verify_failed", path=rotation.path)
        await self._log_in(data, rotation.settings, rotation.path)

    async def retire(self, rotation: Rotation) -> Prepared:  # noqa: ARG002  as the protocol has it
        """Do nothing: the password before has not worked since `apply`."""
        return Prepared()

    # ------------------------------------------------------------ what the steps need

    def _role(self, settings: Mapping[str, str], path: SecretPath) -> tuple[Database, str]:
        name = needed_setting(settings, "role", path=path)
        mount = settings.get("mount", _MOUNT)
        try:
            ApiPath.of(mount, "static-roles", name)
        except InvalidPath:
            raise NotRotatable(
                "The setting 'role' or 'mount' is not the name of one.", path=path
            ) from None
        return self._client.database(mount=mount), name

    def _needed(
        self, rotation: Rotation, data: SecretMap | None
    ) -> tuple[Database, str, SecretMap]:
        if data is None:
            raise RotationFailed("incomplete", path=rotation.path)
        try:
            return (*self._role(rotation.settings, rotation.path), data)
        except NotRotatable:
            raise RotationFailed("incomplete", path=rotation.path) from None

    def _copy(self, data: SecretMap, made: StaticCredentials, path: SecretPath) -> SecretMap:
        return with_login(data, username=made.username, password=made.password, path=path)

    async def _log_in(self, data: SecretMap, settings: Mapping[str, str], path: SecretPath) -> None:
        try:
            login = PostgresqlLogin.of(data, settings, path=path)
        except NotRotatable:
            raise RotationFailed("incomplete", path=path) from None
        await on_postgresql(login, log_in, denied="verify_failed")
