"""What this process wrote a moment ago, so that its next read sees it on any node.

A standby applies a write some tenths of a second later than the active node. Vault's answer to
a write carries the state of the storage it led to (`X-Vault-Index`); a node that is asked with
it and has not got that far says so instead of giving an old value. Servers without that header
(HashiCorp Vault's community edition, whose standbys pass reads on) get none, and what was
written is read from the active node first all the same.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

__all__ = ["Written", "lag_wait"]

REMEMBERED_FOR: Final = 60.0
"""Seconds a write is remembered: a standby's lag is below 0.2 s (docs/explanation/vault-facts.md),
and one that is a minute behind is not a standby any more."""

_LAG_WAITS: Final = (0.025, 0.05, 0.1)
"""Seconds until a node that has not applied a write is asked again; the last one is repeated. The
lag's median was 76 ms in 200 tries, its maximum 119."""

MAX_PLACES: Final = 20_000
"""Places remembered at most, some 5 MB; the ones written longest ago go first."""


class Written:
    """The places written lately, each with the newest index that Vault gave for it."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._places: OrderedDict[tuple[str, ...], tuple[float, str | None]] = OrderedDict()

    def note(self, place: tuple[str, ...], index: str | None) -> None:
        """Remember a write at `place`, which changes the listing of each folder above it too.

        An index of None says that it may have happened, or that the server gives none.
        """
        until = self._clock() + REMEMBERED_FOR
        for length in range(1, len(place) + 1):
            part = place[:length]
            _, before = self._places.get(part, (0.0, None))
            self._places[part] = (until, _newest(before, index))
            self._places.move_to_end(part)
        while len(self._places) > MAX_PLACES:
            self._places.popitem(last=False)

    def recently(self, place: tuple[str, ...]) -> bool:
        """Whether `place` was written lately."""
        return self._entry(place) is not None

    def index(self, place: tuple[str, ...]) -> str | None:
        """Return the index to ask for when `place` is read; None if there is none to ask for."""
        entry = self._entry(place)
        return None if entry is None else entry[1]

    def _entry(self, place: tuple[str, ...]) -> tuple[float, str | None] | None:
        entry = self._places.get(place)
        if entry is not None and entry[0] <= self._clock():
            del self._places[place]
            return None
        return entry


def lag_wait(times: int) -> float:
    """Return the seconds to wait for a node that has lagged so many times before."""
    return _LAG_WAITS[min(times, len(_LAG_WAITS) - 1)]


def _newest(before: str | None, index: str | None) -> str | None:
    """The newer of two; the answers to two writes may come in the other order."""
    if before is None or index is None:
        return before if index is None else index
    old, new = _position(before), _position(index)
    if old is None or new is None or old[0] != new[0]:
        return index  # no telling, so the last to come
    return index if new[1] >= old[1] else before


def _position(index: str) -> tuple[str, int] | None:
    """Cluster and position in the log, as OpenBao writes them; None for another server's."""
    try:
        state = json.loads(base64.b64decode(index))
        return str(state["cluster"]), int(state["value"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None
