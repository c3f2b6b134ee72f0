"""Listings: the names below a prefix, page by page, each secret with its metadata.

Vault lists names alone, so a page costs one list and one metadata read per secret, made
concurrently. Names outside the grammar, written by other tools, are shown and marked:
hiding them would make a folder look emptier than it is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from greenlang_secrets.errors import InvalidRequest, SecretNotFound
from greenlang_secrets.model import SecretEntry
from greenlang_secrets.paths import FolderPath, KvPath, Scope, SecretPath
from greenlang_secrets.vault.kv import KvV2

__all__ = ["MAX_PAGE", "Listing", "Page"]

MAX_PAGE: Final = 100
"""Entries of one page at most; each costs a metadata read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a listing; `next` is the `after` of the following page, None at the end."""

    items: tuple[SecretEntry, ...]
    next: str | None


class Listing:
    """Lists one scope of a mount through `kv`."""

    def __init__(self, kv: KvV2, mount: str, scope: Scope) -> None:
        self._kv = kv
        self._mount = mount
        self._scope = scope

    async def page(self, folder: FolderPath, *, limit: int, after: str | None) -> Page:
        """Return up to `limit` entries directly below `folder` that follow `after`."""
        names = await self._kv.list(
            KvPath.folder(self._mount, self._scope, folder), after=after, limit=limit + 1
        )
        more = len(names) > limit
        names = names[:limit]
        entries = await asyncio.gather(*(self._entry(f"{folder}{name}") for name in names))
        return Page(
            items=tuple(entry for entry in entries if entry is not None),
            next=names[-1] if more else None,
        )

    async def _entry(self, text: str) -> SecretEntry | None:
        if text.endswith("/"):
            return SecretEntry(path=text, kind="folder", addressable=_is_folder(text))
        try:
            path = KvPath.of(self._mount, self._scope, SecretPath.parse(text))
        except InvalidRequest:
            return SecretEntry(path=text, kind="secret", addressable=False)
        try:
            metadata = await self._kv.read_metadata(path)
        except SecretNotFound:
            return None  # purged since it was listed
        return SecretEntry(path=text, kind="secret", metadata=metadata)


def _is_folder(text: str) -> bool:
    try:
        FolderPath.parse(text)
    except InvalidRequest:
        return False
    return True
