"""get --wait, on a real server: for a secret, a version, a Vault; and not for a denial."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from click.testing import Result

from greenlang_secrets.testing import Fault, FaultProxy
from support.command_line import invoke, use_vault

Waiting = Callable[..., Awaitable[asyncio.Task[Result]]]


@pytest.fixture(autouse=True)
def environment(monkeypatch, vault_server, mount, vault_fault_proxy) -> pytest.MonkeyPatch:
    """Commands reach the server through a proxy, which counts what they ask."""
    use_vault(monkeypatch, vault_server, mount)
    monkeypatch.setenv("VAULT_ADDR", vault_fault_proxy.addr)
    return monkeypatch


@pytest.fixture
def waiting(vault_fault_proxy: FaultProxy, mount) -> Waiting:
    """Begin a command in a thread, and return once it has asked twice: it waits by then."""

    async def begin(*arguments: str) -> asyncio.Task[Result]:
        task = asyncio.create_task(asyncio.to_thread(invoke, *arguments))
        while vault_fault_proxy.count("GET", f"{mount}/data/") < 2:
            await asyncio.sleep(0.01)
        return task

    return begin


async def test_a_secret_that_is_not_there_yet_is_waited_for(waiting, secrets):
    """Once somebody writes it, it is printed like any other."""
    command = await waiting("get", "a", "--wait", "--field", "k")
    assert not command.done()

    await secrets.put("a", {"k": "v"})
    result = await command

    assert (result.exit_code, result.stdout) == (0, "v")


async def test_a_newer_version_is_waited_for(waiting, secrets):
    """--newer-than passes over the version that is known."""
    await secrets.put("a", {"k": "1"})
    command = await waiting("get", "a", "--wait", "--newer-than", "1", "--field", "k")
    assert not command.done()

    await secrets.put("a", {"k": "2"})

    assert (await command).stdout == "2"


async def test_a_vault_that_is_away_is_waited_for(waiting, secrets, vault_fault_proxy, mount):
    """Errors that pass are no end of the waiting."""
    await secrets.put("a", {"k": "v"})
    vault_fault_proxy.inject(Fault.RESET, path_prefix=f"{mount}/data/")
    command = await waiting("get", "a", "--wait", "--field", "k")
    assert not command.done()

    vault_fault_proxy.clear()

    assert (await command).stdout == "v"


@pytest.mark.parametrize(
    ("more", "code"), [((), "secret_not_found"), (("--newer-than", "1"), "version_not_found")]
)
def test_the_time_is_bounded(more, code):
    """After --timeout the error is that of a plain read, or that there is no such version."""
    path = "b" if more else "a"
    invoke("put", "b", "k=1")

    result = invoke("get", path, "--wait", "--timeout", "0.3", *more)

    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.endswith(f" [{code}]\n")


def test_a_vault_that_stays_away_is_told(vault_fault_proxy, mount):
    """At the end the reason is Vault's, and not that there is no secret."""
    vault_fault_proxy.inject(Fault.RESET, path_prefix=f"{mount}/data/")

    result = invoke("get", "a", "--wait", "--timeout", "0.2")

    assert result.exit_code == 6


@pytest.fixture
async def without_rights(vault_server, environment) -> None:
    """The token in use opens nothing."""
    _, answer = await vault_server.request("POST", "auth/token/create", {"policies": ["default"]})
    environment.setenv("VAULT_TOKEN", answer["auth"]["client_token"])


def test_a_denial_is_not_waited_for(without_rights, vault_fault_proxy, mount):
    """Waiting would not help: it is told at once, after one question."""
    result = invoke("get", "a", "--wait", "--timeout", "3600")

    assert result.exit_code == 4
    assert vault_fault_proxy.count("GET", f"{mount}/data/") == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--wait", "--version", "1"),
        ("--newer-than", "1"),
        ("--timeout", "1"),
        ("--wait", "--timeout", "-1"),
    ],
)
def test_wrong_usage_is_refused(options):
    """One version is there or is not; and without --wait nothing is newer."""
    assert invoke("get", "a", *options).exit_code == 2
