"""A command that is run to its end: signals go to it, and its exit code comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["blocked", "run_to_end"]

_FORWARDED: Final = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)
_FROM_THE_KERNEL: Final = 0x80  # SI_KERNEL of <asm-generic/siginfo.h>: a terminal's key
_SIGNALLED: Final = 128


def blocked() -> set[int]:
    """Block the signals that are forwarded, and return which ones were blocked before. From here on
    they wait for `run_to_end`, so that none of them ends this process with files left behind.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_FORWARDED, signal.SIGCHLD})
    return {int(number) for number in before}


def run_to_end(
    command: Sequence[str], environ: Mapping[str, str], *, mask: set[int], inherited: int
) -> int:
    """Run `command` with `mask` as its blocked signals, and return its exit code: as a shell has it,
    128 and the signal's number if one has ended it. Blocks, and takes the signals that were
    `blocked` before. The descriptor `inherited` stays open in the command.

    A signal is forwarded, unless it comes from the terminal, where the command gets it too.

    Raises:
        OSError: there is no such command, or it cannot be executed.
    """
    os.set_inheritable(inherited, True)
    child = os.posix_spawnp(
        command[0], list(command), dict(environ), setsigmask=mask, setsigdef=[signal.SIGPIPE]
    )
    while True:
        got = signal.sigwaitinfo({*_FORWARDED, signal.SIGCHLD})
        if got.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else _SIGNALLED - code
        elif got.si_code != _FROM_THE_KERNEL:
            os.kill(child, got.si_signo)  # it is ours until it was waited for, dead or alive
