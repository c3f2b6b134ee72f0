"""Whether an audit log is whole: `verify` reads it line by line and names what is wrong.

Memory does not grow with the log, only with what is wrong with it and with the changes under
way at its end.
"""

from __future__ import annotations

import gzip
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from greenlang_secrets.audit.chain_check import ChainCheck
from greenlang_secrets.audit.event import AuditPhase
from greenlang_secrets.audit.findings import Finding, Findings, Flaw, Place
from greenlang_secrets.audit.head import Head, read_head
from greenlang_secrets.audit.log_file import (
    HEAD_FORGED,
    HEAD_MISMATCH,
    HEAD_MISSING,
    HEAD_UNCHECKED,
    HEAD_UNREADABLE,
    LOG_FILE_CHANGED,
    RECORDS_MISSING,
)
from greenlang_secrets.audit.records import (
    MAX_LINE,
    SEAL_LENGTH,
    ChainKey,
    Position,
    Record,
    RecordError,
    parse,
)
from greenlang_secrets.sensitive import SecretValue

__all__ = ["AuditReport", "UnknownOutcome", "verify"]

_TORN_WITHIN: Final = 1.0
"""Seconds that half a line at the end is given: the service may be writing it just now."""

_TELLING: Final = frozenset(
    {
        *(HEAD_FORGED, HEAD_MISMATCH, HEAD_MISSING, HEAD_UNCHECKED, HEAD_UNREADABLE),
        *(LOG_FILE_CHANGED, RECORDS_MISSING),
    }
)
"""What the log says of itself and a reader must hear: after it, records before may be missing
although what is left is a good chain.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownOutcome:
    """A change that was begun, and whose outcome no record says."""

    place: Place
    seq: int
    at: datetime
    operation_id: str
    action: str
    tenant: str | None
    path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What `verify` found.

    Attributes:
        records: lines that are whole, with the right HMAC.
        first, last: the numbers of the first and the last of them; None if there is none.
        flaws: how many things are wrong.
        findings: what they are, in the order of the files; the first 1,000.
        notices: what a reader should know and is not wrong.
        unknown: changes without an outcome.
    """

    records: int
    first: int | None
    last: int | None
    flaws: int
    findings: tuple[Finding, ...]
    notices: tuple[str, ...]
    unknown: tuple[UnknownOutcome, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return self.flaws == 0


def verify(files: Sequence[Path], keys: Mapping[int, SecretValue]) -> AuditReport:
    """Return what is wrong with a log: its files, the oldest first, as one chain.

    A name that ends in ``.gz`` is decompressed. The sidecar of the last file, where there is
    one, tells whether the end was cut off. The service may be writing meanwhile. Blocks.

    Raises:
        ConfigurationError: a key is not 32 octets in base64.
        OSError: a file cannot be read.
    """
    chain_keys = {version: ChainKey.of(key, version) for version, key in keys.items()}
    head, said = read_head(files[-1]) if files else (None, False)  # before the log: it never leads
    check = _Verification(chain_keys, head)
    for index, file in enumerate(files):
        for number, line in _lines(file, patient=index == len(files) - 1):
            check.line(Place(index=index, line=number, file=file), line)
    return check.report(files, said=said)


class _Verification:
    def __init__(self, keys: Mapping[int, ChainKey], head: Head | None) -> None:
        self._keys = keys
        self._head = head
        self._known = None if head is None else head.position
        self._findings = Findings()
        self._chain = ChainCheck(self._findings)
        self._records = 0
        self._notices: list[str] = []
        self._place: Place | None = None
        self._torn: Place | None = None
        self._begun: dict[str, UnknownOutcome] = {}

    def line(self, place: Place, line: bytes) -> None:
        self._place = place
        if not line.endswith(b"\n") and len(line) <= MAX_LINE:
            self._torn = place
            self._chain.pass_over()
            return
        try:
            record = parse(line)
        except RecordError as error:
            self._findings.add(Flaw.UNREADABLE, place, f"The line is no record: {error}.")
            self._chain.pass_over()
            return
        key = self._keys.get(record.key)
        if key is None:
            self._findings.add(
                Flaw.UNKNOWN_KEY, place, f"The key of version {record.key} was not given."
            )
            self._chain.take(place, record)
            return
        if key.hmac(line[:-SEAL_LENGTH]) != record.hmac:
            self._findings.add(
                Flaw.EDITED, place, "The HMAC is not that of what the line says: it was edited."
            )
            self._chain.pass_over()
            return
        self._records += 1
        if self._torn is not None:
            last = self._chain.last or Position(chain=record.chain)
            self._judge_torn(self._torn, last=last, known=record.before)
        self._chain.take(place, record)
        self._compare_record(place, record)
        self._follow(place, record)
        if record.event.action == "audit" and record.event.code in _TELLING:
            self._notices.append(f"{place.file}:{place.line} says of the log: {record.event.code}.")

    def _follow(self, place: Place, record: Record) -> None:
        event = record.event
        if event.phase is AuditPhase.OUTCOME:
            self._begun.pop(event.operation_id, None)
            return
        self._begun[event.operation_id] = UnknownOutcome(
            place=place,
            seq=record.seq,
            at=event.at,
            operation_id=event.operation_id,
            action=event.action,
            tenant=event.tenant,
            path=event.path,
        )

    def _judge_torn(self, torn: Place, *, last: Position | None, known: Position | None) -> None:
        """Say what half a line is: after the last record that was promised (`known`) it is what a
        death left, promised to nobody; else it is what is left of a record.
        """
        self._torn = None
        if known is not None and known == last:
            self._notices.append(
                f"{torn.file}:{torn.line} is half a record, which was promised to nobody."
            )
        else:
            self._findings.add(Flaw.TORN, torn, "The file ends within this line.")

    def report(self, files: Sequence[Path], *, said: bool) -> AuditReport:
        self._chain.finish()
        notices = self._notices
        first, last = self._chain.first, self._chain.last
        if self._torn is not None:
            self._judge_torn(self._torn, last=last, known=self._known)
        if first is not None and first > 1:
            notices.append(f"The log begins at record {first}; give the file before it.")
        if files and not said:
            notices.append(
                "The last file has no sidecar, or an empty one: a cut end cannot be seen."
            )
        elif files:
            place = self._place or Place(index=len(files) - 1, line=0, file=files[-1])
            self._compare_end(place)
        return AuditReport(
            records=self._records,
            first=first,
            last=None if last is None else last.seq,
            flaws=self._findings.count,
            findings=self._findings.kept,
            notices=tuple(notices),
            unknown=tuple(self._begun.values()),
        )

    def _compare_record(self, place: Place, record: Record) -> None:
        known = self._known
        if known is None or (record.chain, record.seq) != (known.chain, known.seq):
            return
        if record.hmac != known.hmac:
            self._findings.add(
                Flaw.HEAD_MISMATCH, place, f"The sidecar knows another record {record.seq}."
            )

    def _compare_end(self, place: Place) -> None:
        head, known, last = self._head, self._known, self._chain.last
        key = None if head is None else self._keys.get(head.key)
        if head is not None and key is None:
            # Else a sidecar that was made up, of a key that nobody has, would hide a cut end.
            self._findings.add(
                Flaw.UNKNOWN_KEY,
                place,
                f"The sidecar's key, of version {head.key}, was not given: "
                "a cut end cannot be seen.",
            )
        if known is None or (head and key and not head.is_sealed_with(key)):
            self._findings.add(
                Flaw.HEAD_MISMATCH, place, "The sidecar is not what the service wrote."
            )
        elif last is not None and last.chain != known.chain:
            self._findings.add(Flaw.HEAD_MISMATCH, place, "The sidecar is of another chain.")
        elif last is None or last.seq + self._chain.bad < known.seq:
            self._findings.add(
                Flaw.TAIL_CUT,
                place,
                f"The sidecar knows records up to {known.seq}: those after this line are missing.",
            )


def _lines(file: Path, *, patient: bool) -> Iterator[tuple[int, bytes]]:
    """Yield a file's lines with their numbers; of one longer than a record, just too much."""
    with _opened(file) as opened:
        number = 0
        while line := opened.readline(MAX_LINE + 1):
            number += 1
            rest = line
            while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
                rest = opened.readline(MAX_LINE + 1)
            if patient and len(line) <= MAX_LINE and not line.endswith(b"\n"):
                line += _awaited(opened)
            yield number, line


def _opened(file: Path) -> io.BufferedReader | gzip.GzipFile:
    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")


def _awaited(opened: io.BufferedReader | gzip.GzipFile) -> bytes:
    until = time.monotonic() + _TORN_WITHIN
    rest = b""
    while not rest.endswith(b"\n") and time.monotonic() < until:
        time.sleep(0.02)
        rest += opened.readline(MAX_LINE)
    return rest
