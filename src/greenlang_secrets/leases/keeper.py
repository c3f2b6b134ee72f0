"""`LeaseKeeper`: what is held stays valid, whatever ends meanwhile.

One task for each thing held renews its lease, replaces it before its maximum or before the end
of the token it hangs on, and revokes it when the last holder has let go. What replaced ones
stood for lives on to its own end, since a login begun with it may be under way.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

import anyio

from greenlang_secrets.background import Supervisor, reported
from greenlang_secrets.errors import AccessDenied, LeaseExpired, NotRenewable, SecretsError
from greenlang_secrets.held import Held
from greenlang_secrets.leases.leased import Ending, Entry, Fetch
from greenlang_secrets.lifetime import Step
from greenlang_secrets.vault import VaultClient

__all__ = ["HeldLease", "LeaseKeeper"]

T = TypeVar("T")

_REVOKE_DEADLINE: Final = 3.0
"""Seconds for all revocations at the end; the token's own, which follows, ends what is left."""


class HeldLease(Held[T], Generic[T]):
    """A `Held` whose value can be replaced before its time."""

    def __init__(self, *, refresh: Callable[[], Any], **rest: Any) -> None:
        super().__init__(**rest)
        self._refresh = refresh

    async def refresh(self) -> T:
        """Replace it now and return the new value: for a login that was refused. Calls at the same
        time share one; cancelling one does not stop it.

        Raises:
            SecretsError: it could not be replaced; what was held before stays.
        """
        await self._refresh()
        return self.current


class _Kept:
    """An entry, the tasks that work on it, and the handles that were given out."""

    def __init__(self, entry: Entry[Any], keeper: LeaseKeeper) -> None:
        self.entry = entry
        self.keeper = keeper
        self.handles: set[HeldLease[Any]] = set()
        self.replacing: asyncio.Task[None] | None = None
        self.keeping: asyncio.Task[None] | None = None


class LeaseKeeper:
    """Keeps leases for as long as they are held; `close` revokes them."""

    def __init__(
        self,
        client: VaultClient,
        supervisor: Supervisor,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._supervisor = supervisor
        self._clock = clock
        self._chance = chance
        self._kept: dict[Hashable, _Kept] = {}
        self._left: list[Ending] = []
        client.session.on_replaced(self._wake_all)

    @property
    def holding(self) -> int:
        """How many different things are held."""
        return len(self._kept)

    async def hold(self, key: Hashable, fetch: Fetch[T]) -> HeldLease[T]:
        """Return a handle on what `fetch` gets, kept valid until it is released.

        Whoever holds the same `key` shares one lease. A cancelled call lets go of what it
        waited for; the last to let go revokes it.

        Raises:
            SecretsError: what the first fetch raised.
        """
        kept = self._kept.get(key)
        if kept is None:
            kept = _Kept(Entry(key, fetch, self._clock), self)
            self._kept[key] = kept
        entry = kept.entry
        entry.holders += 1
        try:
            if entry.leased is None:
                await self._replace(kept)
        except BaseException as error:
            await kept.keeper._let_go(kept)  # noqa: SLF001  another of this class, after a hand-over
            if isinstance(error, SecretsError):
                raise error.again() from None
            raise
        self._begin(kept)

        async def release() -> None:
            kept.handles.discard(handle)
            await kept.keeper._let_go(kept)  # noqa: SLF001  the same

        async def refresh() -> None:
            await kept.keeper._replace(kept)

        handle: HeldLease[T] = HeldLease(
            look=entry.look,
            changes=entry.changes,
            supervisor=self._supervisor,
            release=release,
            refresh=refresh,
        )
        kept.handles.add(handle)
        return handle

    async def hand_over(self, successor: LeaseKeeper) -> None:
        """Have everything held here issued anew by `successor` and kept there; holders are told as
        of any change. What was held before lives until this keeper closes.

        Raises:
            SecretsError: some could not be issued; those are still kept here, so call again.
        """
        kept = list(self._kept.values())
        answers = await asyncio.gather(
            *(self._give(each, successor) for each in kept), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, SecretsError):
                raise answer.again()
            if answer is not None:
                raise answer

    async def close(self) -> None:
        """Revoke everything, within 3 s; what cannot be revoked ends with its token.

        Handles that are still held have no value from now on.
        """
        kept, self._kept = list(self._kept.values()), {}
        endings, self._left = self._left, []
        for each in kept:
            self._stop(each)
            endings += each.entry.give_up()
        await self._revoke(endings)

    # ------------------------------------------------------------ keeping

    def _begin(self, kept: _Kept) -> None:
        if kept.keeping is None:
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
            if self._clock() < step.at:
                continue  # only an old lease has ended
            if await reported(self._take(kept, step), name="leases.keep") is None:
                entry.term = entry.term.failed(self._clock())

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
            entry.error = error
            entry.term = entry.term.unrenewable()
            if step.action == "replace":
                entry.term = entry.term.failed(self._clock())
        except (SecretsError, TimeoutError) as error:
            entry.error = error if isinstance(error, SecretsError) else entry.error
            entry.term = entry.term.failed(self._clock())
        return True

    async def _renew(self, entry: Entry[Any]) -> None:
        renewed = await self._client.leases.renew(entry.lease_id, increment=entry.term.wanted)
        entry.error = None
        entry.term = entry.term.renewed(
            granted_at=renewed.asked_at,
            duration=renewed.lease.duration,
            renewable=renewed.lease.renewable,
        )

    async def _replace(self, kept: _Kept) -> None:
        """Fetch anew, once for all who ask at the same time. The fetch is not cancelled with them:
        what Vault has made by then would be known to nobody.
        """
        if kept.replacing is None or kept.replacing.done():
            work = self._fetch(kept, self)
            kept.replacing = self._supervisor.spawn(work, name="leases.fetch")
        await asyncio.shield(kept.replacing)

    async def _fetch(self, kept: _Kept, keeper: LeaseKeeper) -> None:
        # The token before the fetch: should another take over meanwhile, the lease hangs on this
        # one or on one that lives longer.
        token = await keeper._client.session.current()
        token.acquire()
        try:
            leased = await kept.entry.fetch(keeper._client)
        except BaseException:
            token.release()
            raise
        if leased.lease_id:
            kept.entry.adopt(leased, token)
        else:
            kept.entry.adopt(leased, None)
            token.release()
        kept.entry.woken.set()
        if kept.entry.holders == 0:  # all who waited were cancelled, or have let go
            await self._revoke(kept.entry.give_up())

    async def _give(self, kept: _Kept, successor: LeaseKeeper) -> None:
        self._stop(kept)
        if kept.replacing is not None:
            await asyncio.wait({kept.replacing})
        work = self._fetch(kept, successor)
        kept.replacing = self._supervisor.spawn(work, name="leases.hand_over")
        try:
            await asyncio.shield(kept.replacing)
        except BaseException:
            self._begin(kept)
            raise
        # The one that was replaced, and those before it, are this keeper's to revoke.
        self._left += kept.entry.endings
        kept.entry.endings = []
        self._kept.pop(kept.entry.key, None)
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

    async def _let_go(self, kept: _Kept) -> None:
        entry = kept.entry
        entry.holders -= 1
        if entry.holders > 0 or self._kept.get(entry.key) is not kept:
            return
        del self._kept[entry.key]
        self._stop(kept)
        await self._revoke(entry.give_up())

    async def _revoke(self, endings: list[Ending]) -> None:
        """Revoke what has not ended; shielded, since nobody else knows these leases."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(_REVOKE_DEADLINE):
            await asyncio.gather(*(self._revoke_one(ending) for ending in endings))

    async def _revoke_one(self, ending: Ending) -> None:
        try:
            if self._clock() < ending.ends_at:
                await self._client.leases.revoke(ending.lease_id, wait=True)
        except SecretsError:
            return  # it ends with its token, or by itself
        finally:
            ending.token.release()
