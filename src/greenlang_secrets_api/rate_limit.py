"""Who may ask how often: limits per scope, principal and class, and per address for refusals.

Counting is `token_bucket`'s in one process and `shared_limits`' between several; this module
says what is counted under which key, and what the answer tells of it
(draft-ietf-httpapi-ratelimit-headers-11).
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final, Self

from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets_api.addresses import counted_as
from greenlang_secrets_api.answers import Header
from greenlang_secrets_api.problems import ProblemError
from greenlang_secrets_api.rate_policies import RateClass, RatePolicies, RatePolicy
from greenlang_secrets_api.refusal_metrics import LimitScope
from greenlang_secrets_api.refusals import Refusals
from greenlang_secrets_api.shared_limits import SharedLimits
from greenlang_secrets_api.token_bucket import Buckets, Taken

__all__ = ["RateLimiter"]

_POLICY: Final = b"ratelimit-policy"
_LIMIT: Final = b"ratelimit"

_Counted = tuple[RatePolicy, Taken]


class RateLimiter:
    """Counts requests, and refuses what is too much; `open` makes one."""

    def __init__(
        self,
        policies: RatePolicies,
        *,
        shared: SharedLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_limited: Callable[[LimitScope], None] = lambda _: None,
    ) -> None:
        self._on_limited = on_limited
        self._policies = policies
        self._shared = shared
        self._clock = clock
        self._buckets: dict[str, Buckets] = {}
        self._refusals = Refusals()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: SecretValue | None,
        policies: RatePolicies,
        *,
        on_limited: Callable[[LimitScope], None] = lambda _: None,
    ) -> AsyncIterator[Self]:
        """Open a limiter that counts in the store at `url`, and without one in memory; `on_limited`
        is told whose limit was passed.

        A store that is away keeps nothing from starting: as long as it is, each replica counts
        in memory for itself.
        """
        if url is None:
            yield cls(policies, on_limited=on_limited)
            return
        async with SharedLimits.open(url) as shared:
            yield cls(policies, shared=shared, on_limited=on_limited)

    async def hit(
        self,
        scope_key: str,
        subject: str,
        rate: RateClass,
        *,
        cost: int = 1,
        path: str | None = None,
    ) -> tuple[Header, ...]:
        """Count a request, and return the headers that tell what is left.

        Args:
            scope_key: `Scope.key` of where the caller acts.
            subject: the principal; at a public endpoint the client's address, `counted_as`.
            rate: the class of the request.
            cost: how many requests it counts as; more than the quota counts as the quota.
            path: for a class with a limit for each path too: which one. It counts in the scope,
                whoever asks, and after the principal, so that a principal over its own limit
                cannot use up the turn of others.

        Raises:
            ProblemError: ``rate_limited``, with the same headers and `Retry-After`.
        """
        counted: list[_Counted] = []
        policy = self._policies.of(rate)
        if policy is not None:
            whose: LimitScope = "address" if rate is RateClass.PROBE else "principal"
            await self._count(policy, (scope_key, subject), cost, counted, whose)
        policy = self._policies.of_path(rate)
        if policy is not None and path is not None:
            await self._count(policy, (scope_key, path), 1, counted, "path")
        return _headers(counted)

    async def refused(self, address: str) -> None:
        """Count a bearer that was refused, and return if the answer may be the usual 401.

        Past the limit of its address, an answer says 429 and how long to stay away: 10 s, then
        twice as long for each refusal that comes in the meantime, up to 15 minutes. Only whoever
        fails is told so. A valid bearer from the same address is served as ever, because the
        address may be that of a company, of an ingress or of a whole cluster: an attacker
        behind it could otherwise shut out everybody else, and so could one who guesses
        bearers of a known account if accounts were counted. What guessing costs us is the
        check of a signature either way, and a guess at a signature never comes true.

        Args:
            address: the client's; one of IPv6 counts as its /64.

        Raises:
            ProblemError: ``rate_limited``, with `Retry-After`.
        """
        policy = self._policies.failed_auth
        if policy is None:
            return
        key = counted_as(address)
        if not self._refusals.is_away(key, self._clock()):
            taken = await self._take(policy, (key,), 1)
            if taken.allowed:
                return
        wait = self._refusals.tell(key, self._clock())
        self._on_limited("address")
        raise _too_much([(policy, Taken(False, 0, wait))])

    async def _count(
        self,
        policy: RatePolicy,
        key: tuple[str, ...],
        cost: int,
        counted: list[_Counted],
        whose: LimitScope,
    ) -> None:
        taken = await self._take(policy, key, cost)
        counted.append((policy, taken))
        if not taken.allowed:
            self._on_limited(whose)
            raise _too_much(counted)

    async def _take(self, policy: RatePolicy, key: tuple[str, ...], cost: int) -> Taken:
        if self._shared is not None:
            taken = await self._shared.take(policy, key, cost)
            if taken is not None:
                return taken
        buckets = self._buckets.get(policy.name)
        if buckets is None:
            buckets = self._buckets[policy.name] = Buckets(policy)
        return buckets.take(key, self._clock(), cost)


def _too_much(counted: Sequence[_Counted]) -> ProblemError:
    policy, taken = counted[-1]
    retry_after = (b"retry-after", b"%d" % _window(policy, taken))
    return ProblemError("rate_limited", headers=(*_headers(counted), retry_after))


def _headers(counted: Sequence[_Counted]) -> tuple[Header, ...]:
    if not counted:
        return ()
    limits = ", ".join(
        [
            f'"{policy.name}";r={taken.remaining};t={_window(policy, taken)}'
            for policy, taken in counted
        ]
    )
    return _told(tuple([policy for policy, _ in counted])), (_LIMIT, limits.encode())


@lru_cache(maxsize=64)
def _told(policies: tuple[RatePolicy, ...]) -> Header:
    """The header that names the policies, of which there are few."""
    text = ", ".join(f'"{policy.name}";q={policy.quota};w={policy.window}' for policy in policies)
    return _POLICY, text.encode()


def _window(policy: RatePolicy, taken: Taken) -> int:
    """The draft's effective window, in whole seconds and at least one.

    After a refusal it is the wait, since `Retry-After` must not be earlier (section 6). Else it
    is the time in which as much as is left comes back: a client that spreads the one over the
    other asks as often as the policy allows, and not in bursts (section 8.5).
    """
    seconds = max(1, taken.remaining) / policy.rate if taken.allowed else taken.wait
    return max(1, math.ceil(seconds))
