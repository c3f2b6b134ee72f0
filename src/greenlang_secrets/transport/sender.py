"""`Transport`: joins the parts, and owns their lives."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Self

from greenlang_secrets.background import Supervisor
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import UnavailableReason
from greenlang_secrets.retry import RetryBudget
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport.active import ActiveNode
from greenlang_secrets.transport.attempts import Attempts
from greenlang_secrets.transport.latency import Latency
from greenlang_secrets.transport.messages import Call, VaultRequest, VaultResponse
from greenlang_secrets.transport.nodes import Nodes
from greenlang_secrets.transport.places import MAX_WAIT, Places
from greenlang_secrets.transport.reading import Reading
from greenlang_secrets.transport.states import NodeStates
from greenlang_secrets.transport.wire import Wire
from greenlang_secrets.transport.writing import Writing
from greenlang_secrets.transport.written import Written

__all__ = ["Transport"]


class Transport:
    """Sends requests to the configured addresses; use it as an async context manager.

    Attributes:
        states: asks each node how it is, for who runs its `keep`.
    """

    def __init__(
        self,
        config: SecretsServiceConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_retry: Callable[[UnavailableReason], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._supervisor = Supervisor()
        self._wire = Wire(config, supervisor=self._supervisor, clock=clock)
        self._budget = RetryBudget()
        written, latency = Written(clock=clock), Latency()
        nodes = Nodes(config.addresses, clock=clock)
        active = ActiveNode(self._wire, nodes=nodes, supervisor=self._supervisor, clock=clock)
        attempts = Attempts(self._wire, nodes=nodes, written=written, latency=latency, clock=clock)
        self._nodes, self._attempts = nodes, attempts
        self.states = NodeStates(self._wire, nodes=nodes, clock=clock)
        places = Places(max_wait=min(MAX_WAIT, config.request_timeout))
        self._reading = Reading(
            attempts,
            nodes=nodes,
            active=active,
            written=written,
            latency=latency,
            places=places,
            budget=self._budget,
            supervisor=self._supervisor,
            clock=clock,
            on_retry=on_retry,
        )
        nodes.on_open = self._reading.leave
        self._writing = Writing(
            attempts,
            nodes=nodes,
            active=active,
            places=places,
            budget=self._budget,
            clock=clock,
            on_retry=on_retry,
        )

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        self._supervisor.spawn(self._wire.certificates.watch(), name="tls.watch")
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._supervisor.close()
        await self._wire.__aexit__(*exception)

    @property
    def in_flight(self) -> int:
        """Requests that were sent and not answered yet."""
        return self._attempts.in_flight

    @property
    def failovers(self) -> int:
        """Times that reads went over to another node, or another node became active."""
        return self._nodes.failovers

    def circuits(self) -> Mapping[str, bool]:
        """Return by host and port whether a node's circuit is open."""
        return self._nodes.circuits()

    async def send(
        self, request: VaultRequest, *, token: SecretValue | None = None
    ) -> VaultResponse:
        """Return Vault's answer with status 2xx, 400, 403, 404, 405, 412 or 415.

        A read (GET, LIST) goes to the address that answered last, to another one when that
        fails, and to a second one at once when it is late. What was written here lately is not
        read from a node that has not applied it. Any other request goes to the active node, and
        while there is none, or it was not that node, it waits for one up to the write timeout.

        Requests are repeated after a full-jitter backoff, within their timeout and a budget of
        one retry in ten requests, where doing them twice is doing them once; asking an address
        for the first time is free. A cancelled call may have been carried out.

        Raises:
            VaultUnavailable: no usable answer in time; nothing was changed.
            OutcomeUnknown: the same, but a request that must not be repeated was sent.
            VaultProtocolError: an answer that is not Vault's.
        """
        self._budget.deposit()
        now = self._clock()
        until = now + self._config.request_timeout
        if request.reads:
            return await self._reading.send(Call(request=request, token=token, deadline=until))
        call = Call(request=request, token=token, deadline=now + self._config.write_timeout)
        return await self._writing.send(call, repeat_until=min(until, call.deadline))
