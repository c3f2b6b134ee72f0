"""The suites of `make bench`, run so small that they measure nothing: that they run."""

from __future__ import annotations

import asyncio
import importlib
import math
import os

import pytest

from benchmarks.__main__ import SUITES
from benchmarks.machine import cpu_clock
from benchmarks.measuring import Size

SMALL = Size(rounds=1, scale=0.002)


@pytest.mark.timeout(300)  # it starts services, and a machine may be busy
@pytest.mark.parametrize("name", SUITES)
async def test_a_suite_runs(name, monkeypatch, tmp_path):
    """Every line of every suite has a figure, or says why it has none."""
    monkeypatch.chdir(tmp_path)
    suite = importlib.import_module(f"benchmarks.suites.{name}")

    found = await suite.run(SMALL)

    assert found.findings
    for finding in found.findings:
        assert finding.not_run or all(math.isfinite(value) for value in finding.values)
        assert finding.not_run or finding.values


async def test_the_clock_of_another_process_counts_its_cpu():
    """A process that works is seen to work, from outside, and one that waits is not."""
    busy = await asyncio.create_subprocess_exec("python3", "-c", "while True: pass")
    idle = await asyncio.create_subprocess_exec(
        "python3", "-c", "input()", stdin=asyncio.subprocess.PIPE
    )
    try:
        clock, rest = cpu_clock(busy.pid), cpu_clock(idle.pid)
        begun = clock()
        while clock() < begun + 0.05:
            await asyncio.sleep(0.01)

        assert rest() < clock() + begun + 1
        assert cpu_clock(os.getpid())() > 0
    finally:
        for process in (busy, idle):
            process.kill()
            await process.wait()
