"""How many requests may be under way, and who waits for a place: a bounded queue, then shed."""

from __future__ import annotations

import asyncio
from typing import Final

from greenlang_secrets.errors import VaultUnavailable

__all__ = ["MAX_IN_FLIGHT", "MAX_WAIT", "MAX_WAITING", "Places"]

MAX_IN_FLIGHT: Final = 64
"""Requests sent at once; more only queue inside Vault."""

MAX_WAITING: Final = 1024
"""Callers waiting for a place; one more is shed at once instead of growing the queue."""

MAX_WAIT: Final = 1.0
"""Seconds a caller waits for a place."""


class Places:
    """The places for requests under way; `max_wait` is in seconds."""

    def __init__(self, *, max_wait: float = MAX_WAIT) -> None:
        self._places = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._max_wait = max_wait
        self._waiting = 0

    def taken(self, subject: object | None) -> Taken:
        """Hold a place; `subject` is the caller's own path, for the error.

        A cancelled caller gives its place back, or its turn in the queue.

        Raises:
            VaultUnavailable: overloaded: the queue is full, or the wait was too long.
        """
        return Taken(self, subject)

    def release(self) -> None:
        """Give a place back."""
        self._places.release()

    async def take(self, subject: object | None) -> None:
        """Take a place, to be given back; see `taken`."""
        if not self._places.locked():
            await self._places.acquire()  # does not wait: there is a place
            return
        if self._waiting >= MAX_WAITING:
            raise VaultUnavailable("overloaded", path=subject)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._max_wait):
                await self._places.acquire()
        except TimeoutError:
            raise VaultUnavailable("overloaded", path=subject) from None
        finally:
            self._waiting -= 1


class Taken:
    """A place for the time of a block, as `Places.taken` gives it."""

    __slots__ = ("_places", "_subject")

    def __init__(self, places: Places, subject: object | None) -> None:
        self._places = places
        self._subject = subject

    async def __aenter__(self) -> None:
        await self._places.take(self._subject)

    async def __aexit__(self, *_: object) -> None:
        self._places.release()
