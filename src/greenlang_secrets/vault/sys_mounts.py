"""Mounts: which engines and auth methods there are, and where.

Secret engines and auth methods are mounted in the same way below two prefixes, so they share
their code here as they do in Vault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from greenlang_secrets.errors import ObjectExists, ObjectKind, ObjectNotFound, VaultRefused
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport import VaultRequest
from greenlang_secrets.vault.answers import Call, Fields, accepted, given, ttl_text

__all__ = ["AuthMounts", "Mount", "MountTuning", "Mounts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One engine or auth method.

    Attributes:
        path: without a final slash, and without ``auth/``.
        type: such as kv, database or approle.
        accessor: names the mount in templated policies and entity aliases.
        options: such as ``version`` of a KV mount.
    """

    path: str
    type: str
    accessor: str
    description: str
    options: Mapping[str, str]
    local: bool
    seal_wrap: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MountTuning:
    """What a mount allows.

    Attributes:
        default_lease_ttl, max_lease_ttl: seconds, the server's own where none is set.
    """

    description: str
    default_lease_ttl: float
    max_lease_ttl: float
    options: Mapping[str, str]


class Mounts:
    """The secret engines of a Vault; `call` sends a request with one token.

    Every method also raises what `TokenHolder.call` raises.
    """

    _root: ClassVar[str] = "mounts"
    _kind: ClassVar[ObjectKind] = "mount"

    def __init__(self, call: Call) -> None:
        self._call = call

    async def list(self) -> tuple[Mount, ...]:
        """Return all mounts, by path.

        ``GET /v1/sys/mounts`` and ``/v1/sys/auth`` (Vault API: "/sys/mounts", "/sys/auth").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        answer = await self._call(VaultRequest(method="GET", path=ApiPath.of("sys", self._root)))
        fields = accepted(answer)
        return tuple(
            sorted(
                (_mount(path, fields.part(path)) for path in fields), key=lambda mount: mount.path
            )
        )

    async def read(self, path: str) -> Mount:
        """Return one mount.

        ``GET /v1/sys/mounts/{path}`` and ``/v1/sys/auth/{path}`` (Vault API: "/sys/mounts",
        "/sys/auth").

        Raises:
            ObjectNotFound: nothing is mounted there.
            AccessDenied: the token's policies do not allow it.
        """
        answer = await self._call(VaultRequest(method="GET", path=self._path(path)))
        if answer.status == 400:  # with a text about the mount; the request has nothing else
            raise ObjectNotFound(self._kind, path=self._path(path))
        return _mount(path, accepted(answer))

    async def enable(
        self,
        path: str,
        type: str,  # noqa: A002  Vault's own word
        *,
        description: str = "",
        options: Mapping[str, str] | None = None,
        default_lease_ttl: float | None = None,
        max_lease_ttl: float | None = None,
        local: bool = False,
        seal_wrap: bool = False,
    ) -> None:
        """Mount an engine or auth method; TTLs in seconds.

        ``POST /v1/sys/mounts/{path}`` and ``/v1/sys/auth/{path}`` (Vault API: "/sys/mounts",
        "/sys/auth"). KV version 2 is type ``kv`` with ``options={"version": "2"}``.

        Raises:
            ObjectExists: something is mounted there.
            VaultRefused: the type is unknown.
            OutcomeUnknown: no answer came; read the mount.
            AccessDenied: the token's policies do not allow it.
        """
        config = given(
            default_lease_ttl=ttl_text(default_lease_ttl), max_lease_ttl=ttl_text(max_lease_ttl)
        )
        body = given(
            type=type,
            description=description,
            options=None if options is None else dict(options),
            config=config or None,
            local=local,
            seal_wrap=seal_wrap,
        )
        answer = await self._call(VaultRequest(method="POST", path=self._path(path), body=body))
        if answer.status == 400 and await self._is_there(path):
            raise ObjectExists(self._kind, path=self._path(path))
        accepted(answer)

    async def disable(self, path: str) -> None:
        """Unmount, and destroy everything in it: secrets, keys, roles; succeeds too where there
        is nothing. Its leases are revoked.

        ``DELETE /v1/sys/mounts/{path}`` and ``/v1/sys/auth/{path}`` (Vault API: "/sys/mounts",
        "/sys/auth").

        Raises:
            VaultRefused: it is one of Vault's own.
            AccessDenied: the token's policies do not allow it.
        """
        request = VaultRequest(method="DELETE", path=self._path(path), repeatable=True)
        accepted(await self._call(request))

    async def read_tuning(self, path: str) -> MountTuning:
        """Return what a mount allows.

        ``GET /v1/sys/mounts/{path}/tune`` and ``/v1/sys/auth/{path}/tune`` (Vault API:
        "/sys/mounts", "/sys/auth").

        Raises:
            ObjectNotFound: nothing is mounted there.
            AccessDenied: the token's policies do not allow it.
        """
        answer = await self._call(VaultRequest(method="GET", path=self._path(path, "tune")))
        if answer.status == 400:
            raise ObjectNotFound(self._kind, path=self._path(path))
        fields = accepted(answer)
        return MountTuning(
            description=fields.text("description", absent=""),
            default_lease_ttl=fields.seconds("default_lease_ttl"),
            max_lease_ttl=fields.seconds("max_lease_ttl"),
            options=_options(fields),
        )

    async def tune(
        self,
        path: str,
        *,
        description: str | None = None,
        default_lease_ttl: float | None = None,
        max_lease_ttl: float | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Change what a mount allows; what is None stays. TTLs in seconds.

        ``POST /v1/sys/mounts/{path}/tune`` and ``/v1/sys/auth/{path}/tune`` (Vault API:
        "/sys/mounts", "/sys/auth").

        Raises:
            ObjectNotFound: nothing is mounted there.
            VaultRefused: the TTLs do not fit one another.
            AccessDenied: the token's policies do not allow it.
        """
        body = given(
            description=description,
            default_lease_ttl=ttl_text(default_lease_ttl),
            max_lease_ttl=ttl_text(max_lease_ttl),
            options=None if options is None else dict(options),
        )
        request = VaultRequest(
            method="POST", path=self._path(path, "tune"), body=body, repeatable=True
        )
        answer = await self._call(request)
        if answer.status == 400 and not await self._is_there(path):
            raise ObjectNotFound(self._kind, path=self._path(path))
        accepted(answer)

    async def _is_there(self, path: str) -> bool:
        try:
            await self.read(path)
        except ObjectNotFound:
            return False
        except VaultRefused:  # a server without this request (Vault before 1.10)
            return any(mount.path == path for mount in await self.list())
        return True

    def _path(self, path: str, *more: str) -> ApiPath:
        return ApiPath.of("sys", self._root, path, *more)


class AuthMounts(Mounts):
    """The auth methods of a Vault; paths are without ``auth/``."""

    _root: ClassVar[str] = "auth"
    _kind: ClassVar[ObjectKind] = "auth mount"


def _mount(path: str, fields: Fields) -> Mount:
    return Mount(
        path=path.rstrip("/"),
        type=fields.text("type"),
        accessor=fields.text("accessor"),
        description=fields.text("description", absent=""),
        options=_options(fields),
        local=fields.flag("local"),
        seal_wrap=fields.flag("seal_wrap", absent=False),
    )


def _options(fields: Fields) -> dict[str, str]:
    return fields.part("options").texts_by_name() if fields.has("options") else {}
