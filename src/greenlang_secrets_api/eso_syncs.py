"""How many times each ExternalSecret has synced and failed, in plain integers.

Kubernetes tells of states and not of syncs, so a sync is what lies between two states: one that
is not seen, because several happened between two looks, is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from greenlang_secrets_api.eso_objects import SyncStatus

__all__ = ["FORGOTTEN_AFTER", "EsoSyncs", "Syncs", "Watched"]

FORGOTTEN_AFTER: Final = 180.0
"""Seconds without a watch after which nobody is told whether a secret is ready and when it synced:
an old "ready" would look fine, and an old time would look like a secret that does not sync."""


@dataclass(slots=True)
class Watched:
    """The objects of one watch.

    Attributes:
        lost_at: when the watch was lost, in monotonic seconds; None while it stands.
    """

    lost_at: float | None = None


@dataclass(slots=True)
class Syncs:
    """One object: what was counted of it, and how it stood last."""

    watched: Watched
    status: SyncStatus
    success: int = 0
    failure: int = 0

    def turn(self, status: SyncStatus) -> None:
        """Count what lies between the state before and this one."""
        before, self.status = self.status, status
        now, then = status.refreshed_at, before.refreshed_at
        if now is not None and (then is None or now > then):
            self.success += 1
        if status.failure is not None and status.failure != before.failure:
            self.failure += 1


class EsoSyncs:
    """The counts of all objects that are there.

    Args:
        most: objects kept at most; the rest is left out, in the order in which they are seen.
        clock: monotonic seconds.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._objects: dict[str, Syncs] = {}

    def see(self, status: SyncStatus, watched: Watched) -> bool:
        """Take note of an object; False if there is no room for it.

        What is seen for the first time counts nothing and has both counts at 0, so that an
        increase shows. Another object of the same name is one seen for the first time.
        """
        known = self._objects.get(status.label)
        if known is not None and known.status.uid == status.uid:
            known.turn(status)
            return True
        if known is None and len(self._objects) >= self._most:
            return False
        self._objects[status.label] = Syncs(watched, status)
        return True

    def forget(self, label: str) -> None:
        """Drop an object that is gone, with its counts; an unknown one is none the less gone."""
        self._objects.pop(label, None)

    def keep_only(self, labels: Iterable[str], watched: Watched) -> None:
        """Drop every object of a watch that a whole list did not have."""
        there = frozenset(labels)
        for label, syncs in tuple(self._objects.items()):
            if syncs.watched is watched and label not in there:
                self.forget(label)

    def counted(self) -> Sequence[Syncs]:
        """Return all objects, for their counts; a scrape calls this from a thread."""
        return tuple(self._objects.values())

    def current(self) -> Sequence[Syncs]:
        """Return the objects whose state is known: those of a watch that stands, or was lost less
        than three minutes ago.
        """
        now = self._clock()
        return [
            syncs
            for syncs in self.counted()
            if syncs.watched.lost_at is None or now - syncs.watched.lost_at < FORGOTTEN_AFTER
        ]
