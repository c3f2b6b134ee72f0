"""How long the import of the library takes over a bare interpreter, in processes of their own."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Final

from benchmarks.measuring import Candidate, Finding, Outcome, Size, figure, interleaved

__all__ = ["run"]

OURS: Final = "import greenlang_secrets, and SecretsService"
BARE: Final = "python -c pass"
AIOHTTP: Final = "import aiohttp"
_STATEMENTS: Final = {
    BARE: "pass",
    "import greenlang_secrets": "import greenlang_secrets",
    OURS: "from greenlang_secrets import SecretsService",
    AIOHTTP: "import aiohttp",
    "import hvac": "import hvac",
}


async def run(size: Size) -> Outcome:
    """Measure the wall's time, with bytecode compiled and files in the page cache."""
    samples = await interleaved(
        {name: _importing(statement) for name, statement in _STATEMENTS.items()},
        size.rounds,
        unit="ms",
    )
    bare = samples[BARE]
    findings = []
    for name in list(_STATEMENTS)[1:]:
        extra = tuple(
            value - base for value, base in zip(samples[name].values, bare.values, strict=True)
        )
        findings.append(
            Finding(
                what=f"{name}, over bare Python",
                unit="ms",
                values=extra,
                detail=figure(samples, BARE).what if name == BARE else "",
                target="import" if name == OURS else "",
            )
        )
    return Outcome(findings=tuple(findings), samples=samples)


def _importing(statement: str) -> Candidate:
    # Bytecode may be switched off in the environment, and would be compiled each time then.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    async def candidate() -> float:
        begun = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", statement, env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        if await process.wait() != 0:
            raise RuntimeError(f"{statement!r} failed")
        return (time.perf_counter() - begun) * 1e3

    return candidate
