"""KV version 1: one value at a path, without versions, CAS or undelete.

Only for mounts that exist already; what a path held is gone at the next write. KV version 2
is in `kv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from greenlang_secrets.errors import SecretNotFound
from greenlang_secrets.paths import ApiPath, FolderPath, SecretPath
from greenlang_secrets.sensitive import SecretMap
from greenlang_secrets.transport import Method, VaultRequest, VaultResponse
from greenlang_secrets.vault.answers import Call, Fields, accepted, names_of

__all__ = ["KvV1", "KvV1Secret"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KvV1Secret:
    """What a path holds.

    Attributes:
        data: numbers and structures that other tools wrote are given as the JSON they are.
        refresh_after: seconds after which Vault advises to read again: the secret's own
            `ttl` if it has one, else the mount's. Nothing ends then.
    """

    path: str
    data: SecretMap
    refresh_after: float


class KvV1:
    """One KV v1 mount, spoken to with one token; `call` sends a request with that token.

    Paths begin at the mount's root: v1 knows no scopes. Every method also raises what
    `TokenHolder.call` raises, and `VaultRefused` where the mount does not exist or is version 2.
    """

    def __init__(self, call: Call, *, mount: str) -> None:
        self._call = call
        self._mount = mount

    async def read(self, path: SecretPath) -> KvV1Secret:
        """Return what a path holds.

        ``GET /v1/{mount}/{path}`` (Vault API: KV v1, "Read Secret").

        Raises:
            SecretNotFound: there is no such secret.
            AccessDenied: the token's policies do not allow it.
        """
        answer = await self._send("GET", path)
        # A mount of version 2 says 404 too, with a warning, and an unknown mount with an error.
        if answer.status == 404 and not (answer.body.get("warnings") or answer.body.get("errors")):
            raise SecretNotFound(path=path)
        return KvV1Secret(
            path=str(path),
            data=accepted(answer).masked(),
            refresh_after=Fields(answer.body).seconds("lease_duration"),
        )

    async def write(self, path: SecretPath, data: Mapping[str, str]) -> None:
        """Write what a path holds from now on; keys that are not in `data` are gone.

        ``POST /v1/{mount}/{path}`` (Vault API: KV v1, "Create/Update Secret").

        Raises:
            VaultRefused: `data` is empty.
            AccessDenied: the token's policies do not allow it.
        """
        accepted(await self._send("POST", path, dict(data)))

    async def list(self, folder: FolderPath) -> tuple[str, ...]:
        """Return the names directly below `folder`, sorted; a folder's ends with a slash.

        ``LIST /v1/{mount}/{path}`` (Vault API: KV v1, "List Secrets"). Empty if there is
        nothing.

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        path = ApiPath.of(self._mount, *folder.segments)
        return names_of(await self._call(VaultRequest(method="LIST", path=path, subject=folder)))

    async def delete(self, path: SecretPath) -> None:
        """Remove what a path holds, for good; succeeds too where there is nothing.

        ``DELETE /v1/{mount}/{path}`` (Vault API: KV v1, "Delete Secret").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        accepted(await self._send("DELETE", path))

    async def _send(
        self, method: Method, path: SecretPath, body: Mapping[str, str] | None = None
    ) -> VaultResponse:
        return await self._call(
            VaultRequest(
                method=method,
                path=ApiPath.of(self._mount, *path.segments),
                body=body,
                repeatable=True,  # without versions, writing twice is writing once
                subject=path,
            )
        )
