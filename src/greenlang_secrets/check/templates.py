"""What templates of the agent read: ``secret``, ``secrets`` and ``pkiCert`` with a fixed path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["read_by"]

_ACTION: Final = re.compile(r"\{\{(?!-?\s*/\*)(.*?)\}\}", re.DOTALL)
_CALL: Final = re.compile(
    r"(?<![\w.])(?P<name>secret|secrets|pkiCert)\s+(?P<path>\"[^\"]*\"|`[^`]*`)(?P<more>\s+[\"`(])?"
)


def read_by(template: str) -> Iterator[tuple[str, str, int]]:
    """Yield (path, capability, lines below the template's first) for each call.

    ``secret`` with parameters and ``pkiCert`` write, and ``secrets`` lists.
    """
    for action in _ACTION.finditer(template):
        for call in _CALL.finditer(action.group(1)):
            name = call["name"]
            writes = name == "pkiCert" or call["more"] is not None
            capability = "list" if name == "secrets" else "update" if writes else "read"
            below = template.count("\n", 0, action.start(1) + call.start())
            yield call["path"][1:-1], capability, below
