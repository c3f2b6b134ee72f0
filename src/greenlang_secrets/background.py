"""The owner of every background task: nothing runs that nobody waits for.

One `Supervisor` per service, and it is the only place that makes tasks. It is no task
group, because one held across ``__aenter__``/``__aexit__`` breaks async fixtures, which
is what users write, and because one failing task must not cancel the application.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from pathlib import PurePath
from typing import Any, Final, Self, TypeVar

__all__ = ["Supervisor", "reported"]

T = TypeVar("T")

_log: Final = logging.getLogger("greenlang_secrets")


async def reported(work: Awaitable[T], *, name: str) -> T | None:
    """Return what `work` gives, or None if it raises, which is logged: for callbacks of users and
    loops that must not die.

    The log has the exception's class and the place it was raised at, and not its text, which
    may hold a value. Cancellation passes.
    """
    try:
        return await work
    except Exception as error:  # noqa: BLE001  the one place where anything is caught: it reports
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = "" if trace is None else PurePath(trace.tb_frame.f_code.co_filename).name
        _log.error(
            "background.failed",
            extra={
                "work": name,
                "error": type(error).__qualname__,
                "place": f"{place}:{0 if trace is None else trace.tb_lineno}",
            },
        )
        return None


class Supervisor:
    """Runs coroutines as named tasks until it is closed.

    Use it as an async context manager; leaving it cancels what still runs and waits for it.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def running(self) -> int:
        """How many tasks run now."""
        return sum(not task.done() for task in self._tasks)

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run `work` as a task that this supervisor owns, and return the task.

        Await it through `asyncio.shield` to keep a cancelled waiter from cancelling it. An
        exception reaches whoever awaits the task, and nobody else.

        Raises:
            RuntimeError: the supervisor is closed.
        """
        if self._closed:
            work.close()
            raise RuntimeError("the service is closed; open it anew")
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def give(self, task: asyncio.Task[Any], successor: Supervisor) -> None:
        """Let another supervisor own a task that runs here; one that has ended stays ended."""
        if task in self._tasks:
            self._tasks.discard(task)
            task.remove_done_callback(self._forget)
            successor._tasks.add(task)
            task.add_done_callback(successor._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Marks it as seen: asyncio would log an unseen one with its traceback and text.
            task.exception()

    async def close(self) -> None:
        """Cancel all tasks and wait until they have ended; a second call does nothing."""
        self._closed = True
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
