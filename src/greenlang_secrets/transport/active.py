"""Which node is active: asked once for all who must know it.

While a cluster elects a leader every writer is in the same place; they wait for one search,
instead of trying the nodes each for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import anyio

from greenlang_secrets.background import Supervisor
from greenlang_secrets.errors import UnavailableReason, VaultProtocolError
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport.messages import Call, Failure, VaultRequest
from greenlang_secrets.transport.nodes import Nodes
from greenlang_secrets.transport.wire import Wire

__all__ = ["ActiveNode"]

_PROBE: Final = VaultRequest(method="GET", path=ApiPath("sys/health"))

PROBE_TIMEOUT: Final = 1.0
"""Seconds a node has to say what it is; a live one needs milliseconds."""

PACE: Final = 0.1
"""Seconds between the beginnings of two rounds: an election takes seconds."""


class ActiveNode:
    """Finds the active node: ``GET sys/health`` at every address, 200 is active.

    Attributes:
        standbys: the nodes that said in the last round that they are standbys.
        reason: why the last round found none.
        hopeless: whether in the last round every node refused or was sealed, so that no
            election is going on.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        nodes: Nodes,
        supervisor: Supervisor,
        clock: Callable[[], float],
    ) -> None:
        self._wire = wire
        self._nodes = nodes
        self._supervisor = supervisor
        self._clock = clock
        self._round: asyncio.Task[None] | None = None
        self._begun = float("-inf")
        self.standbys: list[int] = []
        self.reason: UnavailableReason = "standby"
        self.hopeless = False

    async def found(self, *, within: float) -> bool:
        """Take part in a round for at most `within` seconds; whether a node is active then, which
        `Nodes.active` names.

        A caller that is cancelled does not end the round for the others.
        """
        if self._round is None or self._round.done():
            self._round = self._supervisor.spawn(self._ask_all(), name="vault.active")
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await asyncio.shield(self._round)
        return self._nodes.active is not None

    async def _ask_all(self) -> None:
        await anyio.sleep(max(0.0, self._begun + PACE - self._clock()))
        self._begun = self._clock()
        self.hopeless = False
        probes = [
            self._supervisor.spawn(self._ask(node), name="vault.probe")
            for node in range(len(self._nodes))
        ]
        standbys: list[int] = []
        failures: list[Failure] = []
        try:
            for probe in asyncio.as_completed(probes):
                node, failure = await probe
                if failure is None:
                    self._nodes.active = node  # at once: a frozen one would cost a second
                    return
                failures.append(failure)
                if failure.reason in {"overloaded", "standby"}:  # 429, 472 and 473
                    standbys.append(node)
        finally:
            for task in probes:
                task.cancel()
        self.standbys = standbys
        self.hopeless = all(_is_away(failure) for failure in failures)
        self.reason = "standby" if standbys else failures[-1].reason

    async def _ask(self, node: int) -> tuple[int, Failure | None]:
        call = Call(request=_PROBE, deadline=self._clock() + PROBE_TIMEOUT)
        try:
            outcome = await self._wire.attempt(call, self._nodes.address(node))
        except VaultProtocolError:
            return node, Failure("network")
        if not isinstance(outcome, Failure):
            return node, None if outcome.status == 200 else Failure("network")
        if _is_away(outcome):
            self._nodes.unusable(node)
        return node, outcome


def _is_away(failure: Failure) -> bool:
    return failure.reason == "sealed" or failure.unsent
