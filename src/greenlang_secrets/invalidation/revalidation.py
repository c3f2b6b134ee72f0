"""What is done about a message: the path is read anew, or everything, and never more often than
that costs little.

Messages may be wrong, doubled, or a flood: one path is read anew at most ten times a second, some
hundreds of paths a second, and everything once in some seconds. What comes too soon is done when
it is time, and not left out.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import anyio

from greenlang_secrets.background import Supervisor
from greenlang_secrets.following import Followers

__all__ = ["Revalidation", "RevalidationStats"]

_SAME_PATH: Final = 0.1
"""Seconds between two times that one path is read anew."""

_PATHS_A_SECOND: Final = 500
"""Paths read anew in a second at most; twice as many in a burst. More is everything."""

_REMEMBERED: Final = 2 * _PATHS_A_SECOND
"""Paths of the last tenth of a second that are remembered before old ones are looked for."""

_log: Final = logging.getLogger("greenlang_secrets")

Key = tuple[Hashable, Hashable]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevalidationStats:
    """Counts since the service was opened.

    Attributes:
        paths: how often a path was to be read anew.
        everything: how often everything was.
        known: messages of a version that was read already.
    """

    paths: int
    everything: int
    known: int


class Revalidation:
    """Has what was heard of read anew, within bounds."""

    def __init__(
        self,
        followers: Followers,
        supervisor: Supervisor,
        *,
        revalidate_every: float,
        settle_after: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._followers = followers
        self._every = revalidate_every
        self._settle_after = settle_after
        self._clock = clock
        self._done: dict[Key, float] = {}  # when it was done last, of the last tenth of a second
        self._due: dict[Key, tuple[float, bool]] = {}  # when, and whether it has to settle then
        self._everything_at = -math.inf
        self._everything_due = math.inf
        self._allowance = 2.0 * _PATHS_A_SECOND
        self._allowed_at = clock()
        self._woken = anyio.Event()
        self._wakes_at = math.inf
        self._paths = self._everything = self._known = 0
        supervisor.spawn(self._keep(), name="invalidation")

    def path(
        self, scope: Hashable, path: Hashable, *, written: tuple[int, datetime] | None = None
    ) -> None:
        """Have a path read anew: somebody says that it has changed.

        `written` is the version and its time of creation where the message has them: if just that
        version is held fresh, it was read after the change, and nothing is to be done.
        """
        if written is not None and self._followers.knows(scope, path, *written):
            self._known += 1
            return
        now = self._clock()
        done = self._done.get((scope, path))
        if done is not None and now < done + _SAME_PATH:
            self._later((scope, path), done + _SAME_PATH, settles=True)
        elif self._allowed(now):
            self._revalidate((scope, path), now, settles=True)
        else:
            self.everything("flood")

    def everything(self, reason: str) -> None:
        """Have everything read anew: a message may have been missed. `reason` is for the log."""
        now = self._clock()
        if self._everything_due < math.inf:
            return
        due = self._everything_at + self._every
        if now >= due:
            self._revalidate_all(now, reason)
        else:
            self._everything_due = due
            self._wake_at(due)

    def stats(self) -> RevalidationStats:
        """Return the counts."""
        return RevalidationStats(paths=self._paths, everything=self._everything, known=self._known)

    def _allowed(self, now: float) -> bool:
        earned = (now - self._allowed_at) * _PATHS_A_SECOND
        self._allowance = min(2.0 * _PATHS_A_SECOND, self._allowance + earned)
        self._allowed_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def _revalidate(self, key: Key, now: float, *, settles: bool) -> None:
        self._paths += 1
        self._due.pop(key, None)
        self._followers.revalidate(*key)
        if len(self._done) >= _REMEMBERED:
            self._done = {key: at for key, at in self._done.items() if now < at + _SAME_PATH}
        self._done[key] = now
        if settles and self._settle_after > 0:
            self._later(key, now + self._settle_after, settles=False)

    def _later(self, key: Key, at: float, *, settles: bool) -> None:
        due, settling = self._due.get(key, (math.inf, False))
        self._due[key] = (min(due, at), settling or settles)
        self._wake_at(at)

    def _wake_at(self, at: float) -> None:
        if at < self._wakes_at:
            self._woken.set()

    def _revalidate_all(self, now: float, reason: str) -> None:
        self._everything += 1
        self._everything_at, self._everything_due = now, math.inf
        _log.info("invalidation.everything", extra={"reason": reason})
        self._followers.revalidate_all()

    async def _keep(self) -> None:
        while True:
            self._woken = anyio.Event()
            now = self._clock()
            if now >= self._everything_due:
                self._revalidate_all(now, "late")
            for key, (due, settles) in list(self._due.items()):
                if now >= due:
                    self._revalidate(key, now, settles=settles)
            self._wakes_at = min([self._everything_due, *(due for due, _ in self._due.values())])
            with anyio.move_on_after(max(0.0, self._wakes_at - self._clock())):
                await self._woken.wait()
