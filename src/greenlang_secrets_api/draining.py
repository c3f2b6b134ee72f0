"""Whether the server is about to end, as every request can learn from the lifespan's state.

`ApiServer` begins it; `/readyz` turns 503 by it, and long polls end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

import anyio

__all__ = ["Draining", "draining_of"]

_KEY: Final = "greenlang_secrets_api.draining"


class Draining:
    """Begins once, and ends the waits of those who have nothing else to wait for."""

    def __init__(self) -> None:
        self._begun = False
        self._waits: set[anyio.CancelScope] = set()

    @property
    def begun(self) -> bool:
        """Whether new requests had better go elsewhere."""
        return self._begun

    def begin(self) -> None:
        """End all waits, those that begin from now on too; in the loop's own thread."""
        self._begun = True
        for wait in self._waits:
            wait.cancel()

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Run the block until it ends, or until draining begins: then it is left quietly."""
        with anyio.CancelScope() as scope:
            self._waits.add(scope)
            try:
                if self._begun:
                    scope.cancel()
                yield
            finally:
                self._waits.discard(scope)

    def tell(self, state: MutableMapping[str, Any]) -> None:
        """Let every request know of it whose `scope["state"]` is made from `state`."""
        state[_KEY] = self


def draining_of(state: Mapping[str, Any]) -> Draining:
    """Return what a request's state was told; under a foreign server one that never begins."""
    found: Draining | None = state.get(_KEY)
    return Draining() if found is None else found
