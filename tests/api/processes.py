"""The service as a process of its own, as `serve` runs it."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.live import Api

RUN = """
import sys
from greenlang_secrets_api.server import serve
sys.exit(serve(port=int(sys.argv[1]), on_ready=lambda url: print(url, flush=True)))
"""


@asynccontextmanager
async def process(environment: dict[str, str], port: int = 0) -> AsyncIterator[Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUN,
        str(port),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def ended(child: Process) -> tuple[int | None, str]:
    _, errors = await asyncio.wait_for(child.communicate(), 60)
    return child.returncode, errors.decode()


async def started(child: Process) -> Api:
    assert child.stdout is not None
    line = await asyncio.wait_for(child.stdout.readline(), 60)
    return Api(line.decode().strip())
