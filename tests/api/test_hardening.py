"""The memory of the real `greenlang-secrets serve`, as another process of its user sees it.

Root may read everything, so where tests run as root both sides are started without its
capabilities: two processes of one user, as in production.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from greenlang_secrets_api import hardening

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: prctl and /proc")

AS_A_USER = () if os.geteuid() else ("setpriv", "--bounding-set=-all")
PEEK = """
import sys
for name in ("environ", "mem"):
    try:
        with open(f"/proc/{sys.argv[1]}/{name}", "rb") as file:
            print(name, "open" if name == "mem" or file.read(1) else "empty")
    except PermissionError:
        print(name, "closed")
"""


@asynccontextmanager
async def started(
    *command: str | Path, environment: dict[str, str] | None = None
) -> AsyncIterator[Process]:
    child = await asyncio.create_subprocess_exec(
        *AS_A_USER,
        sys.executable,
        *command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        await child.communicate()


async def seen(pid: int) -> list[str]:
    """What another process of the same user gets of a process' environment and memory."""
    async with started("-c", PEEK, str(pid)) as peek:
        out, _ = await peek.communicate()
    return out.decode().splitlines()


def core_limit(pid: int) -> list[str]:
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    [line] = [line for line in limits if line.startswith("Max core file size")]
    return line.split()[4:6]


async def test_serve_closes_its_memory(environment: dict[str, str], tmp_path: Path) -> None:
    """No core dump, no environment and no memory for others of its user; said in one line."""
    url_file = tmp_path / "url"
    async with started(
        *("-m", "greenlang_secrets.cli", "serve", "--port", "0", "--url-file", url_file),
        environment=environment,
    ) as child:
        async with asyncio.timeout(50):
            while not await asyncio.to_thread(url_file.exists):
                assert child.returncode is None
                await asyncio.sleep(0.05)
        limit = core_limit(child.pid)
        found = await seen(child.pid)
        child.terminate()
        _, log = await child.communicate()

    assert child.returncode == 0
    assert limit == ["0", "0"]
    assert found == ["environ closed", "mem closed"]
    lines = [json.loads(line) for line in log.splitlines() if line.startswith(b"{")]
    [said] = [line for line in lines if line["event"] == "process.hardened"]
    assert (said["core_dumps_off"], said["memory_private"]) == (True, True)
    assert lines.index(said) == 0


async def test_without_it_the_memory_is_open() -> None:
    """The control: any other process of the same user can be read."""
    sleeper = "import time; print('up', flush=True); time.sleep(60)"
    async with started("-c", sleeper) as child:
        assert child.stdout is not None
        await child.stdout.readline()
        found = await seen(child.pid)

    assert found[0] == "environ open"


async def test_the_process_itself_still_sees_its_files() -> None:
    """Its own /proc stays readable: certificates in memory and the process' metrics need it."""
    code = """
import os
import resource
from pathlib import Path
from greenlang_secrets_api.hardening import deny_memory
deny_memory()
number = os.memfd_create("key")
os.write(number, b"key")
print(Path(f"/proc/self/fd/{number}").read_bytes(), len(list(Path("/proc/self/fd").iterdir())) > 3)
"""
    async with started("-c", code) as child:
        out, errors = await child.communicate()

    assert (out, errors) == (b"b'key' True\n", b"")


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("resource.setrlimit", ValueError),
        ("resource.setrlimit", OSError),
        ("ctypes.CDLL", OSError),
    ],
)
def test_what_could_not_be_done_is_said(
    name: str,
    broken: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A failure is a warning that says which, and keeps nothing from starting."""
    did: list[object] = []

    def fail(*_: object, **__: object) -> None:
        raise broken

    class Libc:
        def prctl(self, *arguments: object) -> int:
            did.append(arguments)
            return 0

    monkeypatch.setattr(hardening.resource, "setrlimit", lambda *a: did.append(a))
    monkeypatch.setattr(hardening.ctypes, "CDLL", lambda *_, **__: Libc())
    monkeypatch.setattr(f"greenlang_secrets_api.hardening.{name}", fail)

    hardening.deny_memory()

    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert (record.core_dumps_off, record.memory_private) == (
        name != "resource.setrlimit",
        name != "ctypes.CDLL",
    )
    assert len(did) == 1


def test_elsewhere_there_is_only_the_limit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On another system no core is dumped, and nothing is claimed of the memory."""
    caplog.set_level("INFO")
    monkeypatch.setattr(hardening.sys, "platform", "darwin")
    monkeypatch.setattr(hardening.resource, "setrlimit", lambda *_: None)

    hardening.deny_memory()

    [record] = caplog.records
    assert record.levelname == "INFO"
    assert (record.core_dumps_off, record.memory_private) == (True, None)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1024, 20_000), (20_000, 20_000)),
        ((1024, 500_000), (65_536, 500_000)),
        ((1024, resource.RLIM_INFINITY), (65_536, resource.RLIM_INFINITY)),
        ((100_000, 500_000), None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None),
    ],
)
def test_the_soft_limit_of_files_is_raised(
    before: tuple[int, int], after: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the hard one or 65,536, and never lowered."""
    did: list[tuple[int, int]] = []
    monkeypatch.setattr(hardening.resource, "getrlimit", lambda _: before)
    monkeypatch.setattr(hardening.resource, "setrlimit", lambda _, limits: did.append(limits))

    hardening.allow_connections()

    assert did == ([] if after is None else [after])


def test_a_limit_that_cannot_be_raised_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The service starts all the same."""

    def fail(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(hardening.resource, "getrlimit", lambda _: (64, 128))
    monkeypatch.setattr(hardening.resource, "setrlimit", fail)

    hardening.allow_connections()

    [record] = caplog.records
    assert (record.message, record.files) == ("process.few_files", 64)
