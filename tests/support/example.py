"""An example as its reader runs it: a process of its own, with its settings in the environment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import greenlang_secrets as gs

__all__ = ["EXAMPLES", "Example", "environment", "running"]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def environment(config: gs.SecretsServiceConfig, **more: str) -> dict[str, str]:
    """Return our environment without what is ours alone, and with the settings of a service."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("VAULT_", "BAO_", "GREEN"))}
    assert config.auth.token is not None
    return {
        **own,
        "PYTHONUNBUFFERED": "1",
        "VAULT_ADDR": config.addresses[0],
        "VAULT_TOKEN": config.auth.token.reveal(),
        "GREENLANG_SECRETS_KV_MOUNT": config.kv_mount,
        "GREENLANG_SECRETS_TENANT_TOKEN_ROLE": "none",
        "GREENLANG_SECRETS_CACHE_FRESH_SECONDS": "0.2",
        **more,
    }


@dataclass
class Example:
    """A process, and what it has printed so far, on both streams."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    @property
    def output(self) -> str:
        """All of it."""
        return "".join(self.lines)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode())

    async def ends(self) -> int:
        """Wait until it has ended, and return its exit code."""
        async with asyncio.timeout(30):
            return await self.process.wait()


@asynccontextmanager
async def running(*command: str, env: dict[str, str], folder: Path) -> AsyncIterator[Example]:
    """Start Python with a command, in a folder; end it as a supervisor does, if it has not ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env=env,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    example = Example(process)
    reading = asyncio.ensure_future(example._read())
    try:
        yield example
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await example.ends()
            except TimeoutError:
                process.kill()
                await process.wait()
        await reading
