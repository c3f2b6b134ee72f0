"""What is held up to date: its newest value at hand without waiting, and who wants to know.

`Changes` tells everybody who follows about the newest value, and never keeps a queue: a slow
follower misses what was replaced meanwhile, which for credentials is the point. `Held` is the
handle that users get. What makes the values is left to those who publish them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, Self, TypeVar

import anyio

from greenlang_secrets.background import Supervisor, reported

__all__ = ["Changes", "Held", "OnChange"]

T = TypeVar("T")

OnChange = Callable[[T, T], Awaitable[None] | None]
"""Called with the old value and the new one."""


class Changes(Generic[T]):
    """The newest of a series of values, beginning with `first`."""

    def __init__(self, first: T) -> None:
        self.newest = first
        self._number = 0
        self._closed = False
        self._next = anyio.Event()

    def publish(self, value: T) -> None:
        """Make `value` the newest and wake who follows."""
        self.newest = value
        self._number += 1
        self._wake()

    def close(self) -> None:
        """End every iteration; the newest value stays."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        woken, self._next = self._next, anyio.Event()
        woken.set()

    async def follow(self) -> AsyncIterator[T]:
        """Yield the newest value now, and then each time it has changed, until `close`."""
        seen = -1
        while True:
            if seen != self._number:
                seen = self._number
                yield self.newest
            elif self._closed:
                return
            else:
                await self._next.wait()


class Held(Generic[T]):
    """A value kept up to date until it is released; an async context manager, too.

    ``current`` is read synchronously, so it serves code that cannot await: a signer, a
    connection pool's callback. Several holders of one thing are independent of each other.
    """

    def __init__(
        self,
        *,
        look: Callable[[], T],
        changes: Changes[T],
        supervisor: Supervisor,
        release: Callable[[], Awaitable[None]],
    ) -> None:
        self._look = look
        self._changes = changes
        self._supervisor = supervisor
        self._release = release
        self._released = False
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def current(self) -> T:
        """The value now; costs an attribute's time.

        Raises:
            SecretsError: there is none any more, with the reason.
            RuntimeError: it was released.
        """
        if self._released:
            raise RuntimeError("this was released; hold it anew")
        return self._look()

    async def changes(self) -> AsyncIterator[T]:
        """Yield the value now and then each new one: the newest only, never a queue of old ones.

        Ends when it is released or the service closes.
        """
        async for value in self._changes.follow():
            if self._released:
                return
            yield value

    def on_change(self, callback: OnChange[T]) -> Callable[[], None]:
        """Call `callback` with the old and the new value after each change; return what stops it.

        It may be a coroutine function. It runs in a task of the service, one call at a time;
        what changes while it runs is told in one further call, with the newest value. An
        exception is logged by its class, and the next change is told all the same.
        """
        # From the value of now on: one published before the task begins is a change as well.
        work = self._tell(callback, self._changes.newest)
        task = self._supervisor.spawn(work, name="held.on_change")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

        def stop() -> None:
            task.cancel()

        return stop

    def move_to(self, supervisor: Supervisor) -> None:
        """Have callbacks run in tasks of another service from now on: for a hand-over."""
        for task in self._telling:
            self._supervisor.give(task, supervisor)
        self._supervisor = supervisor

    async def _tell(self, callback: OnChange[T], old: T) -> None:
        async for new in self.changes():
            if new is not old:
                await reported(_call(callback, old, new), name="on_change")
                old = new

    async def release(self) -> None:
        """Give it back; a second call does nothing."""
        if not self._released:
            self._released = True
            await self._release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()


async def _call(callback: OnChange[T], old: T, new: T) -> None:
    answer = callback(old, new)
    if inspect.isawaitable(answer):
        await answer
