"""One attempt at one node, and what is learnt from it: about the node, and about what was written."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from opentelemetry.trace import StatusCode

from greenlang_secrets.telemetry import asked_vault
from greenlang_secrets.tracing import client_span, tracer
from greenlang_secrets.transport.latency import Latency
from greenlang_secrets.transport.messages import Call, Failure, VaultRequest, VaultResponse
from greenlang_secrets.transport.nodes import Nodes
from greenlang_secrets.transport.wire import Wire
from greenlang_secrets.transport.written import Written

__all__ = ["Attempts"]


class Attempts:
    """Makes attempts, and keeps what they teach.

    Attributes:
        in_flight: attempts that were begun and have not ended.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        nodes: Nodes,
        written: Written,
        latency: Latency,
        clock: Callable[[], float],
    ) -> None:
        self._wire = wire
        self._hosts = [urlsplit(nodes.address(node)).hostname or "" for node in range(len(nodes))]
        self._nodes = nodes
        self._written = written
        self._latency = latency
        self._clock = clock
        self.in_flight = 0

    async def make(self, call: Call, node: int) -> VaultResponse | Failure:
        """Do one attempt at `node`; as `Wire.attempt`.

        A cancelled one teaches nothing, and may have been carried out.
        """
        request = call.request
        # With writes, too: a standby that passes them on looks at its own state before, and
        # finds nothing to patch (OpenBao 2.7.2, test_read_your_writes.py).
        index = self._written.index(request.place)
        self._nodes.begin(node)
        begun = self._clock()
        asked_vault()
        self.in_flight += 1
        try:
            if tracer() is None:
                address = self._nodes.address(node)
                outcome = await self._wire.attempt(call, address, index=index)
            else:
                outcome = await self._traced(call, node, index)
        finally:
            self.in_flight -= 1
        if isinstance(outcome, Failure):
            self._learn_from_failure(call, node, outcome)
            return outcome
        if not request.asks_state:
            self._nodes.answered(node)
        if request.may_race:
            self._latency.record(self._clock() - begun)
        if not request.reads:
            self._nodes.accepted(node)
        if outcome.index is not None and (request.consistent or not request.reads):
            # A read of the active node counts, too: it may show a write whose answer was lost.
            self._written.note(request.place, outcome.index)
        elif outcome.ok and not request.reads:
            self._written.note(request.place, None)
        return outcome

    async def _traced(self, call: Call, node: int, index: str | None) -> VaultResponse | Failure:
        with client_span("vault.request", self._attributes(call.request, node)) as span:
            outcome = await self._wire.attempt(call, self._nodes.address(node), index=index)
            if isinstance(outcome, Failure):
                span.set_status(StatusCode.ERROR, outcome.reason)
            else:
                span.set_attribute("http.response.status_code", outcome.status)
        return outcome

    def _attributes(self, request: VaultRequest, node: int) -> dict[str, str]:
        return {
            "http.request.method": request.method,
            "server.address": self._hosts[node],
            "vault.mount": request.mount,
        }

    def _learn_from_failure(self, call: Call, node: int, failure: Failure) -> None:
        if failure.unsent or failure.reason == "sealed":
            self._nodes.unusable(node)
        elif failure.reason == "timeout":
            self._nodes.silent(node)
        if failure.lagging:
            return
        if call.request.reads:
            self._nodes.failed(node)
            if failure.reason in {"standby", "audit"}:  # it does not lead, or not well
                self._nodes.lost(node)
        elif failure.reason != "overloaded":
            self._nodes.lost(node)
        if failure.location is not None:
            self._nodes.named(failure.location)
        if call.request.reads:
            return
        if failure.done:  # perhaps, and then the next read must see it
            self._written.note(call.request.place, None)
