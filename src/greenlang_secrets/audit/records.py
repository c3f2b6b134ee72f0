"""An audit record: an event, its place in the chain, and the one line of JSON that says both.

A record is the event's members after four of the chain's and before its HMAC::

    {"seq":7,"chain":"…","key":1,"prev":"…","id":"…",…,"hmac":"…"}

`hmac` is HMAC-SHA-256 over the octets of the line from its first up to, and without, the
``,"hmac":"`` near its end; that is the line without its last 76 octets, the newline among
them. Each record carries the HMAC of the one before, so that a record cannot be changed, taken
out, put in or moved without the key. docs/reference/audit.md shows a checker of a few lines.

A line is ASCII, with every other character escaped: whatever a caller puts into a path or a
reason (a line's end, a lone surrogate), it stays one line.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final, NoReturn

from greenlang_secrets.audit.event import AuditEvent, AuditPhase, AuditResult
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.sensitive import SecretValue

__all__ = [
    "MAX_LINE",
    "SEAL_LENGTH",
    "ChainKey",
    "Position",
    "Record",
    "RecordError",
    "members_of",
    "object_of",
    "parse",
    "sealed",
]

MAX_LINE: Final = 256 * 1024
"""Octets of a line at most; the texts of a request, all escaped, are under 100 KiB."""

SEAL_LENGTH: Final = 76
"""Octets of ``,"hmac":"<64 hexadecimal digits>"}`` and the newline."""

_KEY_OCTETS: Final = 32
_NO_HMAC: Final = "0" * 64
_LARGEST: Final = 2**63 - 1

_HEX_32: Final = re.compile(r"[0-9a-f]{32}\Z")
_HEX_64: Final = re.compile(r"[0-9a-f]{64}\Z")
_AT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")
_SEAL: Final = re.compile(rb',"hmac":"[0-9a-f]{64}"\}\n\Z')

_json: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))


class RecordError(ValueError):
    """A line is no record; the text says what is wrong with it, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class ChainKey:
    """A key of the chain: 32 octets that only the service and who verifies its log know."""

    version: int
    octets: bytes = field(repr=False)

    @classmethod
    def of(cls, key: SecretValue, version: int) -> ChainKey:
        """Return the key whose octets are in `key` as base64.

        Raises:
            ConfigurationError: they are not 32.
        """
        try:
            octets = base64.b64decode(key.reveal(), validate=True)
        except (binascii.Error, ValueError):
            octets = b""
        if len(octets) != _KEY_OCTETS:
            raise ConfigurationError(
                f"The audit key of version {version} is not {_KEY_OCTETS} octets in base64."
            )
        return cls(version, octets)

    def hmac(self, octets: bytes) -> str:
        """Return the HMAC-SHA-256 of `octets` as 64 hexadecimal digits."""
        return hmac.digest(self.octets, octets, "sha256").hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a chain has got: the last record's number and HMAC."""

    chain: str
    seq: int = 0
    hmac: str = _NO_HMAC

    @classmethod
    def beginning(cls) -> Position:
        """Return the beginning of a new chain, before its first record."""
        return cls(chain=secrets.token_hex(16))


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A line that was read; whether its HMAC is right, only who has the key can say.

    Attributes:
        seq: the record's number in its chain, from 1 on, across rotation and restarts.
        chain: the chain's name, 32 hexadecimal digits.
        key: the version of the key that its HMAC was made with.
        prev: the HMAC of the record before; zeros in the first.
        hmac: its own.
        event: what happened.
    """

    seq: int
    chain: str
    key: int
    prev: str
    hmac: str
    event: AuditEvent

    @property
    def position(self) -> Position:
        """Where the chain stands with this record as its last."""
        return Position(chain=self.chain, seq=self.seq, hmac=self.hmac)

    @property
    def before(self) -> Position:
        """Where the chain stood when this record was written."""
        return Position(chain=self.chain, seq=self.seq - 1, hmac=self.prev)


def members_of(event: AuditEvent) -> bytes:
    """Return the event as members of a JSON object, without its braces; what is None is left out.

    Raises:
        ValueError: a number is not finite, or the texts are longer than a line may be.
    """
    at = event.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    members: dict[str, object] = {"id": event.id, "at": at, "operation_id": event.operation_id}
    said = zip(_EVENT_MEMBERS, _said(event), strict=True)
    members |= {name: value for name, value in said if value is not None}
    if event.seconds is not None:
        members["seconds"] = round(event.seconds, 6)
    octets = _json.encode(members)[1:-1].encode("ascii")
    if len(octets) > MAX_LINE - 1024:
        raise ValueError("the texts of an audit event are too long for a record")
    return octets


def sealed(members: bytes, after: Position, key: ChainKey) -> tuple[bytes, Position]:
    """Return the line of the record that follows `after`, and the position it makes."""
    seq = after.seq + 1
    head = f'{{"seq":{seq},"chain":"{after.chain}","key":{key.version},"prev":"{after.hmac}",'
    body = head.encode("ascii") + members
    seal = key.hmac(body)
    line = b'%s,"hmac":"%s"}\n' % (body, seal.encode("ascii"))
    return line, Position(chain=after.chain, seq=seq, hmac=seal)


def parse(line: bytes) -> Record:
    """Return the record that a whole line says, its newline included.

    Raises:
        RecordError: the line is not what `sealed` makes: other members, another type, a member
            that is there twice, no HMAC at its end.
    """
    members = object_of(line)
    if not members.keys() >= _REQUIRED:
        missing = next(name for name in _MEMBERS if name in _REQUIRED and name not in members)
        raise _wrong(missing)
    for name, value in members.items():
        check = _MEMBERS.get(name)
        if check is None:
            raise RecordError("it has a member that no record has")
        checked = check(value)
        if checked is None:
            raise _wrong(name)
        members[name] = checked
    seq, chain, key, prev, seal = (members.pop(name) for name in _CHAIN_MEMBERS)
    return Record(event=AuditEvent(**members), seq=seq, chain=chain, key=key, prev=prev, hmac=seal)


def _wrong(name: str) -> RecordError:
    return RecordError(f"the member {name} is missing or not as it must be")


def object_of(line: bytes) -> dict[str, Any]:
    """Return the members of a sealed line of JSON.

    Raises:
        RecordError: it is none.
    """
    if len(line) > MAX_LINE:
        raise RecordError("it is too long")
    if _SEAL.search(line) is None:
        raise RecordError("it does not end in an HMAC and a newline")
    if not line.startswith(b'{"seq":'):
        raise RecordError("it does not begin with its number")
    try:
        members = _decode(line.decode("ascii"))
    except RecordError:
        raise
    except (ValueError, RecursionError):
        raise RecordError("it is not JSON in ASCII") from None
    return members if isinstance(members, dict) else {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise RecordError("it has a member twice")
    return members


def _no_number(_: str) -> NoReturn:
    raise RecordError("it has a number that JSON does not have")


_decode: Final[Callable[[str], Any]] = json.JSONDecoder(
    object_pairs_hook=_once, parse_constant=_no_number
).decode


_Check = Callable[[Any], Any]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _matching(pattern: re.Pattern[str]) -> _Check:
    def check(value: Any) -> str | None:
        return value if isinstance(value, str) and pattern.match(value) is not None else None

    return check


def _count(value: Any) -> int | None:
    # `type` and not isinstance: true is an int in Python.
    return value if type(value) is int and 0 <= value <= _LARGEST else None


def _seconds(value: Any) -> float | None:
    return float(value) if type(value) in {int, float} else None


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str) or _AT.match(value) is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:  # the 31st of February
        return None


def _one_of(words: type[StrEnum]) -> _Check:
    known = {word.value: word for word in words}
    return lambda value: known.get(value) if isinstance(value, str) else None


_CHAIN_MEMBERS: Final[dict[str, _Check]] = {
    "seq": lambda value: _count(value) or None,
    "chain": _matching(_HEX_32),
    "key": lambda value: _count(value) or None,
    "prev": _matching(_HEX_64),
    "hmac": _matching(_HEX_64),
}

_CHECKS: Final[dict[str, _Check]] = {
    "id": _text,
    "at": _time,
    "operation_id": _text,
    "action": _text,
    "phase": _one_of(AuditPhase),
    "result": _one_of(AuditResult),
    "principal": _text,
    "principal_tenant": _text,
    "tenant": _text,
    "path": _text,
    "version": _count,
    "status": _count,
    "code": _text,
    "seconds": _seconds,
    "cache": _text,
    "request_id": _text,
    "trace_id": _text,
    "source_address": _text,
    "reason": _text,
}

_MEMBERS: Final[dict[str, _Check]] = {**_CHAIN_MEMBERS, **_CHECKS}
_REQUIRED: Final = frozenset(
    {*_CHAIN_MEMBERS, "id", "at", "operation_id", "action", "phase", "result"}
)
_EVENT_MEMBERS: Final = tuple(name for name in _CHECKS if name not in {"id", "at", "operation_id"})
_said: Final = attrgetter(*_EVENT_MEMBERS)
