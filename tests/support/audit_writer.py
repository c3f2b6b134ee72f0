"""A process that writes an audit log as fast as it can, until it is killed.

``python -m support.audit_writer FILE``: ten writers, each of which says a record's id on stdout
once the record is durable. SIGHUP reopens the file.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from greenlang_secrets.audit import AuditLog
from support.audit import KEY, event

WRITERS = 10


async def main(path: Path) -> None:
    async with AuditLog.open(path) as log:
        log.use_key(KEY, 1)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, log.reopen)

        async def write() -> None:
            while True:
                said = event(path="database/postgresql")
                await log.write(said)
                os.write(1, f"{said.id}\n".encode())  # not through a buffer, which dies with us

        async with asyncio.TaskGroup() as writers:
            for _ in range(WRITERS):
                writers.create_task(write())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
