"""One thing held under a lease: what Vault gave, which token it hangs on, who holds it.

Vault ends a lease with the token that made it, whatever the lease says. So each remembers its
token, and is a user of it: a token that another has taken over from is not revoked before its
last lease has ended.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

import anyio

from greenlang_secrets.errors import LeaseExpired, SecretsError
from greenlang_secrets.held import Changes
from greenlang_secrets.lifetime import Step, Term, next_step
from greenlang_secrets.model import SecretType
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.telemetry import Life
from greenlang_secrets.vault import LiveToken
from greenlang_secrets.vault.answers import Call

__all__ = ["Ending", "Entry", "Fetch", "Leased", "Maker"]

T = TypeVar("T")

_LEAST: Final = 0.5
"""Seconds that a new one is kept at least: what ends as soon as it is made (by our clock) must not
be asked for without a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased(Generic[T]):
    """What a fetch gave.

    Attributes:
        known_by: what differs when it is another one, such as the password.
        term: how long it lives.
        lease_id: empty where Vault gives no lease.
        read_again_at: monotonic seconds at which to look for another one, for what Vault
            changes at a time of its own; it lives on until one is found. None for a lease.
    """

    value: T
    known_by: SecretValue
    term: Term
    lease_id: str = ""
    read_again_at: float | None = None


Fetch = Callable[[Call], Awaitable[Leased[T]]]
"""Gets a new one from Vault, by a last request that makes it."""


@dataclass(frozen=True, slots=True, eq=False)
class Ending:
    """A lease that another has taken over from; it lives to its end, for logins under way."""

    lease_id: str
    token: LiveToken
    term: Term
    secret_type: SecretType = SecretType.GENERIC

    @property
    def ends_at(self) -> float:
        """Monotonic seconds."""
        return min(self.term.ends_at, self.token.bound)


class Entry(Generic[T]):
    """Something that is kept.

    Attributes:
        secret_type: what it is, for metrics.
        about: the path of the secret that it was made with; None for none.
        leased: what is held now; None before the first fetch.
        token: the token its lease hangs on; None without a lease.
        endings: leases before it that still live.
        error: why the last attempt failed; None after a success.
        holders: how many hold it.
        woken: set to make the keeping task plan anew.
        closed: whether it was given up.
    """

    def __init__(
        self,
        key: Hashable,
        fetch: Fetch[T],
        clock: Callable[[], float],
        secret_type: SecretType = SecretType.GENERIC,
        *,
        about: str | None = None,
    ) -> None:
        self.about = about
        self.secret_type = secret_type
        self.key = key
        self.fetch = fetch
        self._clock = clock
        self.leased: Leased[T] | None = None
        self.token: LiveToken | None = None
        self.endings: list[Ending] = []
        self.error: SecretsError | None = None
        self.holders = 0
        self.woken = anyio.Event()
        self.closed = False
        self._adopted_at = -math.inf
        self._changes: Changes[T] | None = None

    @property
    def term(self) -> Term:
        """How long it lives, by itself."""
        return self._held.term

    @term.setter
    def term(self, term: Term) -> None:
        self.leased = replace(self._held, term=term)

    @property
    def _held(self) -> Leased[T]:
        if self.leased is None:
            raise RuntimeError("nothing was fetched yet")
        return self.leased

    @property
    def lease_id(self) -> str:
        """Empty where Vault gives no lease."""
        return self._held.lease_id

    @property
    def changes(self) -> Changes[T]:
        """The values, the newest first to each who follows."""
        if self._changes is None:
            raise RuntimeError("nothing was fetched yet")
        return self._changes

    @property
    def ends_at(self) -> float:
        """Monotonic seconds until which it may be used, as far as is known."""
        if self.closed:
            return -math.inf
        leased = self._held
        if leased.read_again_at is not None:
            return math.inf
        return min(leased.term.ends_at, math.inf if self.token is None else self.token.bound)

    def life(self) -> Life | None:
        """Return how long it lives; None for what is not there yet, or has no end of its own, such
        as the password of a static role.
        """
        leased = self.leased
        if self.closed or leased is None or leased.read_again_at is not None:
            return None
        return Life(
            secret_type=self.secret_type,
            left=max(0.0, self.ends_at - self._clock()),
            granted=max(leased.term.duration, leased.term.wanted),
        )

    def look(self) -> T:
        """Return the value now.

        Raises:
            LeaseExpired: it has ended, and replacing it has not succeeded.
        """
        if self._clock() < self.ends_at:
            return self._held.value
        raise LeaseExpired from None if self.error is None else self.error.again()

    def plan(self, chance: float) -> Step:
        """Return the next step; a lease whose token ends earlier is replaced before that."""
        now, leased = self._clock(), self._held
        if leased.read_again_at is not None and leased.term.failures == 0:
            return Step(action="replace", at=leased.read_again_at, within=5.0)
        # One that has ended stays as it is: its waits are to grow.
        if self.token is not None and now < leased.term.ends_at > self.token.bound:
            self.term = leased.term.bounded(now, self.token.bound)
        step = next_step(self.term, now, chance)
        if self.token is not None and self.token.dead:
            return step
        return replace(step, at=max(step.at, self._adopted_at + _LEAST))

    def adopt(self, leased: Leased[T], token: LiveToken | None) -> None:
        """Make `leased` the present one, tell who follows, and let the one before end."""
        before, before_token = self.leased, self.token
        self.leased, self.token, self.error = leased, token, None
        self._adopted_at = self._clock()
        if before is not None and before_token is not None:
            self.endings.append(
                Ending(before.lease_id, before_token, before.term, self.secret_type)
            )
        if self._changes is None:
            self._changes = Changes(leased.value)
        elif before is None or before.known_by != leased.known_by:
            self._changes.publish(leased.value)
        else:
            self.leased = replace(leased, value=before.value)

    def drop_ended(self) -> float:
        """Let go of leases that have ended by themselves; return when the next one will have."""
        now = self._clock()
        for ending in [each for each in self.endings if each.ends_at <= now]:
            self.endings.remove(ending)
            ending.token.release()
        return min((ending.ends_at for ending in self.endings), default=math.inf)

    def give_up(self) -> list[Ending]:
        """Return everything that is to be revoked, the present one among it; there is no value from
        now on, and no further change.
        """
        self.closed = True
        taken, self.endings = self.endings, []
        if self.leased is not None and self.token is not None:
            taken.append(
                Ending(self.leased.lease_id, self.token, self.leased.term, self.secret_type)
            )
            self.token = None
        if self._changes is not None:
            self._changes.close()
        return taken


class Maker:
    """The token of the last answer that was no error: what was made hangs on it. It is used by
    us until it is taken or let go of.
    """

    def __init__(self) -> None:
        self._token: LiveToken | None = None

    def __call__(self, token: LiveToken) -> None:
        """Note it."""
        token.acquire()
        self.let_go()
        self._token = token

    def take(self) -> LiveToken:
        """Return it, with its use."""
        if self._token is None:
            raise RuntimeError("a fetch gave a lease and asked Vault for nothing")
        token, self._token = self._token, None
        return token

    def let_go(self) -> None:
        """Use it no more."""
        if self._token is not None:
            self.take().release()
