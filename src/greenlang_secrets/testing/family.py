"""A process and its descendants: signals to all of them, and the tie to the owner they must not outlive.

Owns system calls only; which process gets which signal when is decided in `process`.
"""

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = [
    "dying_with_owner",
    "end_with_owner",
    "exists",
    "family",
    "forks",
    "freeze",
    "kill",
    "send",
]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOOK_SECONDS = 0.001  # a signal arrives within microseconds
_FREEZE_SECONDS = 1.0  # a process that waits for a disk longer than this cannot fork meanwhile


@functools.cache
def forks(owner: int) -> ThreadPoolExecutor:
    """Return the thread that starts every server of a process, given by its id.

    One that lasts, since the kernel ties a child to the *thread* that forked it, and one without an
    event loop, since Popen waits for the child's exec. By process id, for no thread survives a fork.
    """
    return ThreadPoolExecutor(1, thread_name_prefix=f"greenlang-secrets-servers-{owner}")


def dying_with_owner() -> Callable[[], None] | None:
    """Return what a child runs before exec, to be killed when its owner dies."""
    if sys.platform != "linux":
        return None
    # Looked up before the fork: afterwards another thread's lock may be held for ever.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    owner = os.getpid()

    def tie() -> None:  # pragma: no cover  runs in the child between fork and exec
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != owner:  # it died before we asked
            os._exit(1)

    return tie


def end_with_owner(process: subprocess.Popen[bytes], owner: int) -> None:
    """End a server that was never stopped, when its object or the interpreter goes."""
    if os.getpid() == owner and process.poll() is None:
        for pid in freeze(process.pid):
            kill(pid, signal.SIGKILL)
        process.wait()


def family(pid: int) -> list[int]:
    """Return a process and its descendants: stopping PostgreSQL's parent alone stops no session,
    and what initdb runs is a child of its shell.
    """
    members = [pid]
    for member in members:
        members += _children(member)
    return members


def freeze(pid: int) -> list[int]:
    """Stop a process and its descendants by SIGSTOP and return them; none of them forks any more.

    Each is stopped before its children are listed. Whoever lists first misses those that are
    forked before the signal comes, and they live on, at work in a folder that is being removed.
    """
    members = [pid]
    _stop(pid)
    for member in members:
        # Again until nobody is new: the kernel's list skips some while others of it end.
        while new := [child for child in _children(member) if child not in members]:
            members += new
            for child in new:
                _stop(child)
    return members


def send(pid: int, what: signal.Signals) -> None:
    """Send a signal to a process and its descendants."""
    for member in family(pid):
        kill(member, what)


def kill(pid: int, what: signal.Signals) -> None:
    """Send a signal to one process; nothing happens when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)


def exists(pid: int) -> bool:
    """Whether a process still runs; one that waits to be reaped by somebody does not."""
    return _state(Path(f"/proc/{pid}")) not in "ZX"


def _children(pid: int) -> list[int]:
    found: list[int] = []
    # Absent on macOS and on kernels without CONFIG_PROC_CHILDREN: there it is the process alone.
    for thread in _threads(pid):
        with contextlib.suppress(OSError):
            found += map(int, (thread / "children").read_text().split())
    return found


def _stop(pid: int) -> None:
    kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + _FREEZE_SECONDS
    while _moves(pid) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


def _moves(pid: int) -> bool:
    """Whether a thread of it is neither stopped nor dead; no where there is no /proc."""
    return any(_state(thread) not in "TtZX" for thread in _threads(pid))


def _threads(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:  # it is gone, perhaps just now; or there is no /proc
        return []


def _state(process: Path) -> str:
    """One letter as `ps` shows it; X, dead, when it is gone."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
