"""Changes to one secret: what is checked before, and in which order things are sent.

Vault accepts nonsense in silence (undelete of a version that never was: 204) and keeps a
secret at a path that is also a folder, which lets a trailing slash bypass its policies.
So each change first looks at the secret's metadata. Between the look and the change
another writer may act: where that matters the change itself carries CAS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from greenlang_secrets.content import check_custom_metadata, check_data, check_patch
from greenlang_secrets.errors import (
    AncestorIsSecret,
    AuthenticationLost,
    OutcomeUnknown,
    PathIsFolder,
    PreconditionRequired,
    SecretDeleted,
    SecretExists,
    SecretNotFound,
    VaultUnavailable,
    VersionConflict,
    VersionDestroyed,
    VersionNotFound,
)
from greenlang_secrets.model import (
    TYPE_KEY,
    SecretMetadata,
    SecretType,
    SecretVersion,
    SecretWritten,
    Undeleted,
)
from greenlang_secrets.paths import KvPath
from greenlang_secrets.sensitive import SecretMap
from greenlang_secrets.vault.kv import KvV2

__all__ = ["Writer"]

_NAMED_TRIES: Final = 3
"""Times a last write that wins names the version it read, before it is sent without."""


class Writer:
    """Changes the secret at `path` through `kv`."""

    def __init__(self, kv: KvV2, path: KvPath) -> None:
        self._kv = kv
        self._path = path

    async def create(
        self,
        data: Mapping[str, str],
        *,
        type_: SecretType,
        custom_metadata: Mapping[str, str] | None,
    ) -> SecretWritten:
        """Write where nothing is live; see `SecretsView.create`."""
        check_data(data)
        if custom_metadata is not None:
            check_custom_metadata(custom_metadata)
        current = await self._current()
        if current is not None and current.live:
            raise SecretExists(path=self._path, current_version=current.current_version)
        written = await self._write_new(data, current)
        await self._describe(type_, custom_metadata or {}, current)
        return written

    async def put(
        self,
        data: Mapping[str, str],
        *,
        expected_version: int | None,
        must_exist: bool,
        skip_unchanged: bool,
        type_: SecretType | None,
        custom_metadata: Mapping[str, str] | None,
    ) -> SecretWritten:
        """Write a version; see `SecretsView.put`."""
        check_data(data)
        if custom_metadata is not None:
            check_custom_metadata(custom_metadata)
        current = await self._current()
        if current is None or not current.live:
            if must_exist:
                raise self._not_live(current)
            try:
                written = await self._write_new(data, current)
            except SecretExists:
                current = await self._known()  # somebody else was faster: the last write wins
            else:
                await self._describe(type_ or SecretType.GENERIC, custom_metadata or {}, current)
                return written
        self._expect(current, expected_version)
        if expected_version is None:
            written = await self._last_wins(
                current, lambda cas: self._kv.write(self._path, data, cas=cas)
            )
        else:
            written_already = await self._unchanged(data, current) if skip_unchanged else None
            written = written_already or await self._kv.write(
                self._path, data, cas=expected_version
            )
        if type_ is not None or custom_metadata is not None:
            await self._describe(
                type_ or current.type,
                current.custom_metadata if custom_metadata is None else custom_metadata,
                current,
            )
        return written

    async def patch(
        self, data: Mapping[str, str | None], *, expected_version: int | None
    ) -> SecretWritten:
        """Write a version that differs in these keys; see `SecretsView.patch`."""
        check_patch(data)
        if expected_version is not None:
            return await self._kv.patch(self._path, data, cas=expected_version)
        current = await self._known()
        if not current.live:
            raise self._not_live(current)
        return await self._last_wins(current, lambda cas: self._kv.patch(self._path, data, cas=cas))

    async def delete(self, versions: Sequence[int] | None, *, expected_version: int | None) -> None:
        """Soft-delete; see `SecretsView.delete`."""
        current = await self._known()
        self._expect(current, expected_version)
        if versions is None:
            if not current.live:
                raise self._not_live(current)
            # By its number: the newest may be another one by the time this arrives.
            versions = [current.current_version]
        elif not any(row.state == "live" for row in self._rows(current, versions)):
            raise self._rows(current, versions)[0].gone(self._path)
        await self._kv.delete(self._path, versions)

    async def undelete(self, versions: Sequence[int]) -> Undeleted:
        """Bring versions back; see `SecretsView.undelete`."""
        current = await self._known()
        rows = self._rows(current, versions)
        for row in rows:
            if row.state == "destroyed":
                raise VersionDestroyed(path=self._path, version=row.version)
        deleted = tuple(row.version for row in rows if row.state == "deleted")
        if deleted:
            await self._kv.undelete(self._path, deleted)
        return Undeleted(
            path=str(self._path),
            restored=deleted,
            already_live=tuple(row.version for row in rows if row.state == "live"),
            current_version=current.current_version,
        )

    async def destroy(self, versions: Sequence[int], *, expected_version: int | None) -> None:
        """Remove data for good; see `SecretsView.destroy`."""
        current = await self._known()
        self._expect(current, expected_version)
        self._rows(current, versions)
        await self._kv.destroy(self._path, versions)

    # ------------------------------------------------------------ parts

    async def _current(self) -> SecretMetadata | None:
        try:
            return await self._known()
        except SecretNotFound:
            return None

    async def _known(self) -> SecretMetadata:
        # From the active node: a standby's view, however little behind, makes conflicts.
        return await self._kv.read_metadata(self._path, consistent=True)

    async def _last_wins(
        self, current: SecretMetadata, send: Callable[[int | None], Awaitable[SecretWritten]]
    ) -> SecretWritten:
        """Write whatever the current version is. It is named all the same, as just read, for a
        write with CAS is done once though its answer may be lost; only against many others who
        write at the same moment it is sent blindly in the end.
        """
        if current.cas_required:  # its owner demands that the caller names a version
            raise PreconditionRequired(path=self._path)
        version = current.current_version
        for _ in range(_NAMED_TRIES):
            try:
                return await send(version)
            except VersionConflict:
                version = (await self._known()).current_version
        return await send(None)

    def _expect(self, current: SecretMetadata, expected_version: int | None) -> None:
        if expected_version is not None and expected_version != current.current_version:
            raise VersionConflict(path=self._path, current_version=current.current_version)

    def _rows(self, current: SecretMetadata, versions: Sequence[int]) -> list[SecretVersion]:
        rows = []
        for version in versions:
            row = current.find(version)
            if row is None:
                raise VersionNotFound(path=self._path, version=version)
            rows.append(row)
        return rows

    def _not_live(self, current: SecretMetadata | None) -> SecretNotFound | SecretDeleted:
        row = None if current is None else current.current
        return SecretNotFound(path=self._path) if row is None else row.gone(self._path)

    async def _write_new(
        self, data: Mapping[str, str], current: SecretMetadata | None
    ) -> SecretWritten:
        """Write where nothing is live. CAS 0 means "no version ever" and fails after a delete,
        so a deleted secret is written with its own number.
        """
        cas = 0 if current is None else current.current_version
        if cas == 0:
            await self._check_place()
        try:
            return await self._kv.write(self._path, data, cas=cas)
        except VersionConflict as conflict:
            # Somebody else was faster.
            raise SecretExists(
                path=self._path, current_version=conflict.facts.get("current_version")
            ) from None

    async def _check_place(self) -> None:
        """A secret is never also a folder: nothing below it, and no secret above it."""
        below, *above = await asyncio.gather(
            self._kv.list(self._path.as_folder(), limit=1),
            *(self._is_secret(path) for path in self._path.ancestors),
        )
        if below:
            raise PathIsFolder(path=self._path)
        if any(above):
            raise AncestorIsSecret(path=self._path)

    async def _is_secret(self, path: KvPath) -> bool:
        try:
            await self._kv.read_metadata(path)
        except SecretNotFound:
            return False
        return True

    async def _unchanged(
        self, data: Mapping[str, str], current: SecretMetadata
    ) -> SecretWritten | None:
        secret = await self._kv.read(self._path, version=current.current_version)
        if secret.data != SecretMap(data):
            return None
        return SecretWritten(
            path=str(self._path),
            version=secret.version,
            created_at=secret.created_at,
            unchanged=True,
        )

    async def _describe(
        self,
        type_: SecretType,
        custom_metadata: Mapping[str, str],
        before: SecretMetadata | None,
    ) -> None:
        """Set type and custom metadata. After the data, since the write's CAS decides who may:
        a loser must not describe the winner's secret.
        """
        wanted: dict[str, str | None] = {TYPE_KEY: type_.value, **custom_metadata}
        if before is not None:
            if before.type is type_ and before.custom_metadata == custom_metadata:
                return
            for key in before.custom_metadata:
                if not key.startswith("gls_"):
                    wanted.setdefault(key, None)
        try:
            await self._kv.patch_metadata(self._path, custom_metadata=wanted)
        except (VaultUnavailable, AuthenticationLost):
            # "Nothing was done" would be false by now: the data is written.
            raise OutcomeUnknown(path=self._path) from None
