"""Whether records follow one another: what is missing, moved or there twice.

Only whole records whose HMAC is right are believed; a line that is not one of those takes the
place of one record, whatever number it claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from greenlang_secrets.audit.findings import Findings, Flaw, Place
from greenlang_secrets.audit.records import Position, Record

__all__ = ["ChainCheck"]

_MOST_OPEN: Final = 10_000
"""Gaps, and records that came early, that are remembered; more is a ruined log."""


@dataclass(slots=True)
class _Gap:
    """Numbers that were passed over before `place`; one that comes later only stands wrong."""

    first: int
    last: int
    place: Place


@dataclass(frozen=True, slots=True)
class _Jump:
    """A record that is further on than the next one should be. What follows it tells why: if the
    chain goes on from here, records were cut before it; if it goes on from before, it was moved.
    """

    place: Place
    record: Record
    bad_before: int


class ChainCheck:
    """Takes records in the order of the files, and adds what is wrong to `findings`.

    Attributes:
        first: the number of the first record, None before it.
        last: how far the chain has got, None before the first record.
        bad: lines after that which are no good record.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._gaps: list[_Gap] = []
        self._early: dict[int, Position] = {}
        self._jump: _Jump | None = None
        self.first: int | None = None
        self.last: Position | None = None
        self.bad = 0

    def pass_over(self) -> None:
        """Take a line that is no good record; that was found already."""
        self.bad += 1

    def take(self, place: Place, record: Record) -> None:
        """Take the next record."""
        if self.last is None:
            self.first = record.seq
            self.last = record.position
            self.bad = 0
            return
        if record.chain != self.last.chain:
            self._findings.add(
                Flaw.FOREIGN_CHAIN, place, "The record belongs to the chain of another log."
            )
            self.bad += 1
            return
        last = self._settle_jump(self.last, record)
        while (early := self._early.pop(last.seq + 1, None)) is not None:
            last = early
        self.last = last
        if record.seq == last.seq + 1:
            if record.prev != last.hmac:
                self._findings.add(
                    Flaw.UNLINKED,
                    place,
                    f"Record {record.seq} did not follow the record {last.seq} that stands here.",
                )
            self._go_on(record)
        elif record.seq <= last.seq:
            self._take_late(place, record)
        elif record.seq <= last.seq + 1 + self.bad:
            self._go_on(record)  # the bad lines are the records in between
        else:
            self._jump = _Jump(place, record, self.bad)
            self.bad = 0

    def finish(self) -> None:
        """Take the end of the last file."""
        if self.last is not None and self._jump is not None:
            self._accept(self.last, self._jump)
        for gap in self._gaps:
            self._tell(gap)

    def _go_on(self, record: Record) -> None:
        self.last = record.position
        self.bad = 0

    def _settle_jump(self, last: Position, record: Record) -> Position:
        """Return how far the chain had got before `record`, now that this is known."""
        jump, self._jump = self._jump, None
        if jump is None:
            return last
        if not last.seq < record.seq < jump.record.seq:
            return self._accept(last, jump)
        self._findings.add(
            Flaw.OUT_OF_ORDER,
            jump.place,
            f"Record {jump.record.seq} stands here, before its place.",
        )
        self._early[jump.record.seq] = jump.record.position
        if len(self._early) > _MOST_OPEN:
            del self._early[next(iter(self._early))]
        self.bad += jump.bad_before
        return last

    def _accept(self, last: Position, jump: _Jump) -> Position:
        self._gaps.append(_Gap(last.seq + 1, jump.record.seq - 1, jump.place))
        if len(self._gaps) > _MOST_OPEN:
            self._tell(self._gaps.pop(0))
        self.last = jump.record.position
        return self.last

    def _take_late(self, place: Place, record: Record) -> None:
        for gap in self._gaps:
            if gap.first <= record.seq <= gap.last:
                break
        else:
            self._findings.add(
                Flaw.DUPLICATED, place, f"Record {record.seq} stands here a second time."
            )
            return
        self._findings.add(
            Flaw.OUT_OF_ORDER, place, f"Record {record.seq} stands here, after its place."
        )
        self._gaps.remove(gap)
        for first, last in ((gap.first, record.seq - 1), (record.seq + 1, gap.last)):
            if first <= last:
                self._gaps.append(_Gap(first, last, gap.place))

    def _tell(self, gap: _Gap) -> None:
        which = (
            f"Record {gap.first} is"
            if gap.first == gap.last
            else f"Records {gap.first} to {gap.last} are"
        )
        self._findings.add(Flaw.CUT, gap.place, f"{which} missing before this line.")
