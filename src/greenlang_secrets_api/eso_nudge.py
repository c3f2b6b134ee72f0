"""A change that this replica makes has the ExternalSecrets that read it refreshed at once.

A change puts the secret's place into a queue and goes on. A task behind it annotates the objects,
each within a deadline. Whatever goes wrong costs no more than the refresh interval, which does
the same later; so what is queued when the service ends is dropped.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Final

import anyio

from greenlang_secrets.background import Supervisor, reported
from greenlang_secrets.errors import SecretsError
from greenlang_secrets.following import Followers
from greenlang_secrets.paths import PLATFORM, KvPath, Scope, SecretPath, Tenant, TenantId
from greenlang_secrets.retry import Backoff, RetryBudget
from greenlang_secrets_api.eso_api import EsoApi, Trouble, TroubleError
from greenlang_secrets_api.eso_objects import EXTERNAL_SECRETS
from greenlang_secrets_api.eso_syncs import EsoSyncs
from greenlang_secrets_api.eso_watch import EsoWatch

__all__ = ["EsoNudge", "place_of_key"]

_log: Final = logging.getLogger("greenlang_secrets_api.eso")

MOST_WAITING: Final = 1000  # places in the queue
COALESCE: Final = 0.25
"""Seconds in which changes become one. A standby, which the operator may ask, was up to 119 ms behind
(docs/explanation/vault-facts.md); it would copy the old version, and wait the whole interval."""
WITHIN: Final = 5.0  # seconds of one request
ALL_WITHIN: Final = 10.0  # seconds for all that a change is read by
AT_ONCE: Final = 4  # requests
ATTEMPTS: Final = 3  # for one object, while the budget lasts
_AGAIN: Final = frozenset({Trouble.UNREACHABLE, Trouble.UNAVAILABLE})


def place_of_key(key: str, mount: str) -> str:
    """Return the place below the mount that a `remoteRef.key` names.

    As the operator reads it: the mount is cut where the key begins with it, and then ``data/``.
    """
    below = key.removeprefix(f"{mount}/")
    return key if below == key else below.removeprefix("data/")


class EsoNudge:
    """The queue, and the task behind it.

    Args:
        mount: of KV.
        coalesce: seconds in which changes become one.
        within: seconds of one request.
        all_within: seconds for all that is nudged at a time.
        most: places in the queue; beyond, the oldest is dropped.
    """

    def __init__(
        self,
        api: EsoApi,
        syncs: EsoSyncs,
        *,
        mount: str,
        coalesce: float = COALESCE,
        within: float = WITHIN,
        all_within: float = ALL_WITHIN,
        most: int = MOST_WAITING,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._api = api
        self._syncs = syncs
        self._mount = mount
        self._coalesce = coalesce
        self._within = within
        self._all_within = all_within
        self._free = anyio.Semaphore(AT_ONCE)
        self._most = most
        self._chance = chance
        self._budget = RetryBudget()
        self._waiting: dict[str, None] = {}
        self._woken = anyio.Event()
        self._told: set[str] = set()

    @property
    def waiting(self) -> tuple[str, ...]:
        """The places in the queue, the oldest first."""
        return tuple(self._waiting)

    def changed(self, scope: Hashable, path: Hashable) -> None:
        """Note that this replica has changed a secret. Never waits and never raises."""
        try:
            where: Scope = PLATFORM if scope == PLATFORM.key else Tenant(TenantId(str(scope)))
            place = KvPath.of(self._mount, where, SecretPath.parse(str(path)))
        except SecretsError:  # the service's own entries: no ExternalSecret is made for them
            return
        key = "/".join(place.segments)
        if key not in self._waiting and len(self._waiting) >= self._most:
            del self._waiting[next(iter(self._waiting))]
            self._tell("full", "nothing: the refresh interval does the work")
        self._waiting[key] = None
        self._woken.set()

    async def run(self) -> None:
        """Annotate for ever."""
        while True:
            await self._woken.wait()
            await anyio.sleep(self._coalesce)
            self._woken = anyio.Event()
            places = frozenset(self._waiting)
            self._waiting.clear()
            await reported(self._nudge(places), name="eso nudge")

    async def _nudge(self, places: frozenset[str]) -> None:
        """Annotate what reads these; one that hangs holds up no other for long."""
        with anyio.move_on_after(self._all_within) as scope:
            async with anyio.create_task_group() as tasks:
                for label in self._readers(places):
                    namespace, _, name = label.partition("/")
                    tasks.start_soon(self._in_turn, namespace, name)
        if scope.cancelled_caught:
            self._tell(Trouble.SILENT.value)

    def _readers(self, places: frozenset[str]) -> list[str]:
        """Return the labels of the objects that read one of these places.

        What never syncs by itself is left out: somebody has wanted it so.
        """
        return [
            each.status.label
            for each in self._syncs.counted()
            if each.status.refreshed_every is not None
            and any(place_of_key(key, self._mount) in places for key in each.status.reads)
        ]

    async def _in_turn(self, namespace: str, name: str) -> None:
        async with self._free:
            self._budget.deposit()
            await self._annotate(namespace, name)

    async def _annotate(self, namespace: str, name: str) -> None:
        backoff = Backoff(self._chance)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._send(namespace, name)
            except TroubleError as error:
                again = error.trouble in _AGAIN and attempt < ATTEMPTS and self._budget.withdraw()
                if not again:
                    self._fail(error)
                    return
                await anyio.sleep(max(backoff.next(), error.retry_after or 0.0))
            else:
                # What one namespace denies, another may allow: that is said once.
                self._told &= {Trouble.DENIED.value}
                return

    async def _send(self, namespace: str, name: str) -> None:
        stamp = str(time.time_ns())
        *newer, oldest = EXTERNAL_SECRETS.versions
        for version in newer:
            try:
                return await self._api.force_sync(
                    namespace, name, version, stamp, within=self._within
                )
            except TroubleError as error:
                if error.trouble is not Trouble.NOT_SERVED:
                    raise
        return await self._api.force_sync(namespace, name, oldest, stamp, within=self._within)

    def _fail(self, error: TroubleError) -> None:
        if error.trouble is Trouble.NOT_SERVED:  # it has been deleted since
            return
        advice = "apply k8s/monitoring/eso-nudge-rbac.yaml"
        self._tell(error.trouble.value, advice if error.trouble is Trouble.DENIED else "")

    def _tell(self, reason: str, advice: str = "") -> None:
        """Log the first of its kind since a nudge went through."""
        if reason not in self._told:
            self._told.add(reason)
            more = {"advice": advice} if advice else {}
            _log.warning("eso_nudge.trouble", extra={"reason": reason, **more})

    @classmethod
    @asynccontextmanager
    async def open(
        cls, watch: EsoWatch | None, followers: Followers, *, enabled: bool, mount: str
    ) -> AsyncIterator[None]:
        """Nudge for what `followers` are told that this replica has changed, if `enabled`."""
        if watch is None or not enabled:
            yield
            return
        nudge = cls(watch.api, watch.syncs, mount=mount)
        async with Supervisor() as supervisor:
            supervisor.spawn(nudge.run(), name="eso nudge")
            followers.told.append(nudge.changed)
            try:
                yield
            finally:
                followers.told.remove(nudge.changed)
