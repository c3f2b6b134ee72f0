"""Requests that wait for a change: bounded in number, and all ended when the service is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import anyio

__all__ = ["Waits"]

MOST: Final = 1024
"""Waiting requests: each holds a connection and a place among a path's followers, some 20 KiB."""


class Waits:
    """Every wait of the service."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._scopes: set[anyio.CancelScope] = set()
        self._ended = False

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._scopes)

    @contextmanager
    def up_to(self, seconds: float) -> Iterator[None]:
        """Let the body run for `seconds`, or until `end`; then it goes on after the body.

        One too many does not wait at all: its caller gets the answer there is.
        """
        if self._ended or len(self._scopes) >= self._most:
            seconds = 0
        with anyio.move_on_after(seconds) as scope:
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
