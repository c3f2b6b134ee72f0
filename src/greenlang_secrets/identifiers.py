"""Ids of requests and records: 128 random bits as 32 hexadecimal digits.

The kernel is asked for 64 of them at a time. Each time it is, another thread may take the
interpreter, and a request that asks three times waits for it three times.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["new_id"]

_OCTETS: Final = 16
_AT_ONCE: Final = 64

_ready: Final[list[str]] = []
# A forked child must not give out what its parent does.
os.register_at_fork(after_in_child=_ready.clear)


def new_id() -> str:
    """Return an id that no other call returns, in any thread or process: of 2^128."""
    try:
        return _ready.pop()  # one step of the interpreter: no two threads get the same
    except IndexError:
        digits = os.urandom(_OCTETS * _AT_ONCE).hex()
        size = 2 * _OCTETS
        _ready.extend(digits[at : at + size] for at in range(size, len(digits), size))
        return digits[:size]
