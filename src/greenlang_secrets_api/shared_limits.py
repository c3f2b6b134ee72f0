"""Counting together with other replicas, in a Valkey or Redis.

What is counted there is the library `limits`' business (its sliding window counter); this
module owns how rarely it is asked, and what happens while it is away.

Time is the store's own: the counter's script goes by the expiry of its keys, so the clocks of
replicas do not matter (the moving window of the same library sends the client's time).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Self

import anyio
import anyio.to_thread
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from greenlang_secrets.background import Supervisor, reported
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets_api.rate_policies import RatePolicy
from greenlang_secrets_api.token_bucket import Taken

__all__ = ["SharedLimits"]

_log: Final = logging.getLogger("greenlang_secrets_api")

DEADLINE: Final = 0.05
"""Seconds for one request to the store, connecting included; it must not cost a read more."""
SILENCES: Final = 3
"""Requests in a row that got no answer in time before the store counts as away: one late answer
may be our own loop's doing. A connection that fails is no chance, and counts at once."""
RETRY: Final = 1.0  # seconds between looks at a store that is away
ON_CREDIT: Final = 20
"""A replica uses up to this part of a limit before it asks: a request to the store costs about
as much CPU as a cached read (`python -m benchmarks.rate_limits`)."""
MAX_TABS: Final = 50_000
"""Principals of all classes for whom something is remembered; the least recently used go first."""
CONNECTIONS: Final = 16
SHORTEST_REFUSAL: Final = 0.05
LONGEST_REFUSAL: Final = 1.0
"""Seconds for which a refusal counts without asking again: who is far over a limit must not
cost more than who keeps it."""

_PREFIX: Final = "greenlang-secrets"
_TROUBLE: Final = (RedisError, OSError, TimeoutError)


@dataclass(slots=True)
class _Tab:
    """What one key has used here and not yet had counted, and what the store said last."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    on_credit: int = 0
    since: float = 0.0  # monotonic seconds: the first of those on credit
    remaining: int = 0
    asked_at: float = float("-inf")
    refused_cost: int = 0
    refused_until: float = float("-inf")


class SharedLimits:
    """Limits that several replicas keep together; `open` makes one."""

    def __init__(
        self,
        strategy: SlidingWindowCounterRateLimiter,
        supervisor: Supervisor,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._strategy = strategy
        self._supervisor = supervisor
        self._clock = clock
        self._items: dict[RatePolicy, RateLimitItem] = {}
        self._tabs: OrderedDict[tuple[str, ...], _Tab] = OrderedDict()
        self._away = False
        self._silences = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, url: SecretValue) -> AsyncIterator[Self]:
        """Connect to the store, as ``redis://`` or ``rediss://`` names it; one that is away is
        waited for in the background.
        """
        pool = BlockingConnectionPool.from_url(
            url.reveal(),
            max_connections=CONNECTIONS,
            timeout=DEADLINE,
            socket_connect_timeout=DEADLINE,
            driver_info=None,  # telling it reads the package's metadata, from disk, each time
            retry=Retry(NoBackoff(), 1),  # for a connection that ended while it was idle
        )
        try:
            # In a thread: it imports the client by name.
            strategy = await anyio.to_thread.run_sync(_strategy, pool)
            async with Supervisor() as supervisor:
                shared = cls(strategy, supervisor)
                await shared._look()
                yield shared
        finally:
            await pool.aclose()

    @property
    def is_away(self) -> bool:
        """Whether the store gave no answer when it was last asked."""
        return self._away

    async def take(self, policy: RatePolicy, key: tuple[str, ...], cost: int) -> Taken | None:
        """Count `cost` for `key`, or return None if the store is away.

        A cancelled caller may have been counted.
        """
        if self._away:
            return None
        cost = min(cost, policy.quota)
        tab = self._tab(policy, key)
        taken = self._without_asking(policy, tab, cost)
        if taken is not None:
            return taken
        async with tab.lock:  # of several that come at once, one asks for what is on credit
            taken = self._without_asking(policy, tab, cost)
            if taken is not None or self._away:
                return taken
            try:
                with anyio.fail_after(DEADLINE):
                    taken = await self._ask(policy, _digest(policy, key), tab, cost)
            except _TROUBLE as error:
                self._failed(error)
                return None
            self._silences = 0
            return taken

    def _tab(self, policy: RatePolicy, key: tuple[str, ...]) -> _Tab:
        name = (policy.name, *key)
        tab = self._tabs.get(name)
        if tab is None:
            tab = self._tabs[name] = _Tab(remaining=policy.quota)
            if len(self._tabs) > MAX_TABS:
                self._tabs.popitem(last=False)
        else:
            self._tabs.move_to_end(name)
        return tab

    def _without_asking(self, policy: RatePolicy, tab: _Tab, cost: int) -> Taken | None:
        """Decide by what is known here, or return None."""
        now = self._clock()
        if now < tab.refused_until and cost >= tab.refused_cost:
            return Taken(False, tab.remaining, tab.refused_until - now)
        if now - tab.since >= policy.window:  # it would have left the window by now
            tab.on_credit = 0
        if now - tab.asked_at >= policy.window:
            tab.remaining = policy.quota
        if now < tab.refused_until or tab.on_credit + cost > policy.quota // ON_CREDIT:
            return None
        if tab.on_credit == 0:
            tab.since = now
        tab.on_credit += cost
        return Taken(True, max(0, tab.remaining - tab.on_credit), 0.0)

    async def _ask(self, policy: RatePolicy, digest: str, tab: _Tab, cost: int) -> Taken:
        item = self._item(policy)
        due = tab.on_credit + cost
        allowed = await self._strategy.hit(item, digest, cost=due)
        now = self._clock()
        if allowed:
            tab.on_credit = 0
            tab.remaining -= due
            # What is left is a hint to the caller: while there is plenty a guess will do.
            if now - tab.asked_at < policy.window / 2 and tab.remaining > policy.quota / 4:
                return Taken(True, tab.remaining, 0.0)
        stats = await self._strategy.get_window_stats(item, digest)
        tab.remaining, tab.asked_at = stats.remaining, now
        if allowed:
            return Taken(True, tab.remaining, 0.0)
        wait = min(max(stats.reset_time - time.time(), SHORTEST_REFUSAL), float(policy.window))
        tab.refused_cost, tab.refused_until = cost, now + min(wait, LONGEST_REFUSAL)
        return Taken(False, tab.remaining, wait)

    def _item(self, policy: RatePolicy) -> RateLimitItem:
        item = self._items.get(policy)
        if item is None:
            item = self._items[policy] = RateLimitItemPerSecond(policy.quota, policy.window)
        return item

    def _failed(self, error: BaseException) -> None:
        self._silences += 1
        # redis-py has a class of its own for time that is over, beside Python's.
        if not isinstance(error, TimeoutError | RedisTimeoutError) or self._silences >= SILENCES:
            self._lost(error)

    def _lost(self, error: BaseException) -> None:
        """Count in memory from now on; said once, and looked after in the background."""
        if self._away:
            return
        self._away = True
        _log.warning("rate_limit.store_away", extra={"error": type(error).__name__})
        self._supervisor.spawn(self._come_back(), name="rate limits: wait for the store")

    async def _come_back(self) -> None:
        while self._away:
            await anyio.sleep(RETRY)
            await reported(self._look(), name="rate limits: look at the store")

    async def _look(self) -> None:
        """Ask the store for something, and take note of whether it answers."""
        item = RateLimitItemPerSecond(1)
        try:
            with anyio.fail_after(DEADLINE):
                await self._strategy.get_window_stats(item, "look")
        except _TROUBLE as error:
            self._lost(error)
            return
        self._silences = 0
        if self._away:
            self._away = False
            self._tabs.clear()
            _log.warning("rate_limit.store_back")


def _strategy(pool: BlockingConnectionPool) -> SlidingWindowCounterRateLimiter:
    storage = RedisStorage(
        "async+redis://",
        implementation="redispy",
        key_prefix=_PREFIX,
        connection_pool=pool,  # type: ignore[arg-type]  # documented, and missing in its types
    )
    return SlidingWindowCounterRateLimiter(storage)


def _digest(policy: RatePolicy, key: tuple[str, ...]) -> str:
    """Return what the store calls a key: nobody's name, of one length, and nobody else's.

    Each part goes in with its length before it, so that no two keys are the same text.
    """
    digest = hashlib.sha256()
    for part in (policy.name, *key):
        octets = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(octets))
        digest.update(octets)
    return digest.hexdigest()
