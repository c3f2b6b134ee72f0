"""What can be wrong with an audit log, and where it was found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

__all__ = ["MOST_KEPT", "Finding", "Findings", "Flaw", "Place"]

MOST_KEPT: Final = 1000
"""Findings that are kept; the rest is counted, so that a ruined log does not fill the memory."""


class Flaw(StrEnum):
    """What is wrong with a line, or before it."""

    UNREADABLE = "unreadable"  # it is no record
    TORN = "torn"  # the file ends within it
    EDITED = "edited"  # its HMAC is not that of what it says
    UNKNOWN_KEY = "unknown_key"  # the key of that version was not given: nothing can be said
    FOREIGN_CHAIN = "foreign_chain"  # it is of another log
    OUT_OF_ORDER = "out_of_order"  # it stands at another's place
    DUPLICATED = "duplicated"  # it stands here a second time
    CUT = "cut"  # records before it are missing
    UNLINKED = "unlinked"  # the record before it is not the one it followed
    TAIL_CUT = "tail_cut"  # records after it are missing
    HEAD_MISMATCH = "head_mismatch"  # the sidecar knows another record, or was edited


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """A line of one of the files, the `index`th that was given, from 0; lines count from 1, and 0
    is an empty file.
    """

    index: int
    line: int
    file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong; `text` says it in a sentence, and quotes nothing of the log but
    numbers.
    """

    flaw: Flaw
    place: Place
    text: str


class Findings:
    """Collects what is found."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self.count = 0

    def add(self, flaw: Flaw, place: Place, text: str) -> None:
        """Add a finding."""
        self.count += 1
        if len(self._kept) < MOST_KEPT:
            self._kept.append(Finding(flaw=flaw, place=place, text=text))

    @property
    def kept(self) -> tuple[Finding, ...]:
        """The findings, in the order of the files."""
        return tuple(sorted(self._kept, key=lambda finding: finding.place))
