"""What the service's process asks of its kernel: to keep its memory from others, alive or dead,
and enough file descriptors.

Not `mlockall`, which counts against a container's memory, and nothing against root or against
whoever runs code in the process: see the security model.
"""

from __future__ import annotations

import ctypes
import logging
import resource
import sys
from typing import Final

__all__ = ["allow_connections", "deny_memory"]

_log: Final = logging.getLogger("greenlang_secrets_api")

MAX_FILES: Final = 65_536

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h
_SUID_DUMP_DISABLE: Final = 0


def deny_memory() -> None:
    """Let this process leave no core dump and, on Linux, let no other of its user read it.

    ``RLIMIT_CORE`` 0 keeps the kernel from writing a core file; a handler that it pipes cores to
    ignores that limit, and ``PR_SET_DUMPABLE`` 0 keeps it from being called (man 5 core). The
    latter also gives ``/proc/<pid>`` to root, so that its ``mem`` and ``environ`` are closed to
    the user the service runs as, and so is ptrace (man 2 PR_SET_DUMPABLE). Both last for the
    process and its forks; an exec sets the second back.

    Says in one log line what was done. A failure is said there too and does not keep the
    service from starting: it would be less safe and not wrong.
    """
    cores = _no_cores()
    private = _not_dumpable() if sys.platform == "linux" else None
    _log.log(
        logging.INFO if cores and private is not False else logging.WARNING,
        "process.hardened",
        extra={"core_dumps_off": cores, "memory_private": private},
    )


def allow_connections() -> None:
    """Raise the soft limit of open files to the hard one, at most to 65,536.

    Each connection is a file, and where the soft limit is the usual 1,024 the thousandth would
    not be accepted, when it should be told 503. It is that low for programs that use select(2),
    which this is not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):
        _log.warning("process.few_files", extra={"files": soft})


def _no_cores() -> bool:
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        return False
    return True


def _not_dumpable() -> bool:
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):  # a C library without it
        return False
    return bool(prctl(_PR_SET_DUMPABLE, _SUID_DUMP_DISABLE, 0, 0, 0) == 0)
