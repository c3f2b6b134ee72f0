"""How long the import of the library takes over a bare interpreter, in processes of their own: by
the wall's clock, which a target is for, and in CPU time, which a busy machine does not stretch.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from typing import Final

from benchmarks.measuring import (
    Candidate,
    Finding,
    Outcome,
    Samples,
    Size,
    interleaved,
    not_runnable,
    number,
)

__all__ = ["run"]

OURS: Final = "import greenlang_secrets"
BARE: Final = "python -c pass"
AIOHTTP: Final = "import aiohttp"
_STATEMENTS: Final = {
    BARE: "pass",
    OURS: "import greenlang_secrets",
    # What the first use of a name brings in, which is most of it.
    "from greenlang_secrets import SecretsService": "from greenlang_secrets import SecretsService",
    AIOHTTP: "import aiohttp",
    "import hvac": "import hvac",
}


async def run(size: Size) -> Outcome:
    """Measure the wall's time, with bytecode compiled and files in the page cache."""
    cpu: dict[str, list[float]] = {}
    there = {name: statement for name, statement in _STATEMENTS.items() if await _works(statement)}
    samples = await interleaved(
        {
            name: _importing(statement, cpu.setdefault(name, []))
            for name, statement in there.items()
        },
        size.rounds_of(0.8),
        unit="ms",
    )
    spent = {
        name: Samples(unit="ms CPU", values=tuple(values[-size.rounds_of(0.8) :]))
        for name, values in cpu.items()
    }
    bare = samples[BARE]
    findings = []
    for name in list(_STATEMENTS)[1:]:
        if name not in there:
            findings.append(not_runnable(name, "the package is not installed"))
            continue
        extra = tuple(
            value - base for value, base in zip(samples[name].values, bare.values, strict=True)
        )
        findings.append(
            Finding(
                what=f"{name}, over bare Python",
                unit="ms",
                values=extra,
                detail=f"{number(spent[name].median - spent[BARE].median)} ms CPU",
                target="import" if name == OURS else "",
            )
        )
    return Outcome(
        findings=tuple(findings),
        samples=samples | {f"{name}, CPU": found for name, found in spent.items()},
    )


async def _works(statement: str) -> bool:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", statement, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait() == 0


def _importing(statement: str, cpu: list[float]) -> Candidate:
    # Bytecode may be switched off in the environment, and would be compiled each time then.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    async def candidate() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", statement, env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        await process.wait()
        taken = time.perf_counter() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        cpu.append(used * 1e3)
        return taken * 1e3

    return candidate
