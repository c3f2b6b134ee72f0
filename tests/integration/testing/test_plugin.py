import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import greenlang_secrets.testing
from greenlang_secrets.testing import (
    ExternalPostgres,
    ExternalVault,
    OpenBaoServer,
    PostgresServer,
    ValkeyServer,
)

pytest_plugins = ["pytester"]

_RECORD = """
import pathlib
def record(server):
    with pathlib.Path("pids").open("a") as file:
        print(server.pid, file=file)
"""


def _left(folder: Path) -> list[int]:
    pids = [int(line) for line in (folder / "pids").read_text().split()]
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def _run(pytester: pytest.Pytester) -> pytest.RunResult:
    pytester.makepyprojecttoml(
        "[tool.pytest.ini_options]\nasyncio_mode = 'auto'\nasyncio_default_fixture_loop_scope = 'function'\n"
    )
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error")


async def test_servers_of_the_session(
    vault_server: OpenBaoServer | ExternalVault,
    postgres_server: PostgresServer | ExternalPostgres,
    valkey_server: ValkeyServer,
) -> None:
    """The fixtures are live servers inside an async test's own loop."""
    assert await vault_server.health() == 200
    assert postgres_server.url.startswith("postgres")
    assert valkey_server.running


async def test_a_server_of_ones_own(
    new_vault_server: Callable[..., Awaitable[OpenBaoServer]],
) -> None:
    """A test gets as many servers as it asks for, with options."""
    first, second = await asyncio.gather(new_vault_server(), new_vault_server(audit=False))

    assert first.addr != second.addr
    assert await second.audit_entries() == []


def test_servers_end_with_the_session(pytester: pytest.Pytester) -> None:
    """Session servers are shared by tests, sync and async, and are gone after the run."""
    pytester.makepyfile(
        _RECORD
        + """
def test_sync(vault_server, postgres_server, valkey_server):
    for server in (vault_server, postgres_server, valkey_server):
        record(server)

async def test_async(vault_server):
    assert str(vault_server.pid) in pathlib.Path("pids").read_text()
    assert await vault_server.health() == 200
"""
    )

    _run(pytester).assert_outcomes(passed=2)

    assert _left(pytester.path) == []


def test_servers_of_a_failed_test_end_too(pytester: pytest.Pytester) -> None:
    """A test that fails after pausing, killing or sealing leaves no server."""
    pytester.makepyfile(
        _RECORD
        + """
async def test_fails(new_vault_server):
    paused, killed, sealed = [await new_vault_server() for _ in range(3)]
    for server in (paused, killed, sealed):
        record(server)
    await paused.pause()
    await killed.kill()
    await sealed.seal()
    raise RuntimeError("as if by accident")
"""
    )

    _run(pytester).assert_outcomes(failed=1)

    assert _left(pytester.path) == []


async def test_servers_of_somebody_else(
    pytester: pytest.Pytester,
    vault_server: OpenBaoServer | ExternalVault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the variables set, the fixtures are what they name."""
    monkeypatch.setenv("VAULT_ADDR", vault_server.addr)
    monkeypatch.setenv("VAULT_TOKEN", vault_server.root_token)
    monkeypatch.setenv("GREENLANG_SECRETS_TEST_POSTGRES_URL", "postgresql://a:b@c:5/d")
    pytester.makepyfile(
        f"""
async def test_external(vault_server, postgres_server):
    assert vault_server.addr == {vault_server.addr!r}
    assert (await vault_server.request("GET", "sys/mounts"))[0] == 200
    assert postgres_server.url == "postgresql://a:b@c:5/d"
"""
    )

    result = await asyncio.to_thread(_run, pytester)

    result.assert_outcomes(passed=1)


def test_loading_the_plugin_imports_no_server() -> None:
    """The plugin costs a run that does not use it nothing but itself."""
    program = (
        # The package's root stands aside: what it imports is not the plugin's doing.
        "import sys, types, pytest\n"
        "root = sys.modules['greenlang_secrets'] = types.ModuleType('greenlang_secrets')\n"
        f"root.__path__ = {[str(Path(greenlang_secrets.testing.__file__).parents[1])]}\n"
        "before = set(sys.modules)\n"
        "import greenlang_secrets.testing.plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()

    assert "greenlang_secrets.testing.plugin" in loaded
    assert not {"aiohttp", "anyio", "greenlang_secrets.testing.process"} & set(loaded)


def test_every_public_name_can_be_imported() -> None:
    """What __all__ lists is there, in order, and nothing else is made up."""
    names = greenlang_secrets.testing.__all__

    assert names == sorted(names)
    assert all(hasattr(greenlang_secrets.testing, name) for name in names)
    assert not hasattr(greenlang_secrets.testing, "NoSuchServer")
