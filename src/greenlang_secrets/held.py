"""What is held up to date: its newest value at hand without waiting, and who wants to know.

`Changes` tells everybody who follows about the newest value, and never keeps a queue: a slow
follower misses what was replaced meanwhile, which for credentials is the point. `Held` is the
handle that users get. What makes the values is left to those who publish them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Generic, Self, TypeVar
from weakref import WeakSet, finalize

import anyio

from greenlang_secrets.background import Supervisor, reported

__all__ = ["Changes", "Follower", "Held", "OnChange", "soon", "tell", "when_dropped"]

T = TypeVar("T")

OnChange = Callable[[T, T], Awaitable[None] | None]
"""Called with the old value and the new one."""


class Changes(Generic[T]):
    """The newest of a series of values, beginning with `first`.

    Attributes:
        newest: the value now.
        number: how many changes there have been.
        closed: whether no more will come.
    """

    def __init__(self, first: T, *, mark: Callable[[T], int] = lambda _: 0) -> None:
        """`mark` gives what `given` tells of a value, such as its version."""
        self.newest = first
        self.number = 0
        self.closed = False
        self._mark = mark
        self._waiting: set[anyio.Event] = set()
        self._followers: WeakSet[Follower[T]] = WeakSet()

    @property
    def given(self) -> int:
        """The least mark of what was given last to those who follow; the newest's, if all of them
        have that, or have not been given anything.
        """
        behind = [each.mark for each in self._followers if each.is_behind]
        return min((mark for mark in behind if mark is not None), default=self.mark())

    def publish(self, value: T) -> None:
        """Make `value` the newest and wake who follows."""
        self.newest = value
        self.number += 1
        self._wake()

    def replace(self, value: T) -> None:
        """Make `value` the newest and tell nobody: it means the same as the one before."""
        self.newest = value

    def close(self) -> None:
        """End every iteration; the newest value stays."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        for woken in self._waiting:
            woken.set()

    async def wait(self, woken: anyio.Event) -> None:
        """Return at the next change, at the end, or when `woken` is set."""
        self._waiting.add(woken)
        try:
            await woken.wait()
        finally:
            self._waiting.discard(woken)

    def follow(self, *, newest: bool = True, handle: object = None) -> Follower[T]:
        """Return an iterator over the newest value now (unless `newest` is False), and then each
        time it has changed, until `close`.
        """
        follower = Follower(self, -1 if newest else self.number, handle)
        if not newest:
            follower.mark = self.mark()
        self._followers.add(follower)
        return follower

    def mark(self) -> int:
        """The newest value's mark."""
        return self._mark(self.newest)


class Follower(AsyncIterator[T]):
    """One who follows `Changes`; `seen` is the number of the last change it knows of, and `handle`
    lives for as long as it follows.

    Attributes:
        mark: of the value it was given last; None before the first.

    On cancellation: a cancelled step has taken nothing, and the next one goes on from there.
    """

    def __init__(self, changes: Changes[T], seen: int, handle: object = None) -> None:
        self._changes = changes
        self._handle = handle
        self._seen = seen
        self._stopped = False
        self.mark: int | None = None
        self._waiting: set[anyio.Event] = set()

    async def __anext__(self) -> T:
        changes = self._changes
        while not self._stopped:
            if self._seen != changes.number:
                self._seen = changes.number
                self.mark = changes.mark()
                return changes.newest
            if changes.closed:
                break
            woken = anyio.Event()
            self._waiting.add(woken)
            try:
                await changes.wait(woken)
            finally:
                self._waiting.discard(woken)
        raise StopAsyncIteration

    @property
    def is_behind(self) -> bool:
        """Whether it goes on, and has not been given the newest value yet."""
        return not self._stopped and self._seen != self._changes.number

    def stop(self) -> None:
        """End this iteration, and no other; a second call does nothing."""
        self._stopped = True
        self._handle = None
        for woken in self._waiting:
            woken.set()


async def tell(follower: Follower[T], callback: OnChange[T], old: T) -> None:
    """Call `callback` with the old and the new value for each of `follower`'s, one at a time.

    An exception is logged by its class, and the next change is told all the same.
    """
    async for new in follower:
        await reported(_call(callback, old, new), name="on_change")
        old = new


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
        self._followers: WeakSet[Follower[T]] = WeakSet()
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def current(self) -> T:
        """The value now; costs an attribute's time.

        Raises:
            SecretsError: there is none any more, with the reason.
            RuntimeError: it was released, or the service closed.
        """
        if self._released:
            raise RuntimeError("this was released; hold it anew")
        return self._look()

    def changes(self) -> Follower[T]:
        """Iterate over the value now and then each new one: the newest only, never a queue of
        old ones. Ends when it is released or the service closes.
        """
        return self._follow(newest=True)

    def _follow(self, *, newest: bool) -> Follower[T]:
        follower = self._changes.follow(newest=newest, handle=self)
        self._followers.add(follower)
        if self._released:
            follower.stop()
        return follower

    def on_change(self, callback: OnChange[T]) -> Callable[[], None]:
        """Call `callback` with the old and the new value after each change; return what stops it.

        It may be a coroutine function. It runs in a task of the service, one call at a time;
        what changes while it runs is told in one further call, with the newest value. An
        exception is logged by its class, and the next change is told all the same. A call
        under way when it is stopped goes on to its end.
        """
        # From the value of now on: one published before the task begins is a change as well.
        follower = self._follow(newest=False)
        work = self._tell(follower, callback, self._changes.newest)
        task = self._supervisor.spawn(work, name="held.on_change")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        return follower.stop

    def move_to(self, supervisor: Supervisor) -> None:
        """Have callbacks run in tasks of another service from now on: for a hand-over."""
        for task in self._telling:
            self._supervisor.give(task, supervisor)
        self._supervisor = supervisor

    async def _tell(self, follower: Follower[T], callback: OnChange[T], old: T) -> None:
        # A method, so that the handle lives, and holds, for as long as its callbacks do.
        await tell(follower, callback, old)

    async def release(self) -> None:
        """Give it back, and end its iterations and callbacks; a second call does nothing."""
        if not self._released:
            self._released = True
            for follower in self._followers:
                follower.stop()
            await self._release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()


def when_dropped(handle: Held[T], leave: Callable[[], None]) -> Callable[[], object]:
    """Call `leave` in the running loop when `handle` is dropped; return what prevents it."""
    loop = asyncio.get_running_loop()
    dropped = finalize(handle, soon, loop, leave)
    dropped.atexit = False
    return dropped.detach


def soon(loop: asyncio.AbstractEventLoop, leave: Callable[[], None]) -> None:
    """Call `leave` in the loop, from wherever the garbage collector runs: another thread, or after
    the loop's end.
    """
    with suppress(RuntimeError):  # the loop is closed, and the service with it
        loop.call_soon_threadsafe(leave)


async def _call(callback: OnChange[T], old: T, new: T) -> None:
    answer = callback(old, new)
    if inspect.isawaitable(answer):
        await answer
