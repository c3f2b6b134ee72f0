"""What a durable audit record costs: alone, and together with a hundred others.

Time here is the wall's, because the disk is what is waited for.
"""

from __future__ import annotations

import asyncio
import base64
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import greenlang_secrets as gs
from benchmarks.measuring import Outcome, Run, Size, interleaved, over, per_call
from greenlang_secrets.audit import AuditEvent, AuditLog, AuditPhase, AuditResult

__all__ = ["run"]

BARE: Final = "append + fdatasync"
ALONE: Final = "audit record, one by one"
TOGETHER: Final = "audit record, 100 writers"
WRITERS: Final = 100
LINE: Final = b"x" * 650 + b"\n"  # as long as a record of a read


async def run(size: Size) -> Outcome:
    """Measure the wall's time of a record."""
    records = size.of(5) * WRITERS
    async with audited() as runs:
        samples = await interleaved(
            {name: per_call(each, records, clock=time.perf_counter) for name, each in runs.items()},
            size.rounds_of(0.6),
            unit="us",
        )
    return Outcome(
        findings=(over(samples, ALONE, BARE), over(samples, TOGETHER, BARE)), samples=samples
    )


def event() -> AuditEvent:
    """The record of one read, as the API makes it."""
    return AuditEvent(
        action="read",
        phase=AuditPhase.OUTCOME,
        result=AuditResult.OK,
        principal="service-a",
        principal_tenant="acme",
        tenant="acme",
        path="database/postgresql",
        version=3,
        status=200,
        seconds=0.00042,
        cache="hit",
        request_id="0" * 32,
        trace_id="1" * 32,
        source_address="192.0.2.7",
    )


@asynccontextmanager
async def audited() -> AsyncIterator[dict[str, Run]]:
    """Yield the candidates: the bare system calls, records one by one, and a hundred writers."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # a disk, where /tmp may be memory
        descriptor = os.open(Path(folder) / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            async with AuditLog.open(Path(folder) / "audit.jsonl") as log:
                log.use_key(gs.SecretValue(base64.b64encode(os.urandom(32)).decode()), 1)

                async def bare(records: int) -> None:
                    for _ in range(records):
                        os.write(descriptor, LINE)
                        os.fdatasync(descriptor)

                async def one_by_one(records: int) -> None:
                    for _ in range(records):
                        await log.write(event())

                async def together(records: int) -> None:
                    async def write() -> None:
                        for _ in range(records // WRITERS):
                            await log.write(event())

                    await asyncio.gather(*(write() for _ in range(WRITERS)))

                yield {BARE: bare, ALONE: one_by_one, TOGETHER: together}
        finally:
            os.close(descriptor)
