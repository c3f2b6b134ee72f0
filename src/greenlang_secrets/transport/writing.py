"""Writes: sent to the active node, and to one node at a time.

What certainly was not done (a standby's 307, a refused connection, a seal) is sent again with
the same body, to whichever node is active by then. What may have been done is sent again only
if doing it twice is doing it once; otherwise its sender is told that the outcome is unknown.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from greenlang_secrets.errors import (
    OutcomeUnknown,
    UnavailableReason,
    VaultProtocolError,
    VaultUnavailable,
)
from greenlang_secrets.retry import Backoff, RetryBudget
from greenlang_secrets.telemetry import asked_vault
from greenlang_secrets.transport.active import ActiveNode
from greenlang_secrets.transport.attempts import Attempts
from greenlang_secrets.transport.messages import Call, Failure, VaultResponse
from greenlang_secrets.transport.nodes import Nodes
from greenlang_secrets.transport.places import Places
from greenlang_secrets.transport.written import lag_wait

__all__ = ["Writing"]

SCOUT_AFTER: Final = 1.0
"""Seconds without an active node after which one write is tried at a standby: where only standbys
are configured they pass writes on. Not sooner, because one that is electing may answer 500, which
leaves the outcome unknown."""


class Writing:
    """Sends writes."""

    def __init__(
        self,
        attempts: Attempts,
        *,
        nodes: Nodes,
        active: ActiveNode,
        places: Places,
        budget: RetryBudget,
        clock: Callable[[], float],
        on_retry: Callable[[UnavailableReason], None],
    ) -> None:
        self._attempts = attempts
        self._nodes = nodes
        self._active = active
        self._places = places
        self._budget = budget
        self._clock = clock
        self._on_retry = on_retry
        self._scouting = False

    async def send(self, call: Call, *, repeat_until: float) -> VaultResponse:
        """Return an answer; see `Transport.send`.

        Until `repeat_until` a repeatable write of unknown outcome is repeated, and one that Vault
        has no capacity for; until the call's deadline an active node is waited for.
        """
        backoff = Backoff(random.random)
        failures: list[Failure] = []
        while True:
            try:
                outcome = await self._at_the_active_node(call)
            except VaultProtocolError:
                if call.request.may_repeat:
                    raise
                outcome = Failure("network", done=True)  # an answer, but not one that says which
            if isinstance(outcome, VaultResponse):
                return outcome
            failures.append(outcome)
            if outcome.done and not call.request.may_repeat:
                raise OutcomeUnknown(path=call.request.subject)
            wait = self._wait(failures, backoff)
            until = repeat_until if _draws_on_budget(outcome) else call.deadline
            if wait is None or self._clock() + wait >= until:
                raise _unavailable(call, outcome)
            self._on_retry(outcome.reason)
            await asyncio.sleep(wait)

    def _wait(self, failures: list[Failure], backoff: Backoff) -> float | None:
        """Seconds until the next attempt; None if there shall be none."""
        failure = failures[-1]
        if failure.lagging:
            return lag_wait(sum(each.lagging for each in failures) - 1)
        several = len(self._nodes) > 1
        if (not several or self._active.hopeless) and (failure.final or failure.unsent):
            return None  # no election brings it back
        if not _draws_on_budget(failure):
            # A search for the active node has a pace of its own. A hint is followed at once, but
            # two nodes that name each other get no more of those than there are nodes.
            return 0.0 if several and len(failures) <= len(self._nodes) else backoff.next()
        tries = sum(each.done for each in failures)
        audits = sum(each.reason == "audit" for each in failures)
        if audits > 1 or tries > 3 * len(self._nodes) or not self._budget.withdraw():
            return None
        return backoff.next(failure.wait)

    async def _at_the_active_node(self, call: Call) -> VaultResponse | Failure:
        """Wait for a node that takes writes, and do one attempt there."""
        waits_since = self._clock()
        while (writer := self._nodes.writer) is None:
            if self._clock() >= call.deadline:
                return Failure(self._active.reason)
            asked_vault()
            await self._active.found(within=call.deadline - self._clock())
            if self._nodes.writer is not None:
                continue
            if self._active.hopeless:
                return Failure(self._active.reason, final=True)
            waited = self._clock() - waits_since
            if waited > SCOUT_AFTER and self._active.standbys and not self._scouting:
                return await self._scout(call, random.choice(self._active.standbys))  # noqa: S311  to spread them
        return await self._attempt(call, writer)

    async def _scout(self, call: Call, standby: int) -> VaultResponse | Failure:
        self._scouting = True
        try:
            return await self._attempt(call, standby)
        finally:
            self._scouting = False

    async def _attempt(self, call: Call, node: int) -> VaultResponse | Failure:
        # Only while it is sent: writers who wait for an election must not keep readers out.
        async with self._places.taken(call.request.subject):
            return await self._attempts.make(call, node)


def _draws_on_budget(failure: Failure) -> bool:
    """Whether sending it again is load that Vault did not ask for: what may have been done, and
    what there was no capacity for. The rest waits for an active node.
    """
    return failure.done or failure.reason == "overloaded"


def _unavailable(call: Call, failure: Failure) -> VaultUnavailable:
    return VaultUnavailable(failure.reason, path=call.request.subject, retry_after=failure.wait)
