"""Replicas that tell each other of their writes, by PostgreSQL's ``LISTEN/NOTIFY``.

One connection, kept by one loop, listens and tells. What was told while it was away is lost, and
so is what a replica did not come to tell: after each reconnection, and when a replica falls silent
without leaving, everything is read anew. (PostgreSQL, "NOTIFY": in order for one sender,
delivered when its transaction commits, to those who listen just then.)
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Final, Protocol

import anyio
import asyncpg

from greenlang_secrets.background import Supervisor, reported
from greenlang_secrets.errors import SecretsError
from greenlang_secrets.following import Followers
from greenlang_secrets.invalidation.notice import Kind, Notice
from greenlang_secrets.invalidation.revalidation import Revalidation
from greenlang_secrets.paths import PLATFORM, Scope, SecretPath, Tenant, TenantId
from greenlang_secrets.retry import Backoff

__all__ = ["CHANNEL", "ChangeFeed", "Connect", "NoticeConnection"]

CHANNEL: Final = "greenlang_secrets_changes"

_BEAT: Final = 3.0
"""Seconds between two signs of life at most."""

_DEADLINE: Final = 3.0
"""Seconds for each step, and for what we tell to come back to us: a connection that leads nowhere
is noticed within 6 s."""

_SILENT: Final = 10.0
"""Seconds after which a replica that has said nothing is taken for dead."""

_LEAVING: Final = 1.0
"""Seconds for telling what is left at the end."""

_OUTBOX: Final = 1000
"""Changes that wait to be told at most; more of them are told as "everything"."""

_REPLICAS: Final = 1000
"""Replicas known at most: forged names must not fill the memory."""

_TELL: Final = "SELECT pg_notify($1, told) FROM unnest($2::text[]) WITH ORDINALITY AS _(told, n)"

_FAILURES: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

_log: Final = logging.getLogger("greenlang_secrets")


class NoticeConnection(Protocol):
    """What the feed needs of an asyncpg connection, which is the one implementation."""

    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None:
        """Listen to `channel`; `callback` gets the connection, a process id, the channel and the
        payload.
        """

    def add_termination_listener(self, callback: Callable[..., None]) -> None:
        """Call `callback` when the connection ends."""

    async def execute(self, query: str, *args: object) -> str:
        """Run one statement."""

    def is_closed(self) -> bool:
        """Whether it has ended."""

    def terminate(self) -> None:
        """End it, without a word."""


Connect = Callable[[], Awaitable[NoticeConnection]]
"""Makes a connection of its own: no pool's, and not through a pooler that shares it between
transactions, for there nobody hears anything."""


class ChangeFeed:
    """Tells other replicas of this service's changes, and hears of theirs.

    Attributes:
        listening: whether messages come in just now.
    """

    def __init__(
        self,
        revalidation: Revalidation,
        connect: Connect,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.listening = False
        self._revalidation = revalidation
        self._connect = connect
        self._clock = clock
        self._origin = secrets.token_hex(8)
        self._seq = 0
        self._outbox: dict[tuple[Scope, SecretPath], int | None] = {}
        self._everything = False  # more than the outbox holds has changed
        self._replicas: dict[str, tuple[int, float]] = {}  # the last number, and when
        self._told_at: float | None = None  # what has not come back yet
        self._lost = ""  # what has ended the connection last
        self._leaving = False
        self._woken = anyio.Event()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, followers: Followers, revalidation: Revalidation, connect: Connect
    ) -> AsyncIterator[ChangeFeed]:
        """Yield a feed that tells whatever `followers.changed` is told, and listens.

        A database that is away does not keep it from opening. At the end what is left is told,
        within a second.
        """
        feed = cls(revalidation, connect)

        def tell(scope: Hashable, path: Hashable) -> None:
            feed._tell(scope, path)

        async with Supervisor() as supervisor:
            task = supervisor.spawn(feed._keep(), name="change_feed")
            followers.told.append(tell)
            try:
                yield feed
            finally:
                followers.told.remove(tell)
                feed._leaving = True
                feed._woken.set()
                with anyio.move_on_after(_LEAVING, shield=True):
                    await _end_of(task)

    async def publish(self, scope: Scope, path: str, version: int | None = None) -> None:
        """Tell other replicas that a path has changed. Never raises and never waits: it is put
        down, and told by the loop, together with others.

        Changes of the service itself are told without it.
        """
        self._put(scope, path, version)

    def _tell(self, scope: Hashable, path: Hashable) -> None:
        try:
            where: Scope = PLATFORM if scope == PLATFORM.key else Tenant(TenantId(str(scope)))
        except SecretsError:
            return
        self._put(where, str(path), None)

    def _put(self, scope: Scope, raw_path: str, version: int | None) -> None:
        try:
            key = (scope, SecretPath.parse(raw_path))
        except SecretsError:  # nobody can have it in a cache
            return
        if key not in self._outbox and len(self._outbox) >= _OUTBOX:
            self._everything = True
            self._outbox.clear()
        if not self._everything:
            self._outbox[key] = version
        self._woken.set()

    # ------------------------------------------------------------ the connection

    async def _keep(self) -> None:
        backoff = Backoff(random.random)
        while not self._leaving:
            if await reported(self._session(), name="change_feed"):
                backoff = Backoff(random.random)
            self.listening = False
            if not self._leaving:
                await anyio.sleep(backoff.next())

    async def _session(self) -> bool:
        """Listen and tell until the connection ends; return whether there was one."""
        try:
            with anyio.fail_after(_DEADLINE):
                connection = await self._connect()
        except (*_FAILURES, SecretsError) as error:  # ours: a password file that cannot be read
            self._note(error)
            return False
        try:
            with anyio.fail_after(_DEADLINE):
                await connection.add_listener(CHANNEL, self._hear)
            connection.add_termination_listener(lambda *_: self._woken.set())
            self._begin()
            await self._converse(connection)
        except _FAILURES as error:
            self._note(error)
        finally:
            connection.terminate()
        return True

    def _begin(self) -> None:
        # In this order: what is told from now on is heard, what was told before is read anew.
        self.listening = True
        self._told_at = None
        self._replicas.clear()
        self._revalidation.everything("connected")
        if self._lost:
            self._lost = ""
            _log.info("change_feed.back")

    def _note(self, error: Exception) -> None:
        name = type(error).__name__
        if name != self._lost:  # once for each reason: an outage is no flood of lines
            self._lost = name
            _log.warning("change_feed.lost", extra={"error": name})

    async def _converse(self, connection: NoticeConnection) -> None:
        beat_at = self._clock()  # at once: others have to know who may fall silent
        while True:
            self._woken = anyio.Event()
            now = self._clock()
            if connection.is_closed():
                raise ConnectionResetError
            if self._told_at is not None and now >= self._told_at + _DEADLINE:
                raise TimeoutError  # we are not heard, or hear nothing
            if self._outbox or self._everything or self._leaving or now >= beat_at:
                await self._send(connection)
                beat_at = self._clock() + _BEAT
            if self._leaving:
                return
            self._look_for_the_dead(now)
            with anyio.move_on_after(max(0.0, min(beat_at - now, _BEAT))):
                await self._woken.wait()

    async def _send(self, connection: NoticeConnection) -> None:
        outbox, everything = self._outbox, self._everything
        self._outbox, self._everything = {}, False
        notices = [self._changed(*key, version) for key, version in outbox.items()]
        if everything:
            notices.append(self._next(Kind.EVERYTHING))
        if self._leaving:
            notices.append(self._plain(Kind.LEFT))
        elif not notices:
            notices.append(self._plain(Kind.ALIVE))
        self._told_at = self._told_at or self._clock()
        try:
            with anyio.fail_after(_DEADLINE):
                await connection.execute(_TELL, CHANNEL, [notice.payload() for notice in notices])
        except BaseException:
            # Told or not: it is told once more, to those who can hear it then.
            self._everything = self._everything or everything
            for (scope, path), version in outbox.items():
                self._put(scope, str(path), version)
            raise

    def _plain(self, kind: Kind) -> Notice:
        return Notice(kind=kind, origin=self._origin, seq=self._seq)

    def _next(self, kind: Kind) -> Notice:
        self._seq += 1
        return self._plain(kind)

    def _changed(self, scope: Scope, path: SecretPath, version: int | None) -> Notice:
        self._seq += 1
        return Notice(
            kind=Kind.CHANGED,
            origin=self._origin,
            seq=self._seq,
            scope=scope,
            path=path,
            version=version,
        )

    # ------------------------------------------------------------ what is heard

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        notice = Notice.parse(payload)
        if notice is None:
            self._revalidation.everything("malformed")
        elif notice.origin == self._origin:
            self._told_at = None
        else:
            self._follow(notice)
            if notice.kind is Kind.EVERYTHING:
                self._revalidation.everything("told")
            elif notice.path is not None:
                self._revalidation.path(notice.scope.key, str(notice.path))

    def _follow(self, notice: Notice) -> None:
        """Compare a replica's number with the one before. A number is never a reason to leave a
        message out: it may be forged.
        """
        counts = notice.kind in {Kind.CHANGED, Kind.EVERYTHING}
        known = self._replicas.pop(notice.origin, None)
        if known is not None and notice.seq != known[0] + counts:
            self._revalidation.everything("gap")
        if notice.kind is Kind.LEFT:
            return
        if len(self._replicas) >= _REPLICAS:
            self._replicas.pop(next(iter(self._replicas)))
            self._revalidation.everything("crowd")
        self._replicas[notice.origin] = (notice.seq, self._clock())

    def _look_for_the_dead(self, now: float) -> None:
        """A replica that died between a write and its telling has told nobody."""
        for origin, (_, heard_at) in list(self._replicas.items()):
            if now >= heard_at + _SILENT:
                del self._replicas[origin]
                self._revalidation.everything("silent")


async def _end_of(task: Awaitable[None]) -> None:
    await task
