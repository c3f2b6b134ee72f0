"""ExternalSecrets and PushSecrets, watched in the Kubernetes API for as long as the service runs.

One loop for each kind and namespace: list, then watch from there. A stream that ends or breaks
goes on where it was; after anything else the list is read anew, which finds what was missed.
Nothing that goes wrong ends a loop, and the service does not depend on one.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import anyio

from greenlang_secrets.background import Supervisor, reported
from greenlang_secrets.retry import Backoff
from greenlang_secrets_api.eso_api import MAX_PAGES, EsoApi, Place, Trouble, TroubleError
from greenlang_secrets_api.eso_config import EsoConfig, WatchPace
from greenlang_secrets_api.eso_gauges import EsoSeries, instruments
from greenlang_secrets_api.eso_objects import (
    EXTERNAL_SECRETS,
    PUSH_SECRETS,
    MalformedError,
    Refused,
    Removed,
    Seen,
    SyncStatus,
    Unreadable,
    parse_event,
)
from greenlang_secrets_api.eso_syncs import EsoSyncs, Watched
from greenlang_secrets_api.metrics import Metrics

__all__ = ["EsoWatch", "PlaceWatch"]

_log: Final = logging.getLogger("greenlang_secrets_api.eso")

_RESUMED: Final = frozenset({Trouble.DISCONNECTED, Trouble.SILENT})
"""After these the stream goes on where it was: nothing is wrong with the place."""

_EXPECTED: Final = _RESUMED | {Trouble.GONE}
"""What happens to every long watch: counted, and told as information only."""

_ADVICE: Final = {
    Trouble.CREDENTIALS: "let the service read its token and authority files",
    Trouble.UNAUTHENTICATED: "give a service account's token that has not expired",
    Trouble.DENIED: "apply k8s/monitoring/eso-watch-rbac.yaml",
    Trouble.NOT_SERVED: "install the External Secrets Operator with its CRDs",
    Trouble.TOO_MANY: "raise GREENLANG_SECRETS_ESO_MAX_SECRETS",
}


class PlaceWatch:
    """Keeps up with one kind of objects, in one namespace or in all.

    Attributes:
        connected: whether a watch stands, or a kind that a cluster may do without is not served.
    """

    def __init__(
        self,
        place: Place,
        api: EsoApi,
        syncs: EsoSyncs,
        errors: dict[Trouble, int],
        *,
        pace: WatchPace,
        chance: Callable[[], float],
    ) -> None:
        self._place = place
        self._api = api
        self._syncs = syncs
        self._errors = errors
        self._pace = pace
        self._chance = chance
        self._watched = Watched(lost_at=time.monotonic())
        self._version = ""
        self._from = ""
        """The resource version up to which everything is known; empty if a list is needed."""
        self._opened_at = math.inf
        self._told: set[Trouble] = set()
        self._absent = False

    @property
    def connected(self) -> bool:
        """Whether there is nothing that it is not told of."""
        return self._watched.lost_at is None or self._absent

    async def run(self) -> None:
        """Watch for ever."""
        backoff = self._backoff()
        while True:
            self._opened_at = math.inf
            ended = await reported(self._turn(), name="eso watch")
            if ended is None:
                ended = TroubleError(Trouble.INTERNAL)
            steady = self._lasted() >= self._pace.steady
            if steady:
                backoff = self._backoff()
            if isinstance(ended, TroubleError):
                self._lose(ended)
                await anyio.sleep(self._wait(ended, backoff))
            elif not steady:
                # A server that ends each watch at once must not be asked without a pause.
                await anyio.sleep(backoff.next())

    def _lasted(self) -> float:
        """Seconds since the stream of this turn began; negative if none did."""
        return time.monotonic() - self._opened_at

    def _backoff(self) -> Backoff:
        return Backoff(self._chance, first=self._pace.first_wait, longest=self._pace.longest_wait)

    def _wait(self, ended: TroubleError, backoff: Backoff) -> float:
        if self._absent:
            return self._pace.absent_wait * (0.5 + self._chance() / 2)
        # The longer of the two: what is asked for may be 0.
        return max(backoff.next(), ended.retry_after or 0.0)

    async def _turn(self) -> TroubleError | str:
        """List if need be, and watch until it ends: why, or an empty text if as it should."""
        try:
            if not self._from:
                await self._list()
            await self._follow()
        except TroubleError as error:
            return error
        return ""

    async def _list(self) -> None:
        """Read everything there is, and drop what is not there any more."""
        *newer, oldest = self._place.kind.versions
        for version in newer:
            try:
                return await self._list_version(version)
            except TroubleError as error:
                if error.trouble is not Trouble.NOT_SERVED:
                    raise
        return await self._list_version(oldest)

    async def _list_version(self, version: str) -> None:
        labels, self._from = await self._pages(version)
        self._version = version
        self._syncs.keep_only(labels, self._watched)

    async def _pages(self, version: str) -> tuple[set[str], str]:
        """Take in a list page by page: the labels on it, and its resource version."""
        labels: set[str] = set()
        token = ""
        for _ in range(MAX_PAGES):
            page = await self._api.page(self._place, version, token)
            for status in page.statuses:
                if self._see(status):
                    labels.add(status.label)
            for _ in range(page.unreadable):
                self._tell(TroubleError(Trouble.INVALID))
            if not page.next_page:
                return labels, page.resource_version
            token = page.next_page
        raise TroubleError(Trouble.INVALID)

    async def _follow(self) -> None:
        """Watch from where everything is known until the server ends it."""
        seconds = int(self._pace.watch_for * (1 - self._chance() / 4)) or 1
        # A server that does not end it is left, so that a right that was taken away is noticed.
        with anyio.move_on_after(seconds + self._pace.open_within):
            async with self._api.watch(
                self._place, self._version, self._from, seconds=seconds
            ) as incoming:
                self._stand()
                async for line in incoming:
                    if line is None:
                        self._tell(TroubleError(Trouble.INVALID))
                    else:
                        self._hear(line)

    def _hear(self, line: bytes) -> None:
        """Take in one line of a watch."""
        try:
            event = parse_event(line, self._place.kind)
        except MalformedError:
            raise TroubleError(Trouble.INVALID) from None
        match event:
            case Refused(code=410):
                raise TroubleError(Trouble.GONE)
            case Refused():
                raise TroubleError(Trouble.UNAVAILABLE)
            case Seen():
                self._see(event.status)
            case Removed():
                self._syncs.forget(event.label)
            case Unreadable():
                self._tell(TroubleError(Trouble.INVALID))
        self._from = event.resource_version

    def _see(self, status: SyncStatus) -> bool:
        if self._syncs.see(status, self._watched):
            return True
        self._tell(TroubleError(Trouble.TOO_MANY))
        return False

    def _stand(self) -> None:
        """A watch has begun."""
        self._opened_at = time.monotonic()
        if self._watched.lost_at is not None:
            _log.info("eso_watch.connected", extra=self._where())
        self._watched.lost_at = None
        self._absent = False
        # What there is no room for stays so, and is said once for each process.
        self._told &= {Trouble.TOO_MANY}

    def _lose(self, error: TroubleError) -> None:
        """A watch has ended badly, or not begun."""
        if self._watched.lost_at is None:
            self._watched.lost_at = time.monotonic()
        if error.trouble not in _RESUMED:
            self._from = ""
        self._absent = error.trouble is Trouble.NOT_SERVED and self._place.kind.optional
        if error.trouble is Trouble.NOT_SERVED:
            self._syncs.keep_only((), self._watched)
        self._tell(error)

    def _tell(self, error: TroubleError) -> None:
        """Count a trouble, and log the first of its kind since the watch stood."""
        self._errors[error.trouble] += 1
        if error.trouble in self._told:
            return
        self._told.add(error.trouble)
        quiet = error.trouble in _EXPECTED or self._absent
        advice = _ADVICE.get(error.trouble)
        _log.log(
            logging.INFO if quiet else logging.WARNING,
            "eso_watch.trouble",
            extra={
                **self._where(),
                "reason": error.trouble.value,
                **({"error": error.error} if error.error else {}),
                **({"advice": advice} if advice else {}),
            },
        )

    def _where(self) -> dict[str, str]:
        return {
            "resource": self._place.kind.resource,
            "namespace": self._place.namespace or "all",
        }


class EsoWatch:
    """All loops of a service, and what they have found.

    Attributes:
        syncs: the counts of each object.
        errors: how often each trouble was met.
        api: what asks the API server.
    """

    def __init__(self, config: EsoConfig, api: EsoApi, *, chance: Callable[[], float]) -> None:
        self.syncs = EsoSyncs(config.max_secrets)
        self.errors = dict.fromkeys(Trouble, 0)
        self.api = api
        self._places: Sequence[PlaceWatch] = [
            PlaceWatch(
                Place(kind=kind, namespace=namespace),
                api,
                self.syncs,
                self.errors,
                pace=config.pace,
                chance=chance,
            )
            for kind in (EXTERNAL_SECRETS, PUSH_SECRETS)
            for namespace in config.namespaces or (None,)
        ]

    @property
    def connected(self) -> bool:
        """Whether every watch stands."""
        return all(place.connected for place in self._places)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        config: EsoConfig,
        metrics: Metrics,
        *,
        chance: Callable[[], float] = random.random,
    ) -> AsyncIterator[EsoWatch | None]:
        """Yield it, watching from now on; None if it is switched off. `chance` draws from 0 to 1.

        An API server that is away does not keep it from opening: it is waited for. Leaving ends
        the requests under way and takes the series of secrets back.
        """
        if not config.enabled:
            yield None
            return
        connector = aiohttp.TCPConnector(limit=0)  # each watch holds a connection
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            watch = cls(config, EsoApi(config, session), chance=chance)
            instruments(metrics.provider, connected=lambda: watch.connected, errors=watch.errors)
            with metrics.collecting(EsoSeries(watch.syncs)):
                async with Supervisor() as supervisor:
                    for place in watch._places:
                        supervisor.spawn(place.run(), name="eso watch")
                    yield watch
