"""Where gauges, and counters that others keep, are read from: plain values, at each scrape.

A scrape runs in another thread: what a source gives must not change under its reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from greenlang_secrets.model import SecretType
from greenlang_secrets.telemetry.labels import NodeState

__all__ = ["CacheStats", "Life", "Sources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """Counts since the cache was made, and what it holds now.

    Attributes:
        hits: answered fresh, without waiting.
        misses: all others; `stale_serves` and `coalesced` are among them.
        coalesced: joined a load that another caller had begun.
        oldest_stale: age in seconds of the oldest value that was served stale lately; 0 if none
            was.
    """

    entries: int = 0
    bytes: int = 0
    hits: int = 0
    misses: int = 0
    stale_serves: int = 0
    coalesced: int = 0
    evictions: int = 0
    oldest_stale: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How long something that Vault granted lives; infinity for what has no end.

    Attributes:
        left: seconds from now, 0 for what has ended and could not be replaced.
        granted: seconds that it had at first.
    """

    secret_type: SecretType
    left: float
    granted: float


def _no_nodes() -> Mapping[str, NodeState]:
    return {}


def _no_circuits() -> Mapping[str, bool]:
    return {}


@dataclass(slots=True, kw_only=True)
class Sources:
    """What one service tells; each is set by who owns it, and tells nothing before.

    Attributes:
        cache: the cache's counts.
        token: the service's own token; None while it holds none.
        leases: what is held under a lease.
        in_flight: requests that were sent and not answered yet.
        failovers: times that requests went over to another node.
        circuits: by node, whether its circuit is open.
        nodes: by node, what it said of itself last.
        canary: whether a real request worked lately; None if none was made.
    """

    cache: Callable[[], CacheStats] = CacheStats
    token: Callable[[], Life | None] = lambda: None
    leases: Callable[[], Sequence[Life]] = tuple
    in_flight: Callable[[], int] = int
    failovers: Callable[[], int] = int
    circuits: Callable[[], Mapping[str, bool]] = _no_circuits
    nodes: Callable[[], Mapping[str, NodeState]] = _no_nodes
    canary: Callable[[], bool | None] = lambda: None
