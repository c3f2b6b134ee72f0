"""What the cache is made of: its keys, entries, loads under way and the wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from greenlang_secrets.errors import SecretsError

__all__ = ["CacheKey", "Entry", "Flight", "Glance", "StaleAge"]

V = TypeVar("V")

CacheKey = tuple[Hashable, Hashable, Hashable]
"""(scope, path, version); what shares the first two is invalidated together."""


class Entry(Generic[V]):
    """A value, or a remembered error, and when it stops being what.

    Attributes:
        value: not set where an error is remembered; `refresh_at` is then past from the start.
        count: where reads of a fresh value are counted, shared by all that are counted together.
        used: whether it was read since the last search for what to drop.
    """

    __slots__ = (
        "asked_at",
        "count",
        "error",
        "fresh_until",
        "refresh_at",
        "size",
        "stale",
        "stale_until",
        "used",
        "value",
    )
    count: list[int]
    value: V

    def __init__(self, *, asked_at: float) -> None:
        self.asked_at = asked_at
        self.stale: V | None = None
        self.error: SecretsError | None = None
        self.used = False
        self.refresh_at = 0.0
        self.fresh_until = 0.0
        self.stale_until = 0.0
        self.size = 0

    def overtake(self) -> None:
        """Be fresh no more: something newer is there, or may be."""
        self.refresh_at = self.fresh_until = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance(Generic[V]):
    """What is held of a key, as somebody sees it who only looks.

    Attributes:
        value: None where an error is remembered.
        error: a "no" that is remembered for a moment.
        age: seconds since it was asked for.
        fresh: whether it would be returned without a load.
        usable: whether it would be returned, at least while Vault gives no answer.
    """

    value: V | None
    error: SecretsError | None
    age: float
    fresh: bool
    usable: bool


class StaleAge:
    """Since when the oldest value has been known that was served stale lately: in this window of
    time or the one before.
    """

    _WINDOW: Final = 60.0  # seconds

    def __init__(self) -> None:
        self._begun = float("-inf")
        self._oldest = self._before = float("inf")

    def note(self, asked_at: float, now: float) -> None:
        """A value that was asked for at `asked_at` is served stale."""
        if now - self._begun >= self._WINDOW:
            self._before = self._oldest if now - self._begun < 2 * self._WINDOW else float("inf")
            self._begun, self._oldest = now, asked_at
        self._oldest = min(self._oldest, asked_at)

    def age(self, now: float) -> float:
        """Return its age in seconds; 0 if none was served."""
        passed = now - self._begun
        if passed >= 2 * self._WINDOW:
            return 0.0
        oldest = self._oldest if passed >= self._WINDOW else min(self._oldest, self._before)
        return now - oldest


class Flight(Generic[V]):
    """A load under way. `kept` turns False when the key is invalidated meanwhile: those who
    wait still get the result, which may be the state before, but it is not stored.
    """

    __slots__ = ("_waiters", "began", "kept", "task")

    def __init__(self) -> None:
        self.began = False
        self.kept = True
        self.task: asyncio.Task[V]
        self._waiters: list[asyncio.Future[V]] = []

    def landing(self) -> asyncio.Future[V]:
        """Return what one caller awaits, to get the result or an error of its own: the task's
        would collect a traceback from each of its waiters. Cancelling it cancels nothing else.

        `asyncio.shield` is the same with two more callbacks and a future for each caller.
        """
        waiter: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if self.task.done():
            self.over(self.task)
        return waiter

    def land(self, value: V) -> None:
        """Give all who wait the value, from within the task, which must end in this very turn of
        the loop: they go on in the next, and not in the one after its callbacks.
        """
        for waiter in self._waiters:
            if not waiter.done():  # its caller was cancelled
                waiter.set_result(value)
        self._waiters.clear()

    def over(self, task: asyncio.Task[V]) -> None:
        """Tell all who still wait how the task has ended."""
        error: BaseException | None
        if task.cancelled():
            # Not the caller was cancelled but the load, with everything the service runs.
            error = RuntimeError("the service was closed during this read")
        elif (error := task.exception()) is None:
            self.land(task.result())
        for waiter in self._waiters:
            if error is not None and not waiter.done():
                waiter.set_exception(error.again() if isinstance(error, SecretsError) else error)
        self._waiters.clear()
