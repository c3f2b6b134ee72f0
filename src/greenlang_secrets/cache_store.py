"""What the cache holds: entries within bounds, found by key, by scope and by path.

It knows when nothing is fresh any more only so far that it puts all entries aside at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from typing import Final, Generic, TypeVar

from greenlang_secrets.cache_entries import CacheKey, Entry

__all__ = ["Shelf", "Store"]

V = TypeVar("V")

_CHANCES: Final = 64
"""Entries in use that one eviction passes over at most, in some 30 microseconds."""

Shelf = Mapping[Hashable, Entry[V]]
"""The newest versions of one scope by path: what a fresh read looks into, and nothing else."""


class Store(Generic[V]):
    """Entries, at most so many and of so many octets.

    Attributes:
        octets: of all entries together.
        evictions: entries that were dropped for the bounds.
    """

    def __init__(self, *, max_entries: int, max_octets: int) -> None:
        self._max_entries = max_entries
        self._max_octets = max_octets
        self._entries: OrderedDict[CacheKey, Entry[V]] = OrderedDict()
        # What `overtake_all` has put aside, until it is asked for: older than all entries.
        self._overtaken: OrderedDict[CacheKey, Entry[V]] = OrderedDict()
        self._shelves: dict[Hashable, dict[Hashable, Entry[V]]] = {}
        self._pinned: dict[tuple[Hashable, Hashable], set[CacheKey]] = {}
        self.octets = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._entries) + len(self._overtaken)

    def at_hand(self, key: CacheKey) -> Entry[V] | None:
        """Return the entry of `key` unless it was put aside."""
        return self._entries.get(key)

    def find(self, key: CacheKey) -> Entry[V] | None:
        """Return the entry of `key`, overtaken if it was put aside."""
        entry = self._entries.get(key)
        if entry is None and (entry := self._overtaken.pop(key, None)) is not None:
            entry.overtake()
            self._put(key, entry)
        return entry

    def shelf(self, scope: Hashable) -> Shelf[V]:
        """Return the shelf of a scope as it is now. An empty one is let go of, so who keeps one,
        and does not find there what it reads, asks for it again.
        """
        return self._shelves.get(scope) or {}

    def insert(self, key: CacheKey, entry: Entry[V]) -> None:
        """Hold an entry whose key has none, and drop others if it is one too many."""
        self._put(key, entry)
        self.octets += entry.size
        while len(self) > self._max_entries or self.octets > self._max_octets:
            self.drop(self._least_used())
            self.evictions += 1

    def _put(self, key: CacheKey, entry: Entry[V]) -> None:
        self._entries[key] = entry
        scope, path, version = key
        if version is None:
            self._shelves.setdefault(scope, {})[path] = entry
        else:
            self._pinned.setdefault((scope, path), set()).add(key)

    def _least_used(self) -> CacheKey:
        """The key to drop: what is there for longest, and was not read since it was passed over.

        To keep the exact order each hit would have to move its entry, and touch its neighbours in
        the order, which with 100,000 entries are far away in memory.
        """
        if self._overtaken:
            return next(iter(self._overtaken))
        for _ in range(_CHANCES):
            key = next(iter(self._entries))
            entry = self._entries[key]
            if not entry.used:
                return key
            entry.used = False
            self._entries.move_to_end(key)
        return next(iter(self._entries))

    def drop(self, key: CacheKey) -> None:
        """Hold what `key` has no longer, if it has anything."""
        entry = self._entries.pop(key, None) or self._overtaken.pop(key, None)
        if entry is None:
            return
        self.octets -= entry.size
        scope, path, version = key
        if version is None:
            shelf = self._shelves.get(scope)
            if shelf is not None and shelf.pop(path, None) is not None and not shelf:
                del self._shelves[scope]
            return
        pinned = self._pinned[scope, path]
        pinned.discard(key)
        if not pinned:
            del self._pinned[scope, path]

    def keys(self, scope: Hashable, path: Hashable) -> Iterator[CacheKey]:
        """Yield the keys that a path may have: of its newest version and of those pinned."""
        yield scope, path, None
        yield from tuple(self._pinned.get((scope, path), ()))

    def overtake(self, scope: Hashable, path: Hashable) -> None:
        """Let no entry of a path be fresh any more."""
        for key in self.keys(scope, path):
            if (entry := self._entries.get(key)) is not None:
                entry.overtake()

    def overtake_all(self) -> None:
        """Let no entry be fresh any more.

        What is held is put aside and marked when it is asked for: marking 100,000 entries would
        keep the loop for 30 ms, and a generation to compare would cost every hit.
        """
        if self._overtaken:
            self._overtaken.update(self._entries)
        else:
            self._overtaken = self._entries
        self._entries = OrderedDict()
        self._clear_shelves()  # 1 ms for 100,000

    def _clear_shelves(self) -> None:
        """Empty them for whoever has one, too."""
        for shelf in self._shelves.values():
            shelf.clear()
        self._shelves.clear()

    def clear(self) -> None:
        """Hold nothing."""
        self._entries.clear()
        self._overtaken.clear()
        self._clear_shelves()
        self._pinned.clear()
        self.octets = 0
