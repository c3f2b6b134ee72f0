"""How much work is taken on at once, and how long one request may take.

More than that is refused at once: a queue would only make everybody late.
uvicorn's own `limit_concurrency` is not used: it counts connections, idle ones too, and
answers in plain text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Final

import anyio

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import OutcomeUnknown, VaultUnavailable
from greenlang_secrets_api.draining import Draining
from greenlang_secrets_api.problems import ProblemError

__all__ = [
    "MAX_REQUESTS",
    "MAX_WAITING",
    "REQUEST_DEADLINE",
    "WorkLimit",
    "deadline",
    "within_deadline",
]

MAX_REQUESTS: Final = 512
MAX_WAITING: Final = 1024
"""Long polls that wait at once. One that waits is a task and a connection, and no work."""
MAX_WAITING_EACH: Final = 128
"""Of them, those of one principal: nobody can take all the places."""
REQUEST_DEADLINE: Final = 10.0  # seconds
HEAD_START: Final = 1.0
"""Seconds by which the library gives up before the deadline: its word is better (below)."""


class WorkLimit:
    """Counts the requests in work and refuses one too many.

    In one loop, between two awaits: no lock. What is not to be refused, such as the probes of
    a kubelet, does not go through it.
    """

    def __init__(self, most: int = MAX_REQUESTS, *, most_waiting: int = MAX_WAITING) -> None:
        self._most = most
        self._most_waiting = most_waiting
        self._working = 0
        self._waiting = 0
        self._waiting_of: Counter[Hashable] = Counter()
        self._one = _Work(self)

    @property
    def working(self) -> int:
        """Requests in work now."""
        return self._working

    @property
    def waiting(self) -> int:
        """Long polls that have stepped out and wait now."""
        return self._waiting

    def work(self) -> AbstractContextManager[None]:
        """Be one of the requests in work, to the end of the block, however it ends.

        Raises:
            ProblemError: ``overloaded``, at the block's beginning, when there are enough.
        """
        return self._one

    @contextmanager
    def stepped_out(self, draining: Draining | None = None, who: Hashable = None) -> Iterator[bool]:
        """Inside `work`: not count as work while waiting for something to happen.

        Gives whether there is room to wait: in all, and for `who`, where that is said. If not, the request stays counted: answer it at
        once, as if its time to wait were over. When `draining` begins the wait is cancelled and
        the block left quietly, with the same meaning. Whoever has waited is in work again in any
        case, so for a moment there may be more than `most`, and new ones are refused until there
        are not: a request that was accepted is not refused half way::

            with limit.stepped_out(draining_of(scope["state"])) as may_wait:
                if may_wait:
                    with anyio.move_on_after(seconds):
                        await change()
        """
        draining = Draining() if draining is None else draining
        of_one = 0 if who is None else self._waiting_of[who]
        full = self._waiting >= self._most_waiting or of_one >= MAX_WAITING_EACH
        if full or draining.begun:
            yield False
            return
        if who is not None:
            self._waiting_of[who] += 1
        self._waiting += 1
        self._working -= 1
        try:
            with draining.wait():
                yield True
        finally:
            self._waiting -= 1
            self._working += 1
            if who is not None:
                self._waiting_of[who] -= 1
                if not self._waiting_of[who]:
                    del self._waiting_of[who]


class _Work:
    """A request in work. There is one of these for all: what is counted is the limit's."""

    __slots__ = ("_limit",)

    def __init__(self, limit: WorkLimit) -> None:
        self._limit = limit

    def __enter__(self) -> None:
        if self._limit._working >= self._limit._most:  # noqa: SLF001  a part of it
            raise ProblemError("overloaded")
        self._limit._working += 1  # noqa: SLF001  the same

    def __exit__(self, *_: object) -> None:
        self._limit._working -= 1  # noqa: SLF001  the same


@contextmanager
def deadline(seconds: float = REQUEST_DEADLINE, *, changes: bool) -> Iterator[anyio.CancelScope]:
    """End the block after `seconds`, by cancelling what it awaits.

    Around the endpoint's handler and nothing else. What must be done however the handler ends
    (the audit record of the outcome, the idempotency key) belongs after this block: it then
    runs after the cancellation, sees the error that is raised here, and has time of its own.
    For the other kind of cancellation, that of the whole task when the server stops, shield
    it with a limit of its own, which must end within the server's grace::

        try:
            with deadline(changes=True):
                answer = await endpoint.handler(call)
        except SecretsError as error:
            outcome = failed(error)
            raise
        finally:
            with anyio.move_on_after(1.0, shield=True):
                await audit.write(outcome)

    A long poll gets as much more as it may wait, by moving the deadline of the scope it is given.

    Raises:
        VaultUnavailable: timeout, and `changes` is false: nothing was changed.
        OutcomeUnknown: `changes` is true: it may have happened.
    """
    with anyio.move_on_after(seconds) as scope:
        yield scope
    if scope.cancelled_caught:
        raise OutcomeUnknown() if changes else VaultUnavailable("timeout")


def within_deadline(config: SecretsServiceConfig) -> SecretsServiceConfig:
    """Return the library's settings, its time limits cut to end before the deadline.

    The library knows what the deadline does not: whether a write was certainly not done, or
    what became of it. So the deadline is for what the library does not bound, and should not
    be the first to speak.
    """
    most = REQUEST_DEADLINE - HEAD_START
    return replace(
        config,
        request_timeout=min(config.request_timeout, most),
        write_timeout=min(config.write_timeout, most),
    )
