"""Where ciphertexts of a transit key are kept: what a sweep reads and replaces.

Two kinds: secrets below a prefix, here, and columns of tables, in `sql_ciphertexts`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from greenlang_secrets.errors import InvalidPath, NotRotatable, SecretUnavailable, VersionConflict
from greenlang_secrets.paths import FolderPath, KvPath, Scope, SecretPath
from greenlang_secrets.vault.kv import KvV2
from greenlang_secrets.vault.transit_values import AssociatedData, Encrypted, key_version_of

__all__ = ["CiphertextSources", "Ciphertexts", "Found", "KvCiphertexts"]

_KV: Final = "kv:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A ciphertext, and where it stands.

    Attributes:
        place: what `Ciphertexts.page` goes on after; never secret.
        field: which of several at that place; empty where there is one.
        associated_data: what it is bound to, as `bound_to` gives it; None for nothing.
    """

    place: str
    ciphertext: str
    field: str = ""
    associated_data: AssociatedData | None = None


class Ciphertexts(Protocol):
    """A place that holds ciphertexts of one key, and nothing that another key encrypted."""

    async def page(self, after: str | None, limit: int) -> Sequence[Found]:
        """Return the ciphertexts that follow the place `after`, in the order of places; about
        `limit` of them, and all of one place together. Empty at the end.
        """
        ...

    async def replace(self, found: Found, new: Encrypted) -> bool:
        """Put `new` where `found` stands, if that still stands there; otherwise return False."""
        ...


class CiphertextSources:
    """Sources by name, for the setting ``sweep``. Those of the process: register the same ones in
    every process that rotates.
    """

    def __init__(self) -> None:
        self._named: dict[str, Ciphertexts] = {}

    def register(self, name: str, source: Ciphertexts) -> None:
        """Give a source a name; replaces one that has it."""
        self._named[name] = source

    def of(self, sweep: str, *, kv: KvV2, kv_mount: str, scope: Scope) -> tuple[Ciphertexts, ...]:
        """Return the sources of a setting: names, and ``kv:prefix/`` for secrets of `scope`,
        joined by commas; none for an empty one.

        Raises:
            NotRotatable: a name is unknown, or a prefix is none.
        """
        parts = [part.strip() for part in sweep.split(",")]
        return tuple(
            self._one(part, kv=kv, kv_mount=kv_mount, scope=scope) for part in parts if part
        )

    def _one(self, part: str, *, kv: KvV2, kv_mount: str, scope: Scope) -> Ciphertexts:
        if part.startswith(_KV):
            try:
                prefix = FolderPath.parse(part.removeprefix(_KV))
            except InvalidPath:
                prefix = FolderPath(())
            if not prefix.segments:
                raise NotRotatable("'sweep' is a source such as kv:prefix/, with the final slash.")
            return KvCiphertexts(kv, kv_mount=kv_mount, scope=scope, prefix=prefix)
        source = self._named.get(part)
        if source is None:
            raise NotRotatable(
                "'sweep' names a source of ciphertexts that this process does not have; "
                "register it, or use kv:prefix/."
            )
        return source


class KvCiphertexts:
    """The secrets below a prefix: each field that is a ciphertext. Only current versions are looked
    at; older ones keep what they have, and no longer decrypt once the old key is retired.
    """

    def __init__(self, kv: KvV2, *, kv_mount: str, scope: Scope, prefix: FolderPath) -> None:
        self._kv = kv
        self._kv_mount = kv_mount
        self._scope = scope
        self._prefix = prefix

    async def page(self, after: str | None, limit: int) -> Sequence[Found]:
        """Return the ciphertexts of the secrets after `after`, whole secrets, in the order of
        their segments. Secrets outside the grammar, deleted and purged ones are left out.
        """
        found: list[Found] = []
        behind = None if after is None else SecretPath.parse(after).segments
        async for path in self._below(self._prefix.segments, behind):
            found += await self._in(path)
            if len(found) >= limit:
                break
        return found

    async def replace(self, found: Found, new: Encrypted) -> bool:
        """Write the field anew by CAS, if it still holds what was found."""
        path = self._place(found.place)
        try:
            secret = await self._kv.read(path, consistent=True)
            held = secret.data.get(found.field)
            if held is None or held.reveal() != found.ciphertext:
                return False
            await self._kv.patch(path, {found.field: new.ciphertext}, cas=secret.version)
        except (SecretUnavailable, VersionConflict):
            return False
        return True

    async def _below(
        self, folder: tuple[str, ...], behind: tuple[str, ...] | None
    ) -> AsyncIterator[SecretPath]:
        """Paths in order, depth first; folders that lie before `behind` are not asked for."""
        names = await self._kv.list(KvPath.folder(self._kv_mount, self._scope, FolderPath(folder)))
        at = len(folder)
        # "a" and "a/" are two entries of one segment: the secret comes first.
        for name in sorted(names, key=lambda name: (name.rstrip("/"), name.endswith("/"))):
            segments = (*folder, name.rstrip("/"))
            if behind is not None and segments < behind[: at + 1]:
                continue
            try:
                path = SecretPath.parse("/".join(segments))
            except InvalidPath:
                continue
            if name.endswith("/"):
                async for below in self._below(segments, behind):
                    yield below
            elif behind is None or segments > behind:
                yield path

    async def _in(self, path: SecretPath) -> list[Found]:
        try:
            secret = await self._kv.read(self._place(str(path)), consistent=True)
        except SecretUnavailable:
            return []
        texts: Mapping[str, str] = secret.data.reveal()
        return [
            Found(place=str(path), field=name, ciphertext=text)
            for name, text in sorted(texts.items())
            if key_version_of(text) is not None
        ]

    def _place(self, path: str) -> KvPath:
        return KvPath.of(self._kv_mount, self._scope, SecretPath.parse(path))
