"""Processes of `greenlang-secrets`, or of a test's own program, that begin at once, to be killed.

An interpreter that has imported everything forks for each of them: the tests that kill a
service twenty times would otherwise spend their time on imports.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["Zygote"]

_RUN = """
import os, signal, sys
from greenlang_secrets.cli import main
import asyncpg, greenlang_secrets_api.server

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
for line in sys.stdin:
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(2, 1)
    words = line.split()
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        os.environ[name] = value
    sys.argv = ["greenlang-secrets", *words]
    main()
"""


class Zygote:
    """Forks commands, and kills those that are left at the end."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._children: list[int] = []
        self._turn = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, environment: Mapping[str, str], log: Path, *, program: str = _RUN
    ) -> AsyncIterator[Zygote]:
        """Start the interpreter; its children's output goes to `log`. `program` forks a child for
        each line that it reads, and writes the child's process id.
        """
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", program),
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        zygote = cls(process, log)
        try:
            yield zygote
        finally:
            for pid in zygote._children:
                kill(pid)
            process.kill()
            await process.communicate()

    async def run(self, *arguments: str) -> int:
        """Run `greenlang-secrets` with these arguments, and return its process id; what has an
        equals sign before the command is set in its environment.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            self._process.stdin.write(" ".join(arguments).encode() + b"\n")
            pid = int(await asyncio.wait_for(self._process.stdout.readline(), 60))
        self._children.append(pid)
        return pid

    async def serve(self, url_file: Path, *variables: str) -> tuple[int, str]:
        """Run the service on a free port; return its process id and URL when it answers."""
        await asyncio.to_thread(url_file.unlink, missing_ok=True)
        pid = await self.run(*variables, "serve", "--port", "0", "--url-file", str(url_file))
        async with asyncio.timeout(60):
            while True:
                if not lives(pid):
                    log = await asyncio.to_thread(self._log.read_text)
                    raise AssertionError(f"the service has ended while it started: {log[-2000:]}")
                with contextlib.suppress(FileNotFoundError):
                    if url := (await asyncio.to_thread(url_file.read_text)).strip():
                        return pid, url
                await asyncio.sleep(0.01)


def kill(pid: int) -> None:
    """Kill a child, if it is there: SIGKILL, which it cannot see coming."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def lives(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
