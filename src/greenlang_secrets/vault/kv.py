"""KV version 2, complete: versions, CAS, patch, metadata, delete, undelete, destroy.

Vault answers 404 to six different situations and 204 to three kinds of nonsense
(docs/explanation/vault-facts.md); here each is told apart. Existence checks that need a second request
are made by `read_metadata`; what to check is the service's decision.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from greenlang_secrets.errors import (
    AccessDenied,
    PreconditionRequired,
    SecretNotFound,
    SecretsError,
    VaultProtocolError,
    VaultRefused,
    VersionConflict,
    VersionNotFound,
)
from greenlang_secrets.model import (
    Secret,
    SecretMetadata,
    SecretWritten,
)
from greenlang_secrets.paths import ApiPath, KvPath
from greenlang_secrets.sensitive import SecretMap, SecretValue
from greenlang_secrets.transport import VaultRequest, VaultResponse
from greenlang_secrets.vault.answers import ttl_text
from greenlang_secrets.vault.kv_answers import metadata_of, secret_of, version_of, written_of
from greenlang_secrets.vault.kv_outcome import CasWrite, done_once

__all__ = ["KvV2"]

_MERGE_PATCH: Final = "application/merge-patch+json"

Call = Callable[[VaultRequest], Awaitable[VaultResponse]]


class KvV2:
    """One KV v2 mount, spoken to with one token; `call` sends a request with that token, and
    `write_timeout` is the seconds that a write with CAS may take whose answer was lost.
    """

    def __init__(self, call: Call, *, write_timeout: float = 10.0) -> None:
        self._call = call
        self._write_timeout = write_timeout

    async def read(
        self, path: KvPath, *, version: int | None = None, consistent: bool = False
    ) -> Secret:
        """Return one version of a secret; the newest when `version` is None.

        ``GET /v1/{mount}/data/{path}`` (Vault API: KV v2, "Read Secret Version").
        `consistent` asks the active node first, because a standby may be behind it.

        Raises:
            SecretNotFound: there is no such secret.
            VersionNotFound: the secret has no such version, or it was pruned.
            SecretDeleted: the version exists but is soft-deleted or destroyed.
            AccessDenied: the token's policies do not allow it.
        """
        answer = await self._call(
            VaultRequest(
                method="GET",
                path=path.api("data"),
                query="" if version is None else f"version={version:d}",
                subject=path,
                consistent=consistent,
            )
        )
        if answer.status == 404:
            await self._explain_missing(path, version, answer.data.get("metadata"))
        return secret_of(path, _accepted(answer, path))

    async def _explain_missing(self, path: KvPath, version: int | None, metadata: object) -> None:
        if isinstance(metadata, dict):  # a 404 with a body: the version was deleted
            raise version_of(metadata.get("version"), metadata).gone(path)
        if version is not None:
            # Raises SecretNotFound if there is no secret at all.
            await self.read_metadata(path)
            raise VersionNotFound(path=path, version=version)
        raise SecretNotFound(path=path)

    async def write(
        self, path: KvPath, data: Mapping[str, str], *, cas: int | None = None
    ) -> SecretWritten:
        """Write a new version and return it.

        ``POST /v1/{mount}/data/{path}`` (Vault API: KV v2, "Create/Update Secret").
        `cas` is the version that must be the current one; 0 means "no version ever", which
        fails after a soft delete too. With it a write is done once, though an answer may be
        lost: what became of it is found out. None writes whatever is there.

        Raises:
            VersionConflict: the current version is another than `cas`.
            PreconditionRequired: the secret or mount demands CAS and `cas` is None.
            OutcomeUnknown: no answer came; the write may have happened.
            AccessDenied: the token's policies do not allow it.
        """

        async def is_ours(secret: Secret) -> bool:
            return secret.data == SecretMap(data)

        return await self._once(path, cas, lambda: self._write(path, data, cas), is_ours)

    async def _write(self, path: KvPath, data: Mapping[str, str], cas: int | None) -> SecretWritten:
        options = {} if cas is None else {"options": {"cas": cas}}
        answer = await self._call(
            VaultRequest(
                method="POST",
                path=path.api("data"),
                body={"data": dict(data), **options},
                subject=path,
            )
        )
        if answer.status == 400:
            raise await self._refused_write(path, cas)
        return written_of(path, _accepted(answer, path))

    async def patch(
        self, path: KvPath, data: Mapping[str, str | None], *, cas: int | None = None
    ) -> SecretWritten:
        """Write a new version that differs in these keys; None removes a key.

        ``PATCH /v1/{mount}/data/{path}`` (Vault API: KV v2, "Patch Secret"; JSON merge
        patch, RFC 7396).

        Raises:
            SecretNotFound, SecretDeleted: there is no live version to patch.
            VersionConflict, PreconditionRequired, OutcomeUnknown, AccessDenied: as `write`.
        """

        async def is_ours(secret: Secret) -> bool:
            before = await self.read(path, version=cas, consistent=True)
            return secret.data == _patched(before.data, data)

        return await self._once(path, cas, lambda: self._patch(path, data, cas), is_ours)

    async def _patch(
        self, path: KvPath, data: Mapping[str, str | None], cas: int | None
    ) -> SecretWritten:
        options = {} if cas is None else {"options": {"cas": cas}}
        answer = await self._call(
            VaultRequest(
                method="PATCH",
                path=path.api("data"),
                body={"data": dict(data), **options},
                content_type=_MERGE_PATCH,
                subject=path,
            )
        )
        if answer.status == 404:
            raise await self._nothing_to_patch(path)
        if answer.status == 400:
            raise await self._refused_write(path, cas)
        return written_of(path, _accepted(answer, path))

    async def _once(
        self,
        path: KvPath,
        cas: int | None,
        send: Callable[[], Awaitable[SecretWritten]],
        is_ours: Callable[[Secret], Awaitable[bool]],
    ) -> SecretWritten:
        """Do it once, if CAS lets us find out whether it was done."""
        if cas is None:
            return await send()
        write = CasWrite(
            path=path,
            cas=cas,
            send=send,
            current=lambda: self._current_version(path),
            made=lambda: self.read(path, version=cas + 1, consistent=True),
            is_ours=is_ours,
        )
        return await done_once(write, within=self._write_timeout)

    async def _current_version(self, path: KvPath) -> int:
        try:
            return (await self.read_metadata(path, consistent=True)).current_version
        except SecretNotFound:
            return 0

    async def _nothing_to_patch(self, path: KvPath) -> SecretsError:
        """Why a patch was answered 404; its body is another than that of a read, or empty."""
        current = (await self.read_metadata(path, consistent=True)).current
        if current is None:
            return SecretNotFound(path=path)
        if current.state == "live":  # written in between: the patch was not made on it
            return VersionConflict(path=path, current_version=current.version)
        return current.gone(path)

    async def _refused_write(self, path: KvPath, cas: int | None) -> SecretsError:
        """Why a write was answered 400, by asking for the state and not by reading the text."""
        try:
            metadata = await self.read_metadata(path, consistent=True)
        except SecretNotFound:
            return (
                VaultRefused(status=400, path=path)
                if cas is None or cas == 0
                else VersionConflict(path=path, current_version=0)
            )
        if cas is None:
            return PreconditionRequired(path=path)
        return VersionConflict(path=path, current_version=metadata.current_version)

    async def list(
        self, folder: ApiPath, *, after: str | None = None, limit: int | None = None
    ) -> list[str]:
        """Return the names directly below `folder`, sorted; a folder's ends with a slash.

        ``LIST /v1/{mount}/metadata/{path}/`` (Vault API: KV v2, "List Secrets"). Empty if
        there is nothing (Vault says 404). `after` and `limit` cut a page out of the answer.

        Raises:
            AccessDenied: the token's policies do not allow it.
            VaultRefused: there is no such mount.
        """
        # `after` is one of Vault's own names, which may hold anything. It is not sent, though
        # OpenBao would page: such a name needs an encoding that servers read differently.
        answer = await self._call(VaultRequest(method="LIST", path=folder))
        if answer.status == 404 and not answer.body.get("errors"):
            return []
        keys = _accepted(answer, None).get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise VaultProtocolError
        names = sorted(key for key in keys if after is None or key > after)
        return names if limit is None else names[:limit]

    async def read_metadata(self, path: KvPath, *, consistent: bool = False) -> SecretMetadata:
        """Return a secret's history and settings, without values.

        ``GET /v1/{mount}/metadata/{path}`` (Vault API: KV v2, "Read Secret Metadata").
        `consistent` as in `read`.

        Raises:
            SecretNotFound: there is no such secret.
            AccessDenied: the token's policies do not allow it.
        """
        answer = await self._call(
            VaultRequest(
                method="GET", path=path.api("metadata"), subject=path, consistent=consistent
            )
        )
        if answer.status == 404:
            raise SecretNotFound(path=path)
        return metadata_of(path, _accepted(answer, path))

    async def patch_metadata(
        self,
        path: KvPath,
        *,
        custom_metadata: Mapping[str, str | None] | None = None,
        max_versions: int | None = None,
        cas_required: bool | None = None,
        delete_version_after: float | None = None,
    ) -> None:
        """Change settings of a secret; what is None stays, a None inside `custom_metadata`
        removes that key. `delete_version_after` is in seconds, 0 for never.

        ``PATCH /v1/{mount}/metadata/{path}`` (Vault API: KV v2, "Patch Secret Metadata").

        Raises:
            SecretNotFound: there is no such secret.
            VaultRefused: more than 64 keys, or a value not of 1 to 512 octets.
            AccessDenied: the token's policies do not allow it.
        """
        body: dict[str, Any] = {}
        if custom_metadata is not None:
            body["custom_metadata"] = dict(custom_metadata)
        if max_versions is not None:
            body["max_versions"] = max_versions
        if cas_required is not None:
            body["cas_required"] = cas_required
        if delete_version_after is not None:
            body["delete_version_after"] = ttl_text(delete_version_after)
        answer = await self._call(
            VaultRequest(
                method="PATCH",
                path=path.api("metadata"),
                body=body,
                content_type=_MERGE_PATCH,
                repeatable=True,  # a merge patch twice is a merge patch once
                subject=path,
            )
        )
        if answer.status == 404:
            raise SecretNotFound(path=path)
        _accepted(answer, path)

    async def delete_latest(self, path: KvPath) -> None:
        """Soft-delete the newest version; `undelete` brings it back.

        ``DELETE /v1/{mount}/data/{path}`` (Vault API: KV v2, "Delete Latest Version of
        Secret"). Succeeds too where there is nothing.

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        await self._change(path, "DELETE", "data", None)

    async def delete(self, path: KvPath, versions: Sequence[int]) -> None:
        """Soft-delete these versions.

        ``POST /v1/{mount}/delete/{path}`` (Vault API: KV v2, "Delete Secret Versions").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        await self._change(path, "POST", "delete", versions)

    async def undelete(self, path: KvPath, versions: Sequence[int]) -> None:
        """Bring soft-deleted versions back. Succeeds too for unknown and destroyed ones.

        ``POST /v1/{mount}/undelete/{path}`` (Vault API: KV v2, "Undelete Secret Versions").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        await self._change(path, "POST", "undelete", versions)

    async def destroy(self, path: KvPath, versions: Sequence[int]) -> None:
        """Remove the data of these versions for good.

        ``POST /v1/{mount}/destroy/{path}`` (Vault API: KV v2, "Destroy Secret Versions").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        await self._change(path, "POST", "destroy", versions)

    async def delete_metadata(self, path: KvPath) -> None:
        """Remove the secret with all versions and settings for good.

        ``DELETE /v1/{mount}/metadata/{path}`` (Vault API: KV v2, "Delete Metadata and All
        Versions"). A secret written here later begins again at version 1.

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        await self._change(path, "DELETE", "metadata", None)

    async def _change(
        self, path: KvPath, method: Any, endpoint: str, versions: Sequence[int] | None
    ) -> None:
        """Changes that name their effect ("these versions are deleted"), so that doing one
        twice is doing it once; only the newest version is not such a name.
        """
        answer = await self._call(
            VaultRequest(
                method=method,
                path=path.api(endpoint),
                body=None if versions is None else {"versions": list(versions)},
                repeatable=versions is not None or endpoint == "metadata",
                subject=path,
            )
        )
        _accepted(answer, path)


def _accepted(answer: VaultResponse, path: KvPath | None) -> Mapping[str, Any]:
    """The `data` of a good answer; anything else as the error it means."""
    if answer.ok:
        return answer.data
    if answer.status == 403:
        raise AccessDenied(path=path)
    raise VaultRefused(status=answer.status, path=path)


def _patched(before: SecretMap, patch: Mapping[str, str | None]) -> SecretMap:
    """What a merge patch makes of a version."""
    after: dict[str, str | SecretValue] = {
        key: value for key in before.keys() - patch.keys() if (value := before.get(key)) is not None
    }
    after.update({key: value for key, value in patch.items() if value is not None})
    return SecretMap(after)
