"""Reads: any node may answer. The next one is asked when one fails, lags behind or is late.

Who may try again is decided here: a node not yet asked in this call costs nothing, for there
are only so many; a second round, and asking two nodes at once, draw on the retry budget.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

from greenlang_secrets.background import Supervisor
from greenlang_secrets.errors import UnavailableReason, VaultUnavailable
from greenlang_secrets.retry import Backoff, RetryBudget
from greenlang_secrets.transport.active import ActiveNode
from greenlang_secrets.transport.attempts import Attempts
from greenlang_secrets.transport.latency import Latency
from greenlang_secrets.transport.messages import Call, Failure, VaultResponse
from greenlang_secrets.transport.nodes import Nodes
from greenlang_secrets.transport.places import Places
from greenlang_secrets.transport.written import Written, lag_wait

__all__ = ["Reading"]

PATIENCE: Final = 0.5
"""Seconds a read that wants the active node waits for it to be found; then any node will do."""

_ELECTING: Final = frozenset({"standby", "audit"})
"""What nodes answer that have no leader: 307, 472, 473, or 500."""

_TRUSTED: Final = 2
"""Times that a node is believed to be active, though reads fail there all the same: a full audit
device leaves its health at 200."""

_Attempt = asyncio.Task[VaultResponse | Failure]


class Reading:
    """Sends reads."""

    def __init__(
        self,
        attempts: Attempts,
        *,
        nodes: Nodes,
        active: ActiveNode,
        written: Written,
        latency: Latency,
        places: Places,
        budget: RetryBudget,
        supervisor: Supervisor,
        clock: Callable[[], float],
        on_retry: Callable[[UnavailableReason], None],
    ) -> None:
        self._attempts = attempts
        self._nodes = nodes
        self._active = active
        self._written = written
        self._latency = latency
        self._places = places
        self._budget = budget
        self._supervisor = supervisor
        self._clock = clock
        self._on_retry = on_retry
        self._leaving: dict[int, set[asyncio.Future[None]]] = {}

    def leave(self, node: int) -> None:
        """Let those move on who wait for `node`, whose circuit has opened."""
        for waiter in self._leaving.get(node, ()):
            if not waiter.done():
                waiter.set_result(None)

    async def send(self, call: Call) -> VaultResponse:
        """Return an answer; see `Transport.send`."""
        backoff = Backoff(random.random)
        attempts = lags = trusted = 0
        if call.request.consistent and self._nodes.writer is None:
            await self._active.found(within=PATIENCE)
        recent = call.request.consistent or self._written.recently(call.request.place)
        untried = self._nodes.order(active_first=recent)
        while True:
            async with self._places.taken(call.request.subject):
                untried.sort(key=self._nodes.is_open)  # one may have opened since, in the queue
                asked = len(untried)
                if asked == 1 or not call.request.may_race:
                    outcome = await self._attempts.make(call, untried.pop(0))
                else:
                    outcome = await self._race(call, untried)
            if isinstance(outcome, VaultResponse):
                return outcome
            attempts += asked - len(untried)
            if outcome.lagging or (lags and not untried and outcome.reason in _ELECTING):
                # Until the deadline: when a leader dies right after it has acknowledged a write,
                # the others cannot show that write before they have elected another; some lag
                # behind it meanwhile, and some fail.
                wait, untried = lag_wait(lags), self._nodes.order(active_first=True)
                lags += 1
            elif untried:
                wait = 0.0
            elif (
                outcome.reason in _ELECTING
                and len(self._nodes) > 1
                and trusted < _TRUSTED
                and await self._elects(call)
            ):
                trusted += self._nodes.active is not None
                wait, untried = 0.0, self._nodes.order(active_first=True)
            else:
                wait, untried = backoff.next(outcome.wait), self._nodes.order()
                if (
                    outcome.final
                    or (outcome.reason == "audit" and attempts > 1)
                    or (outcome.reason != "overloaded" and attempts > 3 * len(self._nodes))
                    or not self._budget.withdraw()
                ):
                    raise _unavailable(call, outcome)
            if self._clock() + wait >= call.deadline:
                raise _unavailable(call, outcome)
            self._on_retry(outcome.reason)
            await asyncio.sleep(wait)

    async def _elects(self, call: Call) -> bool:
        """Wait a while for an active node, since none of the nodes has answered: where standbys do
        not serve reads, nobody does during an election. Return whether there is one by now, or
        may be soon.
        """
        until = min(call.deadline, self._clock() + PATIENCE)
        while (left := until - self._clock()) > 0:
            if await self._active.found(within=left):
                return True
            if not self._active.standbys:
                return False
        return True

    async def _race(self, call: Call, untried: list[int]) -> VaultResponse | Failure:
        """Ask the first of `untried`, and another one as well when that is late; those asked are
        taken out of it.
        """
        node = untried.pop(0)
        left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leaving.setdefault(node, set()).add(left)
        first = self._start(call, node)
        try:
            await _one_of(first, left, within=self._latency.late_after)
            # Moving on from a node whose circuit is open is free: it is given up.
            free = left.done() or self._nodes.is_open(node)
            if not first.done() and not free and not self._budget.withdraw():
                await _one_of(first, left)
            if first.done():
                return first.result()
            return await self._second(call, node, first, untried)
        finally:
            self._leaving[node].discard(left)
            first.cancel()

    async def _second(
        self, call: Call, node: int, first: _Attempt, untried: list[int]
    ) -> VaultResponse | Failure:
        """Ask others while the first, at `node`, is still mute; the first usable answer wins."""
        while True:
            self._on_retry("timeout")
            second = self._start(call, untried.pop(0))
            try:
                await _one_of(first, second)
                if first.done():
                    outcome = first.result()
                    return outcome if isinstance(outcome, VaultResponse) else await second
                outcome = second.result()
            finally:
                second.cancel()
            if isinstance(outcome, VaultResponse):
                self._nodes.silent(node)
                return outcome
            if not untried:
                return await first

    def _start(self, call: Call, node: int) -> _Attempt:
        return self._supervisor.spawn(self._attempts.make(call, node), name="vault.attempt")


async def _one_of(*waited_for: asyncio.Future[Any], within: float | None = None) -> None:
    """Wait until one of these is done, or that many seconds."""
    await asyncio.wait(waited_for, timeout=within, return_when=asyncio.FIRST_COMPLETED)


def _unavailable(call: Call, failure: Failure) -> VaultUnavailable:
    return VaultUnavailable(failure.reason, path=call.request.subject, retry_after=failure.wait)
