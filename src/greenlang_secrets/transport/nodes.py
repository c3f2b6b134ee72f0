"""What is known of the addresses: which answer, which are mute, which one is active.

Pure bookkeeping with a clock: nothing here sends anything. The circuit of an address orders
and never refuses: an open one is asked last, so that with all of them open every one is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

__all__ = ["Nodes"]

OPEN_FOR: Final = 1.0
"""Seconds an address stays behind the others before one trial is let in: half of the two within
which a Vault that was unsealed must be in use again."""

SILENCES: Final = 3
"""Times in a row that an address was mute before its circuit opens; one may be chance."""


@dataclass(slots=True)
class _Node:
    silences: int = 0
    opened_at: float | None = None


class Nodes:
    """The nodes at `addresses`, by number.

    Attributes:
        failovers: times that reads went over to another node, or another node became active.
        on_open: hears of each circuit that opens.
    """

    def __init__(self, addresses: Sequence[str], *, clock: Callable[[], float]) -> None:
        self._addresses = tuple(addresses)
        self._clock = clock
        self._nodes = [_Node() for _ in self._addresses]
        self._names = tuple(_name(address) for address in addresses)
        self._preferred = 0
        self._forwarder: int | None = None
        self._active: int | None = None
        self._led: int | None = None
        self.failovers = 0
        self.on_open: Callable[[int], None] = lambda _: None

    def __len__(self) -> int:
        return len(self._addresses)

    def address(self, node: int) -> str:
        """Return a node's base URL."""
        return self._addresses[node]

    def name(self, node: int) -> str:
        """Return a node's host and port, for metrics."""
        return self._names[node]

    def circuits(self) -> Mapping[str, bool]:
        """Return by name whether a node's circuit is open, its trial not yet passed."""
        return {
            name: node.opened_at is not None
            for name, node in zip(self._names, list(self._nodes), strict=True)
        }

    def _prefer(self, node: int) -> None:
        if node != self._preferred:
            self._preferred = node
            self.failovers += 1

    def is_open(self, node: int) -> bool:
        """Whether a node is to be asked last; False when its time for a trial has come."""
        opened_at = self._nodes[node].opened_at
        return opened_at is not None and self._clock() < opened_at + OPEN_FOR

    def order(self, *, active_first: bool = False) -> list[int]:
        """Return all nodes in the order to ask them: the preferred one first, or the active one
        where it is known, and those with an open circuit last.
        """
        count = len(self._nodes)
        if count == 1:
            return [0]
        nodes = [(self._preferred + step) % count for step in range(count)]
        if active_first and self.active is not None:
            nodes.remove(self.active)
            nodes.insert(0, self.active)
        return sorted(nodes, key=self.is_open)  # stable

    def begin(self, node: int) -> None:
        """An attempt at a node begins. If it is the trial of an open circuit, others stay away."""
        state = self._nodes[node]
        if state.opened_at is not None and not self.is_open(node):
            state.opened_at = self._clock()

    def answered(self, node: int) -> None:
        """A node answered: its circuit closes, and it is preferred to one whose is open."""
        self._nodes[node] = _Node()
        if self.is_open(self._preferred):
            self._prefer(node)

    def failed(self, node: int) -> None:
        """A node failed in a way that says nothing of its next answer: reads go to another."""
        if self._preferred == node:
            self._prefer((node + 1) % len(self._nodes))

    def unusable(self, node: int) -> None:
        """A node refuses connections, is sealed or shows a wrong certificate: its circuit opens."""
        self._open(node)

    def silent(self, node: int) -> None:
        """A node was mute where it should have answered, or where another did meanwhile."""
        state = self._nodes[node]
        state.silences += 1
        if state.silences >= SILENCES or state.opened_at is not None:
            self._open(node)

    def _open(self, node: int) -> None:
        state = self._nodes[node]
        was_open = state.opened_at is not None
        state.opened_at = self._clock()
        self.lost(node)
        if not was_open:
            self.on_open(node)

    # ------------------------------------------------------------ writes

    @property
    def active(self) -> int | None:
        """The node that is known to be active; None while none is."""
        return self._active

    @active.setter
    def active(self, node: int | None) -> None:
        self._active = node
        if node is not None:
            self.failovers += self._led not in {None, node}
            self._led = node

    @property
    def writer(self) -> int | None:
        """The node to send writes to: the active one, else one that has passed them on; None
        while neither is known. A single address is always the one.
        """
        if len(self._nodes) == 1:
            return 0
        return self._forwarder if self.active is None else self.active

    def named(self, location: str) -> None:
        """A standby named the active node's address. That counts only if it is one of ours, and
        not known to be dead: after a crash the dead leader is named for seconds.
        """
        origin = _origin(location)
        for node, address in enumerate(self._addresses):
            if origin is not None and _origin(address) == origin and not self.is_open(node):
                self.active = node

    def accepted(self, node: int) -> None:
        """A node took a write. It may be a standby that passes writes on, so it is no proof of
        being active.
        """
        if self.active is None:
            self._forwarder = node

    def lost(self, node: int) -> None:
        """A node did not take a write: it is neither active nor passing writes on now."""
        if self.active == node:
            self.active = None
        if self._forwarder == node:
            self._forwarder = None


def _name(address: str) -> str:
    origin = _origin(address)
    if origin is None:
        return "invalid"
    _, host, port = origin
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an absolute URL; None for what is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None
