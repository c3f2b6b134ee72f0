"""The sidecar of the audit log, ``FILE.head``: how far the chain had got.

A log whose end was cut off is still a good chain. The sidecar tells: it holds the number and
the HMAC of the last durable record, with an HMAC of its own. It is written after each batch and
not synced, so it may lag behind the log after a power loss, but it never leads.

Its lock is the one that a second process meets: the log itself is renamed when it is rotated,
the sidecar never.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from greenlang_secrets.audit.private_file import open_private
from greenlang_secrets.audit.records import (
    SEAL_LENGTH,
    ChainKey,
    Position,
    RecordError,
    object_of,
)

__all__ = ["SUFFIX", "Head", "HeadFile", "read_head"]

SUFFIX: Final = ".head"

_SIZE: Final = 512
"""Octets of the file, always: it is overwritten in place, which needs no room on a full disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a sidecar says."""

    position: Position
    key: int
    line: bytes

    def is_sealed_with(self, key: ChainKey) -> bool:
        """Whether its HMAC is right."""
        return key.hmac(self.line[:-SEAL_LENGTH]) == self.line[-67:-3].decode("ascii")


class HeadFile:
    """The sidecar of the log at `path`, opened and locked. Every method blocks."""

    def __init__(self, path: Path) -> None:
        self._descriptor = open_private(path.with_name(path.name + SUFFIX), append=False)

    def read(self) -> tuple[Head | None, bool]:
        """Return what it says, and whether it said anything at all."""
        octets = os.pread(self._descriptor, _SIZE, 0)
        return _parsed(octets), bool(octets)

    def write(self, position: Position, key: ChainKey) -> None:
        """Say how far the chain has got. A disk that refuses is passed over: it lags then."""
        body = (
            f'{{"seq":{position.seq},"chain":"{position.chain}","key":{key.version},'
            f'"record":"{position.hmac}"'
        ).encode("ascii")
        line = b'%s,"hmac":"%s"}\n' % (body, key.hmac(body).encode("ascii"))
        with suppress(OSError):
            os.pwrite(self._descriptor, line.ljust(_SIZE), 0)

    def sync(self) -> None:
        """Make it durable: where the log begins anew it is all that is left of the old one."""
        with suppress(OSError):
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Give it back, and its lock."""
        os.close(self._descriptor)


def read_head(path: Path) -> tuple[Head | None, bool]:
    """Return what the sidecar of the log at `path` says, and whether there is one that says
    anything. Takes no lock. Blocks.
    """
    try:
        octets = path.with_name(path.name + SUFFIX).read_bytes()
    except FileNotFoundError:
        return None, False
    return _parsed(octets[:_SIZE]), bool(octets)


def _parsed(octets: bytes) -> Head | None:
    line, newline, _ = octets.partition(b"\n")
    try:
        members: dict[str, Any] = object_of(line + newline)
        position = Position(chain=members["chain"], seq=members["seq"], hmac=members["record"])
        key = members["key"]
    except (RecordError, KeyError):
        return None
    whole = isinstance(position.chain, str) and isinstance(position.hmac, str)
    if not whole or type(position.seq) is not int or type(key) is not int:
        return None
    return Head(position=position, key=key, line=line + newline)
