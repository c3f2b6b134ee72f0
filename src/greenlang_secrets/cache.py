"""The cache: fresh, stale and expired values, one flight per key, bounded.

It knows nothing of Vault: it is given a key and a coroutine function that loads it.

A value is *fresh* for `fresh_for` seconds and is then returned without a task switch, a
lock, I/O or a log line; a view even takes it off the `shelf` of its scope by itself. In the
last fifth of that time a hit starts a refresh behind it, so a key in use is never waited
for. After it, callers wait for the load, and only if that says "unavailable for now" are
they given the *stale* value, until `stale_for`. During an outage nobody waits: stale values
are returned at once, and one load every half second asks whether it is over.

Errors that mean "no" (denied, missing, deleted) remove the value at once, are remembered
for a moment, and are never replaced by a stale value.

On cancellation: a load belongs to the supervisor, not to the caller who began it. A
cancelled caller leaves it running for the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from greenlang_secrets.background import Supervisor
from greenlang_secrets.cache_entries import CacheKey, Entry, Flight, Glance, StaleAge
from greenlang_secrets.cache_store import Shelf, Store
from greenlang_secrets.config import CacheConfig
from greenlang_secrets.errors import (
    AccessDenied,
    SecretsError,
    SecretUnavailable,
    VaultUnavailable,
)
from greenlang_secrets.telemetry import CacheStats

__all__ = ["CacheKey", "CacheStats", "SecretCache"]

V = TypeVar("V")

_AHEAD: Final = 0.8
"""The share of the fresh time after which a hit starts a refresh."""

_PATIENCE: Final = 0.25
"""Seconds a caller with a stale value at hand waits for a load before taking it."""

_PROBE: Final = 0.5
"""Seconds between two loads that ask whether an outage is over."""

_OVERHEAD: Final = 700
"""Octets of an entry beside its keys and values; benchmarks/ measures the real figure."""


class SecretCache(Generic[V]):
    """Values by key.

    Attributes:
        clock: monotonic seconds, by which an entry on a shelf is fresh or not.
        misses, stale_serves, coalesced: plain counters, read by telemetry.
    """

    def __init__(
        self,
        config: CacheConfig,
        supervisor: Supervisor,
        *,
        size_of: Callable[[V], int],
        as_stale: Callable[[V], V],
        count_of: Callable[[V], list[int]] | None = None,
        lives_for: Callable[[V], float] = lambda _: float("inf"),
        on_answer: Callable[[CacheKey, V | SecretsError, float], None] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`size_of` gives a value's octets, `as_stale` its twin marked stale, and `lives_for`
        the seconds after which it must not be served at all. `count_of` gives the list of one
        number in which its hits are counted, by this cache alone. `on_answer` is told the key of
        each load, what came of it, and when it was asked for; not of one that an invalidation
        has overtaken.
        """
        self._config = config
        self._supervisor = supervisor
        self._size_of = size_of
        self._as_stale = as_stale
        counted: list[int] = [0]
        self._count_of = count_of or (lambda _: counted)
        self._counts: list[list[int]] = []
        self._lives_for = lives_for
        self._on_answer = on_answer
        self.clock = self._clock = clock
        self._held: Store[V] = Store(max_entries=config.max_entries, max_octets=config.max_bytes)
        self._flights: dict[CacheKey, Flight[V]] = {}
        self._outage = False
        self._probe_at = 0.0
        self._stale_age = StaleAge()
        self._other_hits = 0
        self.misses = 0
        self.stale_serves = 0
        self.coalesced = 0

    def shelf(self, scope: Hashable) -> Shelf[V]:
        """Return where the newest versions of a scope are found, for who reads many of them: an
        entry with `refresh_at` ahead may be taken as `fresh` takes it, without a call.
        """
        return self._held.shelf(scope)

    def fresh(self, key: CacheKey) -> V | None:
        """Return a fresh value, or None to go on with `get`."""
        entry = self._held.at_hand(key)
        if entry is None or self._clock() >= entry.refresh_at:
            return None
        entry.count[0] += 1
        entry.used = True
        return entry.value

    def held_fresh(self, key: CacheKey) -> V | None:
        """Return what `get` would answer without a load, to look at: it counts as no use."""
        entry = self._held.at_hand(key)
        return None if entry is None or self._clock() >= entry.fresh_until else entry.value

    def glance(self, key: CacheKey) -> Glance[V] | None:
        """Return what is held of `key`, in whatever state, to explain it: it counts as no use."""
        entry = self._held.find(key)
        if entry is None:
            return None
        now = self._clock()
        return Glance(
            value=entry.value if entry.error is None else None,
            error=entry.error,
            age=now - entry.asked_at,
            fresh=now < entry.fresh_until,
            usable=self._usable(entry, now, None),
        )

    async def get(
        self, key: CacheKey, load: Callable[[], Awaitable[V]], *, max_age: float | None = None
    ) -> V:
        """Return the value of `key`: fresh, or loaded, or stale while loading is impossible.

        `max_age` bounds the age in seconds of whatever is returned, fresh or stale.

        Raises:
            SecretsError: what `load` raised, unless a stale value takes its place.
        """
        now = self._clock()
        entry = self._held.find(key)
        if entry is not None and not self._usable(entry, now, max_age):
            entry = None
        if entry is not None and now < entry.fresh_until:
            return self._fresh_hit(key, entry, load, now)
        self.misses += 1
        if entry is not None:
            return await self._stale_hit(key, entry, load, now, max_age)
        return await self._join(key, load).landing()

    async def refresh(self, key: CacheKey, load: Callable[[], Awaitable[V]]) -> V:
        """Return a value loaded after this call, and keep it.

        Concurrent calls share a load that has not begun yet; one that has may be about to
        answer with an older state, and is let go.

        Raises:
            SecretsError: what `load` raised; a value held before stays, unless that says no.
        """
        self.misses += 1
        flight = self._flights.get(key)
        if flight is not None and flight.began:
            self._flights.pop(key).kept = False
        return await self._join(key, load).landing()

    async def renew(
        self, key: CacheKey, load: Callable[[], Awaitable[V]], *, at_once: bool = False
    ) -> bool:
        """Load a value that nobody reads just now, and keep it: joins a load under way, and
        counts nothing. Return False, without loading, while an outage lasts and its probe of
        this half second is taken, unless `at_once`.

        Raises:
            SecretsError: what `load` raised; a value held before stays, unless that says no.
        """
        if self._outage and not at_once and not self._may_probe(self._clock()):
            return False
        await self._fly(key, load).landing()
        return True

    def under_way(self, key: CacheKey) -> Awaitable[V] | None:
        """Return what `get` of a key waits for of which nothing is held and a load is under way;
        None to go on with `get`.
        """
        flight = self._flights.get(key)
        if flight is None or self._held.find(key) is not None:
            return None
        self.misses += 1
        self.coalesced += 1
        return flight.landing()

    def _usable(self, entry: Entry[V], now: float, max_age: float | None) -> bool:
        if now >= entry.fresh_until and now >= entry.stale_until:
            return False
        return max_age is None or now - entry.asked_at <= max_age

    def _fresh_hit(
        self, key: CacheKey, entry: Entry[V], load: Callable[[], Awaitable[V]], now: float
    ) -> V:
        self._other_hits += 1
        entry.used = True
        if entry.error is not None:
            raise entry.error.again()
        if now >= entry.refresh_at:
            # Once a second at most, so that a load that fails is not tried with every hit.
            entry.refresh_at = min(now + 1.0, entry.fresh_until)
            if not self._outage or self._may_probe(now):
                self._fly(key, load)
        return entry.value

    async def _stale_hit(
        self,
        key: CacheKey,
        entry: Entry[V],
        load: Callable[[], Awaitable[V]],
        now: float,
        max_age: float | None,
    ) -> V:
        if self._outage:
            if self._may_probe(now):
                self._fly(key, load)
            return self._stale(entry)
        task = self._join(key, load).task
        await asyncio.wait({task}, timeout=_PATIENCE)
        if not task.done():
            self._outage = True
            self._probe_at = self._clock() + _PROBE
            return self._stale(entry)
        try:
            return task.result()
        except SecretsError as error:
            if error.retryable and self._usable(entry, self._clock(), max_age):
                return self._stale(entry)
            raise error.again() from None

    def _may_probe(self, now: float) -> bool:
        if now < self._probe_at:
            return False
        self._probe_at = now + _PROBE
        return True

    def _stale(self, entry: Entry[V]) -> V:
        self.stale_serves += 1
        self._stale_age.note(entry.asked_at, self._clock())
        entry.used = True
        if entry.stale is None:
            entry.stale = self._as_stale(entry.value)
        return entry.stale

    def _join(self, key: CacheKey, load: Callable[[], Awaitable[V]]) -> Flight[V]:
        flight = self._flights.get(key)
        if flight is not None:
            self.coalesced += 1
            return flight
        return self._fly(key, load)

    def _fly(self, key: CacheKey, load: Callable[[], Awaitable[V]]) -> Flight[V]:
        flight = self._flights.get(key)
        if flight is None:
            flight = Flight()
            flight.task = self._supervisor.spawn(self._load(key, load, flight), name="cache.load")
            flight.task.add_done_callback(flight.over)
            self._flights[key] = flight
        return flight

    async def _load(self, key: CacheKey, load: Callable[[], Awaitable[V]], flight: Flight[V]) -> V:
        asked_at = self._clock()
        flight.began = True
        try:
            value = await load()
        except SecretsError as error:
            self._note(error)
            if flight.kept:
                self._remember(key, error, asked_at)
                self._on_answer(key, error, asked_at)
            raise
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
        self._outage = False
        if flight.kept:
            self._store(key, value, asked_at)
            self._on_answer(key, value, asked_at)
        flight.land(value)
        return value

    def _note(self, error: SecretsError) -> None:
        """An outage is Vault's, not one tenant's: a lost login alone does not make one."""
        if isinstance(error, VaultUnavailable):
            if not self._outage:
                self._outage = True
                self._probe_at = self._clock() + _PROBE
        elif not error.retryable:
            self._outage = False

    def _store(self, key: CacheKey, value: V, asked_at: float) -> None:
        self._held.drop(key)
        config = self._config
        size = self._size_of(value) + _OVERHEAD
        if size * 100 > config.max_bytes:
            return  # it alone would push out a hundredth of everything
        lives = self._lives_for(value)
        entry: Entry[V] = Entry(asked_at=asked_at)
        entry.value = value
        entry.count = self._counted(value)
        entry.size = size
        entry.fresh_until = asked_at + min(config.fresh_for, lives)
        entry.refresh_at = asked_at + _AHEAD * min(config.fresh_for, lives)
        entry.stale_until = asked_at + min(config.stale_for, lives)
        self._held.insert(key, entry)

    def _remember(self, key: CacheKey, error: SecretsError, asked_at: float) -> None:
        if not isinstance(error, AccessDenied | SecretUnavailable):
            return
        self._held.drop(key)
        config = self._config
        seconds = config.denied_for if isinstance(error, AccessDenied) else config.missing_for
        if seconds <= 0:
            return
        entry: Entry[V] = Entry(asked_at=asked_at)
        entry.error = error.again()
        entry.size = _OVERHEAD
        entry.fresh_until = asked_at + seconds
        self._held.insert(key, entry)

    def _counted(self, value: V) -> list[int]:
        count = self._count_of(value)
        if not any(known is count for known in self._counts):
            self._counts.append(count)
        return count

    def invalidate(self, scope: Hashable, path: Hashable) -> None:
        """Forget all versions of a path. Loads under way answer those who wait for them, and
        nobody after.
        """
        for key in self._held.keys(scope, path):
            self._held.drop(key)
        self._let_go(scope, path)

    def revalidate(self, scope: Hashable, path: Hashable) -> None:
        """Hold nothing of a path for fresh any more: whoever asks next waits for a load, and is
        given what was held, as stale, only while loading is impossible.

        For who hears of a change from somebody who may be wrong or lie. Loads under way answer
        those who wait for them, and nobody after.
        """
        self._held.overtake(scope, path)
        self._let_go(scope, path)

    def revalidate_all(self) -> None:
        """Do what `revalidate` does, for every path."""
        self._held.overtake_all()
        self._let_all_go()

    def _let_go(self, scope: Hashable, path: Hashable) -> None:
        for key in [key for key in self._flights if key[0] == scope and key[1] == path]:
            self._flights.pop(key).kept = False

    def _let_all_go(self) -> None:
        for flight in self._flights.values():
            flight.kept = False
        self._flights.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._let_all_go()

    def stats(self) -> CacheStats:
        """Return the counts."""
        return CacheStats(
            entries=len(self._held),
            bytes=self._held.octets,
            hits=self._other_hits + sum(count for (count,) in tuple(self._counts)),
            misses=self.misses,
            stale_serves=self.stale_serves,
            coalesced=self.coalesced,
            evictions=self._held.evictions,
            oldest_stale=self._stale_age.age(self._clock()),
        )
