"""Audit records and logs for tests of what reads them, made as the service makes them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from greenlang_secrets import SecretValue
from greenlang_secrets.audit import AuditEvent, AuditLog, AuditPhase, AuditResult
from greenlang_secrets.audit.records import ChainKey, Position, Record, members_of, parse, sealed

KEY = SecretValue(base64.b64encode(b"k" * 32).decode())
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def event(number: int = 1, *, tenant: str | None = "acme", **members: object) -> AuditEvent:
    """Return a read of a secret, a second after the one before."""
    given: dict[str, object] = {
        "action": "read",
        "phase": AuditPhase.OUTCOME,
        "result": AuditResult.OK,
        "at": NOON + timedelta(seconds=number),
        "principal": "bob",
        "path": f"secret-{number}",
    }
    return AuditEvent(tenant=tenant, **{**given, **members})  # type: ignore[arg-type]  # by name


def lines(*events: AuditEvent, after: Position | None = None) -> tuple[list[bytes], Position]:
    """Return sealed lines, and where the chain is then."""
    key, position = ChainKey.of(KEY, 1), after or Position.beginning()
    found = []
    for each in events:
        line, position = sealed(members_of(each), position, key)
        found.append(line)
    return found, position


def records(*events: AuditEvent, after: Position | None = None) -> list[Record]:
    """Return records of one chain."""
    return [parse(line) for line in lines(*events, after=after)[0]]


@asynccontextmanager
async def audit_log(path: Path) -> AsyncIterator[AuditLog]:
    """Yield a log that can be written."""
    async with AuditLog.open(path) as log:
        log.use_key(KEY, 1)
        yield log
