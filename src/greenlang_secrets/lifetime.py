"""When to renew, when to replace: decided purely, for tokens and leases alike.

Vault grants a `Term`. Two thirds into it, a little earlier by chance, the first attempt is
made, which leaves a third for trouble (the fraction of Vault's own LifetimeWatcher). Renewing
near a maximum succeeds with ever less; a term that was cut so is not renewed again but replaced.
After a failed attempt the next one is planned from what is left, never from what was
advertised: a wait of the advertised length would usually end after the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

__all__ = ["Step", "Term", "next_step"]

_SHARE: Final = 2 / 3
_SPREAD: Final = 0.1
"""The part of those two thirds by which chance moves the first attempt forward, so that what was
made together is not renewed together."""

_FIRST_BACKOFF: Final = 1.0
_LONGEST_BACKOFF: Final = 30.0
_LEAST_WAIT: Final = 0.02
"""Seconds between two attempts at least: a loop that fails at once must not spin."""

_LONGEST_ATTEMPT: Final = 5.0
_PART: Final = 4
"""An attempt and the wait after it take a quarter of what is left each, at most: then at least
three attempts fit into the last third (0.75 ** 5 of it is left after the third), however short."""

_RENEWALS: Final = 2
"""Failed attempts after which replacing is tried: Vault says 500 to a renewal past the maximum,
as it does when it fails itself (OpenBao 2.7.2, tests/integration/vault/test_token_life.py)."""

_ROUNDED: Final = 0.5
"""Vault gives whole seconds, rounded: a term that was cut is counted this much shorter. OpenBao 2.7.2
keeps to what it says (tests/integration/vault/test_token_life.py); another may end at the maximum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """What Vault granted, in monotonic seconds.

    Attributes:
        granted_at: when it was asked for: early is safe, late is not.
        duration: seconds granted; infinity for what has no end.
        wanted: seconds that a renewal asks for; one that gives less was cut.
        renewable: whether a renewal would make it longer.
        failures: attempts that failed since.
        failed_at: when the last of them did.
    """

    granted_at: float
    duration: float
    wanted: float
    renewable: bool
    failures: int = 0
    failed_at: float = 0.0

    @property
    def ends_at(self) -> float:
        """When it ends if nothing is done."""
        return self.granted_at + self.duration

    def renewed(self, *, granted_at: float, duration: float, renewable: bool = True) -> Term:
        """Return the term that a renewal gave; one that was cut is not renewable any more."""
        cut = duration < self.wanted or duration <= 0.0
        return replace(
            self,
            granted_at=granted_at,
            duration=max(0.0, duration - _ROUNDED) if cut else duration,
            renewable=renewable and not cut,
            failures=0,
        )

    def failed(self, now: float) -> Term:
        """Return the same term after an attempt that failed."""
        return replace(self, failures=self.failures + 1, failed_at=now)

    def bounded(self, now: float, ends_at: float) -> Term:
        """Return a term that ends at `ends_at` at the latest, which no renewal changes: the token
        behind it ends then. One that ends earlier stays as it is, but is not renewed either.
        """
        end = min(self.ends_at, ends_at)
        return replace(self, granted_at=now, duration=max(0.0, end - now), renewable=False)

    def unrenewable(self) -> Term:
        """Return the same term, known to be not renewable."""
        return replace(self, renewable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do next.

    Attributes:
        action: renew it, or replace it by a new one.
        at: monotonic seconds; infinity for never, and now or earlier for at once.
        within: seconds that the attempt may take.
    """

    action: Literal["renew", "replace"]
    at: float
    within: float


def next_step(term: Term, now: float, jitter: float) -> Step:
    """Return the next step of `term`, planned at `now`; `jitter` is 0 to 1, evenly.

    Whatever the length of the term and of an outage: at least three attempts fit before the
    end (tests/properties/test_lifetime.py).
    """
    if math.isinf(term.duration):
        return Step(action="replace", at=math.inf, within=_LONGEST_ATTEMPT)
    if term.failures == 0:
        at = term.granted_at + term.duration * _SHARE * (1 - _SPREAD * jitter)
    else:
        left = max(0.0, term.ends_at - term.failed_at)
        backoff = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(term.failures - 1, 10))
        # After the end there is no hurry left that could be told from hammering.
        wait = backoff * (0.5 + jitter)
        if left > 0:
            wait = max(_LEAST_WAIT, min(wait, left / _PART))
        at = term.failed_at + wait
    left = term.ends_at - max(at, now)
    return Step(
        action="renew" if term.renewable and term.failures < _RENEWALS else "replace",
        at=at,
        within=min(_LONGEST_ATTEMPT, left / _PART) if left > 0 else _LONGEST_ATTEMPT,
    )
