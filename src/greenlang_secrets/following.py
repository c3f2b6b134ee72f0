"""Who follows which secret: one loop for each path, however many follow it.

The loop reads through the cache just before a value stops being fresh, so `current` is fresh
by construction, and at once when told that the path has changed. What any other read of the
service learns is learnt here as well. Who may follow is the view's to decide.

A change is a version with other data or another type than the one before. A version that
only repeats them becomes the current one and is not told: some writers make one every hour.
A secret that was gone (deleted, missing, denied) and is back is told, whatever it holds.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Final

import anyio

from greenlang_secrets.background import Supervisor, reported
from greenlang_secrets.cache import CacheKey, SecretCache
from greenlang_secrets.config import CacheConfig
from greenlang_secrets.errors import (
    AccessDenied,
    SecretDeleted,
    SecretsError,
    SecretUnavailable,
    VaultUnavailable,
)
from greenlang_secrets.held import Changes
from greenlang_secrets.model import Secret

__all__ = ["Followed", "Followers", "Load", "differs"]

Load = Callable[[], Awaitable[Secret]]
"""Reads the secret from Vault."""

Wait = Callable[[anyio.Event, float], Awaitable[None]]
"""Waits for an event, but no longer than these seconds."""

_AHEAD: Final = 0.9
"""The share of the fresh time after which the loop asks again, give or take a tenth of it (0.81
to 0.99): a value is never older than `fresh_for` for want of asking, and paths that were
first read together drift apart.
"""

_SHORTEST: Final = 0.1
"""Seconds between two requests of one loop at least, even with `fresh_for=0`."""

_PROBE: Final = 0.5
"""Seconds after which a loop that got no answer tries again, as the cache's own probes."""

_CATCHING_UP: Final = 0.25
"""Seconds a write waits at most for its followers, as the cache's patience."""

_BETWEEN: Final = 0.005
"""Seconds between the reads of two paths, on average, when all that is followed is read anew."""

_log: Final = logging.getLogger("greenlang_secrets")


def differs(old: Secret, new: Secret) -> bool:
    """Return whether `new` is a change to who knows `old`."""
    return old.type is not new.type or old.data != new.data


async def _wait(woken: anyio.Event, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await woken.wait()


class Followed:
    """One path, kept up to date.

    Attributes:
        key: scope and path.
        followers: how many there are.
        begun: set once there is a value for the first time; `changes` is there from then on.
        changes: what those who follow are told.
    """

    changes: Changes[Secret]

    def __init__(self, shared: Followers, key: tuple[Hashable, Hashable], load: Load) -> None:
        self.key = key
        self.followers = 0
        self.begun = anyio.Event()
        self._shared = shared
        self._load = load
        self._value: Secret | None = None
        self._stale: Secret | None = None
        self._error: SecretsError | None = None
        self._gone = False  # the error means that there is no value for us
        self._logged = ""  # the code that failed last
        self._fresh_until = 0.0
        self._stale_until = 0.0
        self._lives_until = 0.0
        self._ask_at = 0.0
        self._overtaken = False
        self._woken = anyio.Event()
        self._answered = anyio.Event()
        self._task = shared.supervisor.spawn(self._keep(), name="following")

    def close(self) -> None:
        """End the loop and every iteration."""
        self._task.cancel()
        if self.begun.is_set():
            self.changes.close()

    @property
    def current(self) -> Secret:
        """The value now, as `SecretsView.hold` says."""
        now = self._shared.clock()
        error, value = self._error, self._value
        if self._shared.closed:
            raise RuntimeError("the service is closed; open it anew")
        if value is None or self._gone:
            raise (error or self._shared.away).again()
        if now >= self._lives_until:
            raise SecretDeleted(
                path=value.path,
                version=value.version,
                destroyed=False,
                deleted_at=value.expires_at,
            )
        if now < self._fresh_until:
            return value
        if now >= self._stale_until or (error is not None and not error.retryable):
            raise (error or self._shared.away).again()
        if self._stale is None:
            self._stale = replace(value, stale=True)
        return self._stale

    @property
    def error(self) -> SecretsError | None:
        """Why the last question got no value; None since it got one."""
        return self._error

    def ask(self) -> None:
        """Have it read anew at once: what is known is overtaken."""
        self._overtaken = True
        self._ask_at = self._shared.clock()
        self._woken.set()

    def ask_within(self, seconds: float) -> None:
        """Have it read anew in so many seconds, at the latest: what is known may be overtaken.

        During an outage the one probe of the cache asks for all, as ever.
        """
        self._ask_at = min(self._ask_at, self._shared.clock() + seconds)
        self._woken.set()

    async def caught_up(self) -> None:
        """Return once an answer has come that was asked for after the last `ask`, at the latest
        after a quarter of a second.
        """
        with anyio.move_on_after(_CATCHING_UP):
            await self._answered.wait()

    def learn(self, answer: Secret | SecretsError, asked_at: float) -> None:
        """Take note of what Vault has said, to whomever."""
        if isinstance(answer, SecretsError):
            self._miss(answer)
        else:
            self._take(answer, asked_at)
        self._overtaken = False
        self._answered.set()
        self._answered = anyio.Event()
        self._woken.set()  # it has a new time to ask at

    def _miss(self, error: SecretsError) -> None:
        if self._logged != error.code:
            self._logged = error.code
            path = str(self.key[1])
            _log.warning("following.failed", extra={"code": error.code, "path": path})
        if not (self._gone and error.retryable):  # an outage does not bring back what is gone
            self._error = error.again()
            self._gone = isinstance(error, AccessDenied | SecretUnavailable)
        self._ask_within(_PROBE if error.retryable else self._shared.period)

    def _take(self, value: Secret, asked_at: float) -> None:
        shared = self._shared
        if self._value is None:
            self.changes = Changes(value, mark=_version)
            self.begun.set()
        elif _precedes(value, self._value):
            self._ask_within(shared.period)
            return
        elif self._gone or differs(self._value, value):
            self.changes.publish(value)
        else:
            self.changes.replace(value)
        self._value, self._stale, self._error = value, None, None
        self._gone, self._logged = False, ""
        lives = shared.lives_for(value)
        self._lives_until = asked_at + lives
        self._fresh_until = asked_at + shared.period
        self._stale_until = asked_at + shared.stale_for
        # Not much before its end, or clocks that differ would have it asked for all the time.
        self._ask_within(min(_AHEAD * shared.period, max(lives, _PROBE)), since=asked_at)

    def _ask_within(self, seconds: float, *, since: float | None = None) -> None:
        now = self._shared.clock()
        at = (now if since is None else since) + min(seconds, self._shared.period) * (
            0.9 + 0.2 * self._shared.jitter()
        )
        self._ask_at = max(at, now + min(_SHORTEST, self._shared.period))

    async def _keep(self) -> None:
        while True:
            seconds = self._ask_at - self._shared.clock()
            if seconds > 0:
                self._woken = anyio.Event()
                await self._shared.wait(self._woken, seconds)
            else:
                await reported(self._ask_now(), name="following")

    async def _ask_now(self) -> None:
        # The next time, should no answer come: this one fails, or an invalidation overtakes it.
        self._ask_within(_PROBE)
        with suppress(SecretsError):  # `learn` has it already
            await self._shared.cache.renew((*self.key, None), self._load, at_once=self._overtaken)


def _precedes(value: Secret, known: Secret) -> bool:
    """Whether `value` is older than what is known: a node that lags behind has answered. A
    secret that was made anew begins with version 1, and later.
    """
    return value.version < known.version and value.created_at <= known.created_at


def _version(secret: Secret) -> int:
    return secret.version


class Followers:
    """All that is followed in one service.

    Attributes:
        period: seconds for which a value is fresh.
        stale_for: seconds for which it is given while there is no answer.
        away: why there was no answer the last time; one loop asks for all during an outage.
        told: what `changed` passes on, scope and path: to other replicas, who cache it too.
        doubts: how often something was said to have changed.
        closed: whether the service is.
    """

    def __init__(
        self,
        cache: SecretCache[Secret],
        supervisor: Supervisor,
        config: CacheConfig,
        *,
        lives_for: Callable[[Secret], float],
        clock: Callable[[], float] = time.monotonic,
        wait: Wait = _wait,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`lives_for` gives the seconds after which a value deletes itself, `jitter` a number
        from 0 to 1; `clock` is the cache's.
        """
        self.cache = cache
        self.supervisor = supervisor
        self.period = max(config.fresh_for, _SHORTEST)
        self.stale_for = config.stale_for
        self.lives_for = lives_for
        self.clock = clock
        self.wait = wait
        self.jitter = jitter
        self.closed = False
        self.away = VaultUnavailable("timeout")
        self.told: list[Callable[[Hashable, Hashable], None]] = []
        self.doubts = 0
        self._followed: dict[tuple[Hashable, Hashable], Followed] = {}

    def join(
        self, scope: Hashable, path: Hashable, load: Load, *, first: Secret | None = None
    ) -> Followed:
        """Return the path, followed by one more, who calls `leave` once. `first` is what was just
        read; without it, the value is awaited by `begun`.

        Raises:
            RuntimeError: the service is closed.
        """
        if self.closed:
            raise RuntimeError("the service is closed; open it anew")
        followed = self._followed.get((scope, path))
        if followed is None:
            followed = Followed(self, (scope, path), load)
            self._followed[scope, path] = followed
        if first is not None and not followed.begun.is_set():
            followed.learn(first, first.fetched_at)
        followed.followers += 1
        return followed

    def leave(self, followed: Followed) -> None:
        """Take one follower away; with the last one the loop ends."""
        followed.followers -= 1
        if followed.followers == 0:
            del self._followed[followed.key]
            followed.close()

    def learn(self, key: CacheKey, answer: Secret | SecretsError, asked_at: float) -> None:
        """Take note of what a load of the cache has brought; of the newest version only."""
        if isinstance(answer, VaultUnavailable):
            self.away = answer.again()
        scope, path, version = key
        if version is None and (followed := self._followed.get((scope, path))) is not None:
            followed.learn(answer, asked_at)

    def changed(self, scope: Hashable, path: Hashable) -> None:
        """Forget what is cached of a path, and have it read at once if somebody follows it.

        For whoever knows of a change: this service's own writes. It is passed on to `told`.
        """
        self.doubts += 1
        self.cache.invalidate(scope, path)
        if (followed := self._followed.get((scope, path))) is not None:
            followed.ask()
        for tell in self.told:
            tell(scope, path)

    def knows(self, scope: Hashable, path: Hashable, version: int, created_at: datetime) -> bool:
        """Return whether just this version is held fresh: it was read after it was written."""
        held = self.cache.held_fresh((scope, path, None))
        return held is not None and held.version == version and held.created_at == created_at

    def follows(self, scope: Hashable, path: Hashable) -> bool:
        """Return whether somebody follows a path."""
        return (scope, path) in self._followed

    def error_of(self, scope: Hashable, path: Hashable) -> SecretsError | None:
        """Return why a path that is followed has no newer value; None where nothing is wrong."""
        followed = self._followed.get((scope, path))
        return None if followed is None else followed.error

    def version_of(self, scope: Hashable, path: Hashable) -> int | None:
        """Return the oldest version that somebody who follows a path was given last; None if nobody
        follows it, or nobody has been given anything.
        """
        followed = self._followed.get((scope, path))
        return followed.changes.given if followed is not None and followed.begun.is_set() else None

    def revalidate(self, scope: Hashable, path: Hashable) -> None:
        """Hold nothing of a path for fresh any more, and have it read at once if somebody follows it.

        For whoever is told of a change by others. Unlike `changed` it takes nothing away: what is
        held is still given, as stale, while Vault gives no answer. So a message that is wrong,
        or a lie, costs a read.
        """
        self.doubts += 1
        self.cache.revalidate(scope, path)
        if (followed := self._followed.get((scope, path))) is not None:
            followed.ask()

    def revalidate_all(self) -> None:
        """Do what `revalidate` does for every path, because a change may have been missed.

        What is followed is read anew within a time that grows with its number, so that Vault
        gets 200 requests a second on average and not all of them together.
        """
        self.doubts += 1
        self.cache.revalidate_all()
        within = len(self._followed) * _BETWEEN
        for followed in self._followed.values():
            followed.ask_within(within * self.jitter())

    async def caught_up(self, scope: Hashable, path: Hashable) -> None:
        """After `changed`: return when those who follow the path know, within 0.25 s; at once if
        nobody does.
        """
        if (followed := self._followed.get((scope, path))) is not None:
            await followed.caught_up()

    def close(self) -> None:
        """End every loop and every iteration."""
        self.closed = True
        for followed in self._followed.values():
            followed.close()
