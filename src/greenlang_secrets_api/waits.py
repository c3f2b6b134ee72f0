"""Requests that wait for a change: all ended when the service is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

__all__ = ["Waits"]


class Waits:
    """Every wait of the service."""

    def __init__(self) -> None:
        self._scopes: set[anyio.CancelScope] = set()
        self._ended = False

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._scopes)

    @contextmanager
    def up_to(self, seconds: float) -> Iterator[None]:
        """Let the body run for `seconds`, or until `end`; then it goes on after the body."""
        with anyio.move_on_after(0 if self._ended else seconds) as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)

    def end(self) -> None:
        """Let nobody wait any longer: the service is about to end."""
        self._ended = True
        for scope in tuple(self._scopes):
            scope.cancel()
