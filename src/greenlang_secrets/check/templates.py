"""What templates read: of the agent ``secret``, ``secrets`` and ``pkiCert`` with a fixed path, of the
External Secrets Operator the fields of the secret that it has taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["fields_of", "fields_read", "read_by"]

_ACTION: Final = re.compile(r"\{\{(?!-?\s*/\*)(.*?)\}\}", re.DOTALL)
_CALL: Final = re.compile(
    r"(?<![\w.])(?P<name>secret|secrets|pkiCert)\s+(?P<path>\"[^\"]*\"|`[^`]*`)(?P<more>\s+[\"`(])?"
)
_TEXT: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"|`[^`]*`")
_FIELD: Final = re.compile(r"(?<![\w.)$\]])\.([A-Za-z_]\w*)")
_INDEXED: Final = re.compile(r"index\s+\.\s+\"([^\"]+)\"")
_MOVES: Final = re.compile(r"\{\{-?\s*(?:with|range|define|block|template)\b")


def fields_of(template: str) -> Iterator[tuple[str, int]]:
    """Yield (field, lines below the template's first) for each field of the dot.

    A template in which the dot becomes something else (``with``, ``range``) is passed over.
    """
    if _MOVES.search(template):
        return
    for action in _ACTION.finditer(template):
        code = action.group(1)
        below = template.count("\n", 0, action.start(1))
        for found in _INDEXED.finditer(code):
            yield found[1], below + code.count("\n", 0, found.start())
        bare = _TEXT.sub(lambda text: " " * len(text[0]), code)
        for found in _FIELD.finditer(bare):
            yield found[1], below + code.count("\n", 0, found.start())


_OPENS: Final = frozenset({"with", "range", "if", "block", "define"})
_SECRET: Final = re.compile(r"\bsecret\s+(\"[^\"]*\"|`[^`]*`)\s*$")
_OF_DATA: Final = re.compile(r"(?<![\w.)$\]])\.Data\.data\.([A-Za-z_]\w*)")


def fields_read(template: str) -> Iterator[tuple[str, str, int]]:
    """Yield (path, field, lines below the template's first) for each ``.Data.data.FIELD`` inside a
    ``with secret "PATH"``.
    """
    open_blocks: list[tuple[str, str]] = []  # the word, and the path where the dot is its secret
    for action in _ACTION.finditer(template):
        code = action.group(1).strip("- \t\n")
        word = code.partition(" ")[0]
        dot = next((path for word, path in reversed(open_blocks) if word in {"with", "range"}), "")
        if dot:
            for found in _OF_DATA.finditer(action.group(1)):
                below = template.count("\n", 0, action.start(1) + found.start())
                yield dot, found[1], below
        if word == "end":
            del open_blocks[-1:]
        elif word in _OPENS:
            secret = _SECRET.search(code)
            open_blocks.append((word, secret[1][1:-1] if secret else ""))


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
