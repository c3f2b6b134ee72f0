"""What each node says of itself, asked again and again: for metrics, and only where these are wanted.

Requests tell little of nodes that get none, and a cache that answers sends none. So each address
is asked without a token, in whatever state it is; a sealed node is what this is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio

from greenlang_secrets.background import reported
from greenlang_secrets.errors import VaultProtocolError
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.telemetry import NodeState
from greenlang_secrets.transport.messages import Call, Failure, VaultRequest
from greenlang_secrets.transport.nodes import Nodes
from greenlang_secrets.transport.wire import Wire

__all__ = ["ASKED_EVERY", "EVERY_STATE", "NodeStates"]

EVERY_STATE: Final = (
    "standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200&drsecondarycode=200"
)
"""What makes ``sys/health`` answer 200 in every state (Vault API: "/sys/health")."""

ASKED_EVERY: Final = 5.0
"""Seconds between two rounds: three to a scrape, and nothing to a server."""

ANSWERS_WITHIN: Final = 2.0
"""Seconds a node has to answer; a live one needs milliseconds."""

_STATE: Final = VaultRequest(method="GET", path=ApiPath("sys/health"), query=EVERY_STATE)


class NodeStates:
    """Asks each node how it is.

    Attributes:
        found: by host and port, the state in the last round; replaced as a whole, empty before
            the first.
    """

    def __init__(self, wire: Wire, *, nodes: Nodes, clock: Callable[[], float]) -> None:
        self._wire = wire
        self._nodes = nodes
        self._clock = clock
        self.found: Mapping[str, NodeState] = {}

    async def keep(self) -> None:
        """Ask all nodes every 5 s; runs until cancelled."""
        while True:
            await reported(self.ask_all(), name="vault.states")
            await anyio.sleep(ASKED_EVERY)

    async def ask_all(self) -> None:
        """Ask all nodes at once; takes 2 s at most. A cancelled round changes nothing.

        ``GET /v1/sys/health`` (Vault API: "/sys/health"), without a token.
        """
        nodes = range(len(self._nodes))
        states = await asyncio.gather(*(self._ask(node) for node in nodes))
        names = (self._nodes.name(node) for node in nodes)
        self.found = dict(zip(names, states, strict=True))

    async def _ask(self, node: int) -> NodeState:
        call = Call(request=_STATE, deadline=self._clock() + ANSWERS_WITHIN)
        try:
            outcome = await self._wire.attempt(call, self._nodes.address(node))
        except VaultProtocolError:
            return NodeState.UNREACHABLE
        return NodeState.UNREACHABLE if isinstance(outcome, Failure) else _state(outcome.body)


def _state(body: Mapping[str, Any]) -> NodeState:
    match body:
        case {"initialized": False}:
            return NodeState.UNINITIALIZED
        case {"initialized": True, "sealed": True}:
            return NodeState.SEALED
        case {"initialized": True, "sealed": False, "standby": True}:
            return NodeState.STANDBY
        case {"initialized": True, "sealed": False, "standby": False}:
            return NodeState.ACTIVE
        case _:
            return NodeState.UNREACHABLE
