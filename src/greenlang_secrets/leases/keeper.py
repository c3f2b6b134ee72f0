"""`LeaseKeeper`: what is held stays valid, whatever ends meanwhile.

One task for each thing held renews its lease, replaces it before its maximum or before the end
of the token it hangs on, and revokes it when the last holder has let go. What replaced ones
stood for lives on to its own end, since a login begun with it may be under way.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

import anyio

from greenlang_secrets.background import Supervisor, reported
from greenlang_secrets.errors import AccessDenied, LeaseExpired, NotRenewable, SecretsError
from greenlang_secrets.held import Changes, Held, when_dropped
from greenlang_secrets.leases.leased import Ending, Entry, Fetch, Maker
from greenlang_secrets.lifetime import Step
from greenlang_secrets.model import SecretType
from greenlang_secrets.telemetry import Life, Operation, Tally
from greenlang_secrets.vault import VaultClient

__all__ = ["HeldLease", "LeaseKeeper"]

T = TypeVar("T")

_REVOKE_DEADLINE: Final = 3.0
"""Seconds for all revocations at the end; the token's own, which follows, ends what is left."""


class _Gone(RuntimeError):
    """Nobody holds it any more."""

    def __init__(self) -> None:
        super().__init__("this was released, or the service closed; hold it anew")


class HeldLease(Held[T], Generic[T]):
    """A `Held` whose value can be replaced before its time.

    Keep it for as long as the value is in use: one that is dropped is released.
    """

    def __init__(
        self,
        *,
        look: Callable[[], T],
        changes: Changes[T],
        supervisor: Supervisor,
        release: Callable[[], Awaitable[None]],
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(look=look, changes=changes, supervisor=supervisor, release=release)
        self._refresh = refresh

    async def refresh(self) -> T:
        """Replace it now and return the new value: for a login that was refused. Calls at the same
        time share one; cancelling one does not stop it.

        Raises:
            SecretsError: it could not be replaced; what was held before stays.
            RuntimeError: it was released, or the service closed.
        """
        if self._released:
            raise _Gone
        try:
            await self._refresh()
        except SecretsError as error:
            raise error.again() from None
        return self.current


class _Kept:
    """An entry, the tasks that work on it, and the handles that were given out."""

    def __init__(self, entry: Entry[Any], keeper: LeaseKeeper) -> None:
        self.entry = entry
        self.keeper = keeper
        self.handles: WeakSet[HeldLease[Any]] = WeakSet()
        self.replacing: asyncio.Task[None] | None = None
        self.keeping: asyncio.Task[None] | None = None
        self.moving: asyncio.Task[None] | None = None


class LeaseKeeper:
    """Keeps leases for as long as they are held; `close` revokes them."""

    def __init__(
        self,
        client: VaultClient,
        supervisor: Supervisor,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally or Tally()
        self._client = client
        self._supervisor = supervisor
        self._clock = clock
        self._chance = chance
        self._kept: dict[Hashable, _Kept] = {}
        self._left: list[Ending] = []
        self._working: set[asyncio.Task[None]] = set()
        self._closed = False
        client.session.on_replaced(self._wake_all)

    @property
    def holding(self) -> int:
        """How many different things are held."""
        return len(self._kept)

    def lives(self, *, about: str | None = None) -> list[Life]:
        """Return how long everything held lives, or what was made with the secret at `about`; from
        any thread.
        """
        kept = [each.entry for each in list(self._kept.values())]
        wanted = [entry for entry in kept if about in {None, entry.about}]
        return [life for entry in wanted if (life := entry.life()) is not None]

    async def hold(
        self,
        key: Hashable,
        fetch: Fetch[T],
        *,
        secret_type: SecretType = SecretType.GENERIC,
        about: str | None = None,
    ) -> HeldLease[T]:
        """Return a handle on what `fetch` gets, kept valid until it is released or dropped.

        Whoever holds the same `key` shares one lease; `about` is the path of a secret that it was
        made with. A cancelled call lets go of what it waited for; the last to let go revokes it.

        Raises:
            SecretsError: what the first fetch raised.
            RuntimeError: the service is closed.
        """
        self._check_open()
        kept = self._kept.get(key)
        if kept is None:
            kept = _Kept(Entry(key, fetch, self._clock, secret_type, about=about), self)
            self._kept[key] = kept
        entry = kept.entry
        entry.holders += 1
        try:
            if entry.leased is None:
                await kept.keeper._replace(kept)
            kept.keeper._check_open()  # noqa: SLF001  another of this class, after a hand-over
        except BaseException as error:
            await kept.keeper._let_go(kept)  # noqa: SLF001  the same
            if isinstance(error, SecretsError):
                raise error.again() from None
            raise
        return kept.keeper._handle(kept)  # noqa: SLF001  the same

    def _handle(self, kept: _Kept) -> HeldLease[Any]:
        self._begin(kept)

        async def release() -> None:
            keep()
            await kept.keeper._let_go(kept)  # noqa: SLF001  the same

        async def refresh() -> None:
            await kept.keeper._replace(kept)

        handle: HeldLease[Any] = HeldLease(
            look=kept.entry.look,
            changes=kept.entry.changes,
            supervisor=self._supervisor,
            release=release,
            refresh=refresh,
        )
        keep = when_dropped(handle, lambda: kept.keeper._dropped(kept))  # noqa: SLF001  the same
        kept.handles.add(handle)
        return handle

    async def hand_over(self, successor: LeaseKeeper) -> None:
        """Have everything held here issued anew by `successor` and kept there; holders are told as
        of any change. What was held before lives until this keeper closes. Cancelling does not
        stop it.

        Raises:
            SecretsError: some could not be issued; those are still kept here, so call again.
            RuntimeError: the successor is closed.
        """
        kept = list(self._kept.values())
        for each in kept:
            if each.moving is None:
                each.moving = self._work(self._give(each, successor), name="leases.hand_over")
        moves = [asyncio.shield(each.moving) for each in kept if each.moving is not None]
        for answer in await asyncio.gather(*moves, return_exceptions=True):
            if isinstance(answer, SecretsError):
                raise answer.again()
            if answer is not None:
                raise answer

    async def close(self) -> None:
        """Revoke everything, what is being made among it, within 3 s; what cannot be revoked ends
        with its token.

        Handles that are still held have no value from now on.
        """
        self._closed = True
        kept, self._kept = list(self._kept.values()), {}
        endings, self._left = self._left, []
        for each in kept:
            self._stop(each)
            endings += each.entry.give_up()
        if endings:
            self._work(self._revoke_all(endings), name="leases.revoke")
        with anyio.move_on_after(_REVOKE_DEADLINE):
            while self._working:  # a fetch under way revokes what it has made
                await asyncio.wait(self._working)

    # ------------------------------------------------------------ keeping

    def _work(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run what is not to be cancelled with who waits for it: what Vault has made by then would
        be known to nobody.
        """
        task = self._supervisor.spawn(work, name=name)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return task

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the service is closed; open it anew")

    def _begin(self, kept: _Kept) -> None:
        if kept.keeping is None and kept.moving is None and not kept.entry.closed:
            kept.keeping = self._supervisor.spawn(self._keep(kept), name="leases.keep")

    def _wake_all(self) -> None:
        for kept in self._kept.values():
            kept.entry.woken.set()

    async def _keep(self, kept: _Kept) -> None:
        entry = kept.entry
        while True:
            entry.woken = anyio.Event()
            step = entry.plan(self._chance())
            next_end = entry.drop_ended()
            with anyio.move_on_after(max(0.0, min(step.at, next_end) - self._clock())):
                await entry.woken.wait()
                continue
            if self._clock() >= step.at:  # or else only an old lease has ended
                await self._attempt(kept, step)

    async def _attempt(self, kept: _Kept, step: Step) -> None:
        if await reported(self._take(kept, step), name="leases.keep") is None:
            kept.entry.term = kept.entry.term.failed(self._clock())

    async def _take(self, kept: _Kept, step: Step) -> bool:
        """Do a step; a failure is noted in the term, for the next plan."""
        entry = kept.entry
        try:
            async with asyncio.timeout(step.within):
                if step.action == "renew":
                    await self._renew(entry)
                else:
                    await self._replace(kept)
        except LeaseExpired:
            entry.term = entry.term.bounded(self._clock(), self._clock())
        except (NotRenewable, AccessDenied) as error:
            entry.error = error.again()
            entry.term = entry.term.unrenewable()
            if step.action == "replace":
                entry.term = entry.term.failed(self._clock())
        except (SecretsError, TimeoutError) as error:
            entry.error = error.again() if isinstance(error, SecretsError) else entry.error
            entry.term = entry.term.failed(self._clock())
        return True

    async def _renew(self, entry: Entry[Any]) -> None:
        with self._tally.counting(Operation.RENEW, entry.secret_type):
            renewed = await self._client.leases.renew(entry.lease_id, increment=entry.term.wanted)
        entry.error = None
        entry.term = entry.term.renewed(
            granted_at=renewed.asked_at,
            duration=renewed.lease.duration,
            renewable=renewed.lease.renewable,
        )

    async def _replace(self, kept: _Kept) -> None:
        """Fetch anew, once for all who ask at the same time."""
        if kept.entry.closed:
            raise _Gone
        if kept.replacing is None or kept.replacing.done():
            kept.replacing = self._work(self._fetch(kept), name="leases.fetch")
        await asyncio.shield(kept.replacing)

    async def _fetch(self, kept: _Kept) -> None:
        entry, maker = kept.entry, Maker()
        try:
            with self._tally.counting(Operation.ISSUE, entry.secret_type):
                leased = await entry.fetch(partial(self._client.session.call, made_by=maker))
            token = maker.take() if leased.lease_id else None
        finally:
            maker.let_go()
        if not entry.closed:
            entry.adopt(leased, token)
            entry.woken.set()
            return
        # All who waited were cancelled or have let go, or the service closes.
        if token is not None:
            await self._revoke_all([Ending(leased.lease_id, token, leased.term, entry.secret_type)])
        raise _Gone

    async def _give(self, kept: _Kept, successor: LeaseKeeper) -> None:
        entry = kept.entry
        self._stop(kept)
        try:
            while kept.replacing is not None and not kept.replacing.done():
                await asyncio.wait({kept.replacing})
            successor._check_open()
            kept.replacing = successor._work(successor._fetch(kept), name="leases.fetch")
            await asyncio.shield(kept.replacing)
            successor._check_open()
        except _Gone:
            return  # its last holder has let go meanwhile
        except BaseException:
            kept.moving = None
            self._begin(kept)
            raise
        kept.moving = None
        if not entry.closed:
            # The one that was replaced, and those before it, are this keeper's to revoke.
            self._left += entry.endings
            entry.endings = []
            del self._kept[entry.key]
            successor._take_in(kept)

    def _take_in(self, kept: _Kept) -> None:
        kept.keeper = self
        if kept.entry.key in self._kept:  # two that were opened apart are kept side by side
            kept.entry.key = (kept.entry.key, object())
        self._kept[kept.entry.key] = kept
        for handle in kept.handles:
            handle.move_to(self._supervisor)
        self._begin(kept)

    # ------------------------------------------------------------ letting go

    def _stop(self, kept: _Kept) -> None:
        if kept.keeping is not None:
            kept.keeping.cancel()
            kept.keeping = None

    def _dropped(self, kept: _Kept) -> None:
        with suppress(RuntimeError):  # the service is closed, and nothing is held any more
            self._work(self._let_go(kept), name="leases.dropped")

    async def _let_go(self, kept: _Kept) -> None:
        entry = kept.entry
        entry.holders -= 1
        if entry.holders > 0 or entry.closed:
            return
        del self._kept[entry.key]
        self._stop(kept)
        if endings := entry.give_up():
            await asyncio.shield(self._work(self._revoke_all(endings), name="leases.revoke"))

    async def _revoke_all(self, endings: list[Ending]) -> None:
        """Revoke what has not ended; in a task, since nobody else knows these leases."""
        with anyio.move_on_after(_REVOKE_DEADLINE):
            await asyncio.gather(*(self._revoke_one(ending) for ending in endings))

    async def _revoke_one(self, ending: Ending) -> None:
        try:
            if self._clock() < ending.ends_at:
                with self._tally.counting(Operation.REVOKE, ending.secret_type):
                    await self._client.leases.revoke(ending.lease_id, wait=True)
        except SecretsError:
            return  # it ends with its token, or by itself
        finally:
            ending.token.release()
