from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from greenlang_secrets import watching
from greenlang_secrets.background import Supervisor
from greenlang_secrets.errors import VaultUnavailable
from greenlang_secrets.telemetry import NodeState
from greenlang_secrets.watching import KNOWN_FOR, VaultWatch


class Vault:
    """A client whose lists work until they are told otherwise."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.lists = 0
        self.rounds = 0
        self.states = SimpleNamespace(found={}, keep=self._keep)

    async def _keep(self) -> None:
        self.rounds += 1
        await asyncio.Event().wait()

    def kv(self, _: object) -> Vault:
        return self

    async def list(self, _: object) -> None:
        self.lists += 1
        if self.error is not None:
            raise self.error


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def watch(vault, clock):
    client: Any = vault
    async with Supervisor() as supervisor:
        yield VaultWatch(client, supervisor, kv_mount="secret", clock=clock)


async def test_canary_is_unknown_before_it_is_tried(watch):
    """Nothing is told that nobody knows."""
    assert watch.canary is None


async def test_canary_tells_how_a_real_request_went(watch, vault):
    """It works, and then no more."""
    assert await watch.try_canary() is True
    assert watch.canary is True

    vault.error = VaultUnavailable("audit")

    assert await watch.try_canary() is False
    assert watch.canary is False


async def test_old_outcome_is_not_told(watch, clock):
    """What was true a minute ago says nothing of now."""
    await watch.try_canary()
    clock.now += KNOWN_FOR

    assert watch.canary is None


@pytest.mark.parametrize(
    ("states", "works"),
    [
        ([NodeState.SEALED], False),
        ([NodeState.UNREACHABLE, NodeState.UNINITIALIZED], False),
        ([NodeState.SEALED, NodeState.ACTIVE], True),
        ([NodeState.STANDBY], True),
        ([], True),
    ],
)
async def test_canary_fails_with_the_last_node(watch, vault, states, works):
    """Between two canaries the states of the nodes are newer."""
    await watch.try_canary()
    vault.states.found = {str(number): state for number, state in enumerate(states)}

    assert watch.canary is works


async def test_canary_that_fails_is_logged_once(watch, vault, caplog):
    """And again after it has worked; four lines a minute would hide the others."""
    vault.error = VaultUnavailable("sealed")
    await watch.try_canary()
    await watch.try_canary()
    assert [record.message for record in caplog.records] == ["health.canary_failed"]

    vault.error = None
    await watch.try_canary()
    vault.error = VaultUnavailable("sealed")
    await watch.try_canary()

    assert len(caplog.records) == 2


async def test_what_is_known_to_fail_needs_no_try(watch, vault):
    """Where Vault is sealed no request is made."""
    watch.failed()

    assert watch.canary is False
    assert vault.lists == 0


async def test_nothing_is_asked_before_it_begins(watch, vault):
    """Who has no metrics pays nothing; a second beginning is none."""
    await asyncio.sleep(0)
    assert (vault.rounds, vault.lists) == (0, 0)

    watch.begin()
    watch.begin()
    await asyncio.sleep(0.01)

    assert (vault.rounds, vault.lists) == (1, 1)


async def test_canary_is_tried_until_the_end(watch, vault, monkeypatch):
    """Again and again, a failure of any kind included."""
    monkeypatch.setattr(watching, "CANARY_EVERY", 0.001)
    vault.error = ZeroDivisionError()
    watch.begin()
    async with asyncio.timeout(5):
        while vault.lists < 3:
            await asyncio.sleep(0.001)

    watch.end()
    await asyncio.sleep(0)
    tried = vault.lists
    await asyncio.sleep(0.02)

    assert vault.lists == tried


async def test_end_without_a_beginning_does_nothing(watch):
    """A service that was not asked to watch closes all the same."""
    watch.end()

    assert watch.canary is None
