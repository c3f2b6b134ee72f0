from __future__ import annotations

import asyncio
import time

import pytest

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.telemetry import NodeState
from greenlang_secrets.transport import Transport, states
from support.scripted import DROP, HANG, answer, scripted

ACTIVE = answer(200, b'{"initialized":true,"sealed":false,"standby":false}')


def body(text: str) -> object:
    return answer(200, text.encode())


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (ACTIVE, "active"),
        (body('{"initialized":true,"sealed":false,"standby":true}'), "standby"),
        (body('{"initialized":true,"sealed":true,"standby":true}'), "sealed"),
        (body('{"initialized":false,"sealed":true,"standby":true}'), "uninitialized"),
        (body('{"initialized":true}'), "unreachable"),
        (body('["no object"]'), "unreachable"),
        (answer(503, b""), "unreachable"),
        (DROP, "unreachable"),
    ],
)
async def test_state_is_what_a_node_says_of_itself(said, state):
    """And unreachable for whatever is not Vault's answer; no token is sent."""
    async with (
        scripted(said) as node,
        Transport(SecretsServiceConfig(addresses=(node.addr,))) as transport,
    ):
        await transport.states.ask_all()

        assert transport.states.found == {node.addr.removeprefix("http://"): NodeState(state)}
    assert node.requests[0].startswith("GET /v1/sys/health?standbyok=true")


async def test_mute_node_holds_nobody_up(monkeypatch):
    """All are asked at once, each for as long as a live one never needs."""
    monkeypatch.setattr(states, "ANSWERS_WITHIN", 0.2)
    async with (
        scripted(HANG) as mute,
        scripted(ACTIVE) as live,
        Transport(SecretsServiceConfig(addresses=(mute.addr, live.addr))) as transport,
    ):
        begun = time.monotonic()
        await transport.states.ask_all()

        assert time.monotonic() - begun < 1.5
        assert list(transport.states.found.values()) == [NodeState.UNREACHABLE, NodeState.ACTIVE]


async def test_nodes_are_asked_again_and_again(monkeypatch):
    """Until the loop is cancelled; before its first round nothing is told."""
    monkeypatch.setattr(states, "ASKED_EVERY", 0.01)
    async with (
        scripted(ACTIVE, answer(503, b"")) as node,
        Transport(SecretsServiceConfig(addresses=(node.addr,))) as transport,
    ):
        assert transport.states.found == {}
        keeping = asyncio.ensure_future(transport.states.keep())
        async with asyncio.timeout(5):
            while NodeState.UNREACHABLE not in transport.states.found.values():
                await asyncio.sleep(0.01)

        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
    assert len(node.requests) >= 2
