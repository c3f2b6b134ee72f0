"""A process and its children: signals to all of them, and the tie to the owner they must not outlive.

Owns system calls only; which process gets which signal when is decided in `process`.
"""

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["dying_with_owner", "end_with_owner", "exists", "family", "forks", "kill", "send"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


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
        process.kill()
        process.wait()


def family(pid: int) -> list[int]:
    """Return a process and its children: stopping PostgreSQL's parent alone stops no session."""
    members = [pid]
    # Absent on macOS and on kernels without CONFIG_PROC_CHILDREN: there it is the process alone.
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            members += map(int, children.read_text().split())
    return members


def send(pid: int, what: signal.Signals) -> None:
    """Send a signal to a process and its children."""
    for member in family(pid):
        kill(member, what)


def kill(pid: int, what: signal.Signals) -> None:
    """Send a signal to one process; nothing happens when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)


def exists(pid: int) -> bool:
    """Whether a process still runs; one that waits to be reaped by somebody does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
