import asyncio
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockingError, blockbuster_ctx

from greenlang_secrets.testing import (
    OpenBaoServer,
    PostgresServer,
    RaftCluster,
    ServerError,
    ServerProcess,
    ValkeyServer,
    free_port,
)
from greenlang_secrets.testing.family import family, freeze, kill
from greenlang_secrets.testing.process import wheel

_LISTEN = """
import signal, socket, sys
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True:
    listener.accept()[0].close()
"""

# A server whose owner can be killed: prints the server's pid, then waits.
_OWNER = """
import asyncio, sys, threading, time
from greenlang_secrets.testing import {server}

async def main():
    server = {server}()
    await server.start()
    print(server.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


class _Listener(ServerProcess):
    """A server small enough to show what the shared part does by itself."""

    name = "Listener"
    manner = "gentle"
    program = _LISTEN

    async def _launch(self) -> None:
        await self._spawn([sys.executable, "-c", self.program, str(self.port), self.manner])
        await self._until(self._is_listening, "it did not listen")

    async def _is_listening(self) -> bool:
        return _connects(self.port)


class _Dying(_Listener):
    program = "import sys; print('no such luck'); sys.exit(7)"


class _Mute(_Listener):
    program = "import time; time.sleep(600)"


class _Stubborn(_Listener):
    manner = "stubborn"


class _Parent(_Listener):
    program = (
        "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        + _LISTEN
    )


class _Grandparent(_Listener):
    """As initdb is: what writes is the child of a child."""

    program = (
        """
import subprocess, sys
write = '''
import itertools, pathlib, time
end = time.monotonic() + 30  # also when nobody ends it
for n in itertools.takewhile(lambda _: time.monotonic() < end, itertools.count()):
    pathlib.Path(f"w{n % 500}").touch()
'''
between = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
subprocess.Popen([sys.executable, "-c", between, write])
"""
        + _LISTEN
    )


# Forks a child each millisecond or so; each lives for some tenths of a second.
_FORKER = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("forking", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    if os.fork() == 0:
        time.sleep(0.3)
        os._exit(0)
"""


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def _content(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def _wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.01)


async def test_starts_and_stops() -> None:
    """A server runs inside its context and leaves neither process nor folder behind."""
    async with _Listener() as server:
        pid, log = server.pid, server.log_file
        assert server.running
        assert _connects(server.port)

    assert not server.running
    assert _state(pid) == "gone"
    assert not log.parent.exists()


async def test_log_collects_what_the_server_writes(tmp_path: Path) -> None:
    """The log is appended to over restarts."""
    async with _Listener(data_dir=tmp_path) as server:
        await server.restart()

        assert server.log_file.read_text() == "listening\nlistening\n"


async def test_a_restart_keeps_the_port() -> None:
    """A port that was chosen at the first start is kept."""
    async with _Listener() as server:
        port = server.port

        await server.restart()

        assert server.port == port
        assert _connects(port)


async def test_kill_and_start_again() -> None:
    """A killed server is gone at once and can be started again."""
    async with _Listener() as server:
        pid = server.pid

        await server.kill()

        assert _state(pid) == "gone"
        assert not server.running
        await server.start()
        assert _connects(server.port)


async def test_kill_takes_the_children_along() -> None:
    """No child of a killed server is left."""
    async with _Parent() as server:
        [child] = [pid for pid in family(server.pid) if pid != server.pid]

        await server.kill()

        assert _state(child) in {"gone", "Z"}


async def test_stop_takes_grandchildren_along_and_the_folder_goes() -> None:
    """What a child of a child writes while the folder is removed would leave it there."""
    server = _Grandparent()
    await server.start()
    home, members = server.log_file.parent, []
    await asyncio.to_thread(_wait_until, (home / "w0").exists)
    members = family(server.pid)

    await server.stop(grace=0)

    assert len(members) == 3
    assert {_state(member) for member in members} <= {"gone", "Z"}
    assert not home.exists()


async def test_a_frozen_family_does_not_grow() -> None:
    """A process that forks all the time is stopped with every child that it has made."""
    forker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _FORKER), stdout=asyncio.subprocess.PIPE
    )
    assert forker.stdout is not None
    await forker.stdout.readline()
    try:
        # The control: children come between two looks.
        _wait_until(lambda: not set(family(forker.pid)) >= set(family(forker.pid)))

        members = freeze(forker.pid)

        assert len(members) > 1
        assert set(family(forker.pid)) <= set(members)
        assert [member for member in members if _state(member) not in {"T", "Z", "gone"}] == []
    finally:
        for member in freeze(forker.pid):
            kill(member, signal.SIGKILL)
        await forker.wait()


async def test_a_folder_that_an_orphan_writes_into_goes_as_well() -> None:
    """A server that was killed from outside leaves children, which take their time to see it."""
    async with _Grandparent() as server:
        log = server.log_file
        await asyncio.to_thread(_wait_until, (log.parent / "w0").exists)
        orphans = family(server.pid)[1:]
        os.kill(server.pid, signal.SIGKILL)
        await asyncio.to_thread(_wait_until, lambda: not server.running)

        stopping = asyncio.create_task(server.stop())
        await asyncio.to_thread(_wait_until, lambda: not log.exists())
        await asyncio.wait([stopping], timeout=0.2)  # who tries once only ends here
        for orphan in orphans:
            kill(orphan, signal.SIGKILL)
        await stopping

    assert not log.parent.exists()


async def test_pause_and_resume() -> None:
    """A paused server is stopped when pause returns, and goes on after resume."""
    async with _Listener() as server:
        await server.pause()
        assert _state(server.pid) == "T"

        await server.resume()

        _wait_until(lambda: _state(server.pid) != "T")


async def test_a_paused_server_stops_in_order() -> None:
    """Stopping a paused server does not have to wait for SIGKILL."""
    server = _Listener()
    await server.start()
    await server.pause()
    process = server._process
    assert process is not None

    await server.stop(grace=10)

    assert process.returncode == -signal.SIGTERM


async def test_a_stubborn_server_is_killed_after_the_grace() -> None:
    """A server that ignores SIGTERM is ended by SIGKILL after the grace."""
    server = _Stubborn()
    await server.start()
    process = server._process
    assert process is not None

    await server.stop(grace=0.1)

    assert process.returncode == -signal.SIGKILL


async def test_a_cancelled_stop_still_stops() -> None:
    """Cancellation of the caller does not leave a process behind."""
    server = _Listener()
    await server.start()
    pid = server.pid

    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping

    await asyncio.to_thread(_wait_until, lambda: _state(pid) == "gone")


async def test_a_cancelled_start_leaves_nothing() -> None:
    """A start that is cancelled while it waits leaves no process and no folder."""
    server = _Mute()
    starting = asyncio.create_task(server.start())
    await asyncio.to_thread(_wait_until, lambda: server.running)
    pid = server.pid

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert _state(pid) == "gone"


@pytest.mark.parametrize("make", [OpenBaoServer, PostgresServer, ValkeyServer, RaftCluster])
async def test_a_start_cancelled_while_its_folder_is_made_leaves_none(
    make: Callable[[], ServerProcess | RaftCluster],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The thread that makes the folder goes on after a cancellation, and is waited for."""
    begun, go_on, made = threading.Event(), threading.Event(), threading.Event()

    class Slow(tempfile.TemporaryDirectory[str]):
        def __init__(self, **options: Any) -> None:
            begun.set()
            go_on.wait(10)
            super().__init__(**options, dir=tmp_path)
            made.set()

    monkeypatch.setattr(tempfile, "TemporaryDirectory", Slow)
    starting = asyncio.create_task(make().start())
    await asyncio.to_thread(begun.wait, 10)

    starting.cancel()
    await asyncio.wait([starting], timeout=0.1)  # who does not wait for the thread ends here
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert await asyncio.to_thread(made.wait, 10)
    assert _content(tmp_path) == []


async def test_death_at_start_is_told_with_code_and_log() -> None:
    """The error names the server, its exit code and the end of its log."""
    server = _Dying()

    with pytest.raises(ServerError) as caught:
        await server.start()

    assert str(caught.value) == (
        "Listener did not start: it ended with exit code 7 while starting. "
        "The end of its log:\nno such luck"
    )
    assert not server.running


async def test_a_server_that_never_gets_ready_is_given_up() -> None:
    """After start_within the process is ended and the error says what was waited for."""
    server = _Mute(start_within=0.2)

    with pytest.raises(ServerError, match=r"it did not listen within 0\.2 seconds"):
        await server.start()

    assert not server.running


async def test_a_busy_port_is_named() -> None:
    """A fixed port that is in use is refused with the port and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]

        with pytest.raises(ServerError, match=f"127.0.0.1:{port}: the port is in use.*port=0"):
            await _Listener(port=port).start()


async def test_a_folder_serves_one_server_at_a_time(tmp_path: Path) -> None:
    """A data_dir in use is refused, and is free again after stop."""
    async with _Listener(data_dir=tmp_path):
        with pytest.raises(ServerError, match="another server of ours uses it"):
            await _Listener(data_dir=tmp_path).start()

    async with _Listener(data_dir=tmp_path) as server:
        assert server.running


async def test_a_missing_binary_is_named() -> None:
    """A binary that is not there is an error that names it."""

    class Missing(_Listener):
        async def _launch(self) -> None:
            await self._spawn(["/nowhere/server"])

    with pytest.raises(ServerError, match="/nowhere/server: No such file"):
        await Missing().start()


def test_a_missing_package_is_named() -> None:
    """A package that is not installed is an error that says what to install."""
    with pytest.raises(ServerError, match=r"pip install 'greenlang-secrets\[testing\]'"):
        wheel("no_such_package", "Listener")


async def test_what_a_stopped_server_cannot_do() -> None:
    """Before start and after stop, errors say to start it; stopping again is harmless."""
    server = _Listener()

    for ask in ("pid", "port", "log_file"):
        with pytest.raises(ServerError, match="start"):
            getattr(server, ask)
    for act in (server.pause, server.resume):
        with pytest.raises(ServerError, match="is not running"):
            await act()
    await server.kill()
    await server.stop()
    assert "not running" in repr(server)


async def test_starting_twice_is_refused() -> None:
    """A running server is not started over, and goes on running."""
    async with _Listener() as server:
        with pytest.raises(ServerError, match="is running already"):
            await server.start()

        assert _connects(server.port)


async def test_variables_that_would_configure_it_are_withheld(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A server does not see the variables that are named as foreign to it."""

    class Curious(_Listener):
        foreign_variables = ("CURIOUS_",)
        program = "import os\nprint(sorted(n for n in os.environ if 'CURIOUS' in n))\n" + _LISTEN

    monkeypatch.setenv("CURIOUS_A", "1")
    monkeypatch.setenv("NOT_CURIOUS", "1")

    async with Curious(data_dir=tmp_path) as server:
        assert server.log_file.read_text().startswith("['NOT_CURIOUS']")


@pytest.mark.parametrize("make", [OpenBaoServer, PostgresServer, ValkeyServer])
async def test_does_not_block_the_loop(make: type[ServerProcess]) -> None:
    """Nothing a server is asked to do blocks the event loop of the test that asks."""
    with blockbuster_ctx() as watch:
        async with make() as server:
            with pytest.raises(BlockingError):  # the control: it does watch
                time.sleep(0)  # noqa: ASYNC251  what it must catch
            await server.pause()
            await server.resume()
            await server.restart()
            await server.kill()

    assert watch.functions


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its owner's")
@pytest.mark.parametrize("server", ["OpenBaoServer", "PostgresServer", "ValkeyServer"])
async def test_dies_with_an_owner_that_is_killed(server: str, tmp_path: Path) -> None:
    """After SIGKILL of the process that started it, no server is left."""
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _OWNER.format(server=server)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert owner.stdout is not None
    pid = int(await owner.stdout.readline())
    members = family(pid)
    assert _state(pid) in "RSD"

    owner.kill()
    await owner.wait()

    _wait_until(lambda: all(_state(member) in {"gone", "Z"} for member in members))


def test_outlives_the_thread_that_started_it() -> None:
    """A server goes on when the thread, and the loop, that started it are gone."""
    server = _Listener()
    thread = threading.Thread(target=lambda: asyncio.run(server.start()))
    thread.start()
    thread.join()

    _wait_until(lambda: not Path(f"/proc/self/task/{thread.native_id}").exists())
    answered = _connects(server.port)
    asyncio.run(server.stop())

    assert answered


def test_a_forgotten_server_ends_with_its_object(tmp_path: Path) -> None:
    """A server that nobody stopped is ended when its object goes, from any thread."""
    pids: list[int] = []

    def forget() -> None:
        server = _Listener(data_dir=tmp_path)
        asyncio.run(server.start())
        pids.append(server.pid)
        last_resort = server._last_resort
        assert last_resort is not None
        last_resort()  # what the garbage collector and the interpreter's end call
        server._stop(0)

    thread = threading.Thread(target=forget)
    thread.start()
    thread.join()

    assert _state(pids[0]) == "gone"


def test_free_ports_are_free() -> None:
    """A free port can be listened on."""
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        assert listener.getsockname()[1] > 0
