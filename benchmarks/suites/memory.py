"""What a cached secret takes: resident memory of a fresh process for each figure, before and after
it holds so many, divided by their number. Keys, paths and the cache's books are in it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path
from typing import Final

import greenlang_secrets as gs
from benchmarks.filling import OCTETS, hold, paths_of
from benchmarks.measuring import Outcome, Size, figure, interleaved
from benchmarks.servers import library_config, vault
from greenlang_secrets.testing import OpenBaoServer

__all__ = ["run"]

_COUNTS: Final = (10_000, 100_000)
_WARM: Final = 200
"""Secrets held before the first look: what a process needs once is no secret's."""


async def run(size: Size) -> Outcome:
    """Start the processes, each `size` in its turn."""
    async with vault() as server:
        samples = await interleaved(
            {
                f"{count:,} secrets of {OCTETS} octets": lambda count=count: _of(
                    server, size.of(count, least=2 * _WARM)
                )
                for count in _COUNTS
            },
            size.rounds_of(0.2),
            unit="KiB",
            warm=False,
        )
    return Outcome(
        findings=tuple(
            figure(samples, name, target="memory", what=f"each of {name}") for name in samples
        ),
        samples=samples,
    )


async def _of(server: OpenBaoServer, count: int) -> float:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.suites.memory", str(count)),
        env={**os.environ, "VAULT_ADDR": server.addr, "VAULT_TOKEN": server.root_token},
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError("the process that holds the secrets failed")
    return float(said)


def _resident() -> int:
    """Octets of this process in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def _held(count: int) -> float:
    """KiB for each."""

    class _There:
        addr = os.environ["VAULT_ADDR"]
        root_token = os.environ["VAULT_TOKEN"]

    async with gs.SecretsService.open(library_config(_There())) as service:  # type: ignore[arg-type]
        paths = paths_of(count)
        await hold(service, paths[:_WARM])
        before = _resident()
        await hold(service, paths[_WARM:])
        return (_resident() - before) / (count - _WARM) / 1024


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(_held(int(sys.argv[1])))}\n")
