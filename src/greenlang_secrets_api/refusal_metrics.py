"""Who was turned away, as metrics: rate limits and denials, by reason and never by name.

The who is in the audit log. How many different principals were denied is told, so that one
misconfigured caller can be told from somebody who tries everything.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Literal, get_args

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from greenlang_secrets.errors import DenialReason

__all__ = ["Denied", "LimitScope", "RefusalMetrics"]

LimitScope = Literal["principal", "path", "address"]
"""Whose limit it was: a principal's in a scope, a path's, or a client address's."""

Denied = Literal[DenialReason, "token"]
"""Why: ``permission`` is missing, ``tenant`` is another's, Vault's ``policy`` forbids it, or the
bearer (``token``) was refused."""

REMEMBERED_FOR: Final = 300.0
"""Seconds for which a denied principal counts as one of those lately denied."""

MOST_REMEMBERED: Final = 10_000
"""Principals at most; with more the number stays there, which is alarming enough."""


class RefusalMetrics:
    """Counts refusals of one application, and gives a meter provider the instruments."""

    def __init__(
        self, provider: MeterProvider, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._limited: Counter[LimitScope] = Counter(dict.fromkeys(get_args(LimitScope), 0))
        self._denials: Counter[str] = Counter(dict.fromkeys((*get_args(DenialReason), "token"), 0))
        self._denied: OrderedDict[Hashable, float] = OrderedDict()
        meter = provider.get_meter("greenlang_secrets")
        meter.create_observable_counter(
            "gl_secrets_rate_limited",
            callbacks=[self._rate_limited],
            unit="{request}",
            description="Requests answered 429, by whose limit it was.",
        )
        meter.create_observable_counter(
            "gl_secrets_access_denied",
            callbacks=[self._access_denied],
            unit="{request}",
            description="Requests answered 401 or 403, by why.",
        )
        meter.create_observable_gauge(
            "gl_secrets_denied_principals",
            callbacks=[self._principals],
            unit="{principal}",
            description="Different principals that were denied in the last 5 minutes.",
        )

    def limited(self, scope: LimitScope) -> None:
        """Count a request over a limit."""
        self._limited[scope] += 1

    def denied(self, reason: Denied, who: Hashable = None) -> None:
        """Count a denial; `who` is None where nobody was let in, and is remembered otherwise."""
        self._denials[reason] += 1
        if who is None:
            return
        now = self._clock()
        self._denied.pop(who, None)
        self._denied[who] = now
        while len(self._denied) > MOST_REMEMBERED or self._oldest() < now - REMEMBERED_FOR:
            self._denied.popitem(last=False)

    def _oldest(self) -> float:
        return next(iter(self._denied.values()))

    def _rate_limited(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(n, {"scope": scope}) for scope, n in dict(self._limited).items()]

    def _access_denied(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(n, {"reason": reason}) for reason, n in dict(self._denials).items()]

    def _principals(self, _: CallbackOptions) -> Iterable[Observation]:
        since = self._clock() - REMEMBERED_FOR
        # A copy, made in one go: this is another thread than the one that adds.
        return [Observation(sum(at >= since for at in tuple(self._denied.values())))]
