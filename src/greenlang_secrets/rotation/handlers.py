"""Which kinds this process can rotate: the handlers it has, by kind."""

from __future__ import annotations

from collections.abc import Iterable

from greenlang_secrets.errors import NotRotatable
from greenlang_secrets.rotation.handler import RotationHandler
from greenlang_secrets.rotation_model import RotationKind

__all__ = ["Handlers"]


class Handlers:
    """Handlers by their kind; the last one that was added for a kind is the one."""

    def __init__(self, handlers: Iterable[RotationHandler] = ()) -> None:
        self._by_kind: dict[RotationKind, RotationHandler] = {}
        for handler in handlers:
            self.add(handler)

    def add(self, handler: RotationHandler) -> None:
        """Use this one for its kind."""
        self._by_kind[handler.kind] = handler

    def __contains__(self, kind: RotationKind) -> bool:
        return kind in self._by_kind

    def of(self, kind: RotationKind, *, path: object) -> RotationHandler:
        """Return the handler of `kind`.

        Raises:
            NotRotatable: there is none in this process.
        """
        try:
            return self._by_kind[kind]
        except KeyError:
            raise NotRotatable(
                f"This process cannot rotate the kind {kind.value}; register a handler for it.",
                path=path,
            ) from None
