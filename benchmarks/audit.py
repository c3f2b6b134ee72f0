"""What a durable audit record costs: alone, and together with a hundred others.

Time here is the wall's, because the disk is what is waited for.
"""

from __future__ import annotations

import asyncio
import base64
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import greenlang_secrets as gs
from greenlang_secrets.audit import AuditEvent, AuditLog, AuditPhase, AuditResult

__all__ = ["BARE", "audited"]

BARE: Final = "append + fdatasync"
WRITERS: Final = 100
LINE: Final = b"x" * 650 + b"\n"  # as long as a record of a read


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
async def audited() -> AsyncIterator[dict[str, Callable[[int], Awaitable[None]]]]:
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

                yield {BARE: bare, "audit, one by one": one_by_one, "audit, 100 writers": together}
        finally:
            os.close(descriptor)
