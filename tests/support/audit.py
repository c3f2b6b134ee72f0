"""Audit logs of tests: keys, events, and logs written without a thread."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from greenlang_secrets.audit.event import AuditEvent, AuditPhase, AuditResult
from greenlang_secrets.audit.head import HeadFile
from greenlang_secrets.audit.records import ChainKey, Position, members_of, parse, sealed
from greenlang_secrets.audit.verify import AuditReport, verify
from greenlang_secrets.sensitive import SecretValue

KEY = SecretValue(base64.b64encode(b"k" * 32).decode())
OTHER_KEY = SecretValue(base64.b64encode(b"o" * 32).decode())
CHAIN_KEY = ChainKey.of(KEY, 1)
KEYS = {1: KEY}

BEGINNING = Position(chain="c" * 32)


def event(name: str = "read", **members: object) -> AuditEvent:
    """An outcome."""
    said = {"phase": AuditPhase.OUTCOME, "result": AuditResult.OK, **members}
    return AuditEvent(action=name, **said)  # type: ignore[arg-type]  # what a test says


def intent(operation: str) -> AuditEvent:
    """The intent of a change."""
    return event(
        "write", phase=AuditPhase.INTENT, result=AuditResult.PENDING, operation_id=operation
    )


def lines_of(
    count: int, after: Position = BEGINNING, key: ChainKey = CHAIN_KEY
) -> tuple[list[bytes], Position]:
    """The lines of so many records, and where the chain is then; each has its number as path."""
    lines = []
    for _ in range(count):
        line, after = sealed(members_of(event(path=str(after.seq + 1))), after, key)
        lines.append(line)
    return lines, after


def written(
    path: Path,
    lines: Sequence[bytes],
    head: Position | None = None,
    head_key: ChainKey = CHAIN_KEY,
) -> Path:
    """Write a log of these lines, for its owner alone, with a sidecar if `head` is given."""
    path.touch(mode=0o600)
    path.write_bytes(b"".join(lines))
    if head is not None:
        sidecar = HeadFile(path)
        sidecar.write(head, head_key)
        sidecar.close()
    return path


async def verified(files: Sequence[Path], keys: Mapping[int, SecretValue]) -> AuditReport:
    """Verify in a thread: it blocks."""
    return await asyncio.to_thread(verify, files, keys)


def numbers(path: Path) -> list[int]:
    """The numbers of the records in a file."""
    return [parse(line).seq for line in path.read_bytes().splitlines(keepends=True)]


def codes(path: Path) -> list[str]:
    """What a log says of itself."""
    records = [parse(line) for line in path.read_bytes().splitlines(keepends=True)]
    return [str(record.event.code) for record in records if record.event.action == "audit"]
