"""Who in this process uses which version of a secret that is rotated.

Whoever retires a credential wants to know who still uses the one before. Followed paths are
asked, pools register, and the service notes its REST readers. Nothing here is on the way of a
read from the cache, and nothing waits; who writes it all down is `rotation.consumers`.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Final

from greenlang_secrets.errors import SecretsError
from greenlang_secrets.paths import PLATFORM, Scope, Tenant, TenantId
from greenlang_secrets.rotation_model import ConsumerKind, ConsumerReport

__all__ = ["LIVES_FOR", "ConsumerRegistry", "Registered"]

LIVES_FOR: Final = 30.0
"""Seconds for which a watch or a pool counts as alive: three reports, of which two may be lost."""

_GAP: Final = 900.0  # seconds a REST reader counts, until the promotion gap is known
_MOST: Final = 10_000
"""REST readers that are remembered. Of more, those who read longest ago are forgotten: the
overlap is never shorter than the gap, so it covers them all the same.
"""

Place = tuple[str, str]
"""A scope's key, and a path in it."""


class Registered:
    """A consumer that registered; it counts until `close`."""

    def __init__(
        self,
        registry: ConsumerRegistry,
        *,
        consumer: str,
        kind: ConsumerKind,
        principal: str,
        version: Callable[[], int | None],
    ) -> None:
        self.consumer = consumer
        self.kind = kind
        self.principal = principal
        self._registry = registry
        self._version = version

    @property
    def version(self) -> int | None:
        """The oldest version it uses now; None if that is none, or cannot be told."""
        with suppress(SecretsError):
            return self._version()
        return None

    def close(self) -> None:
        """Count no more; a second call does nothing."""
        self._registry.remove(self)


class ConsumerRegistry:
    """The consumers of one process.

    Attributes:
        instance: this process's name: its host, its number, and what tells it from the others
            that had both.
        rotated: scope keys and paths of the secrets that have a policy; others are not counted.
        readers_live_for: seconds for which a REST reader counts after a read: the promotion gap,
            as it may keep what it read for as long.
    """

    def __init__(
        self,
        *,
        watched: Callable[[Hashable, Hashable], int | None] = lambda _scope, _path: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`watched` gives the version that those have who follow a path of a scope."""
        self.instance = f"{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(4)}"
        self.rotated: frozenset[Place] = frozenset()
        self.readers_live_for = _GAP
        self._watched = watched
        self._clock = clock
        self._registered: dict[Registered, tuple[Scope, str]] = {}
        self._readers: dict[tuple[Place, str], tuple[int, float]] = {}

    def add(
        self,
        scope: Scope,
        path: str,
        *,
        kind: ConsumerKind,
        name: str,
        principal: str,
        version: Callable[[], int | None],
    ) -> Registered:
        """Count a consumer until it is closed.

        `name` tells it from others of its kind here; two of one name are one consumer, which
        uses the older version of both. `version` is called every few seconds: it must be quick,
        and gives the oldest version in use, None for none. A `SecretsError` of it means None.
        """
        registered = Registered(
            self,
            consumer=f"{kind.value}:{self.instance}:{name}",
            kind=kind,
            principal=principal,
            version=version,
        )
        self._registered[registered] = (scope, path)
        return registered

    def remove(self, registered: Registered) -> None:
        """Do what `Registered.close` says."""
        self._registered.pop(registered, None)

    def read(self, scope: Scope, path: str, *, principal: str, version: int) -> None:
        """Note that somebody was given a secret's newest version, if the secret is rotated."""
        place = (scope.key, path)
        if place not in self.rotated:
            return
        reader = (place, principal)
        self._readers.pop(reader, None)  # so that the first one is who read longest ago
        self._readers[reader] = (version, self._clock())
        if len(self._readers) > _MOST:
            del self._readers[next(iter(self._readers))]

    def reports(self) -> list[ConsumerReport]:
        """Return who uses which rotated secret now, each consumer of a path once."""
        found: dict[tuple[Place, str], ConsumerReport] = {}
        for report in (*self._watching(), *self._registering(), *self._reading()):
            key = ((report.scope.key, report.path), report.consumer)
            known = found.get(key)
            if known is None or report.version < known.version:
                found[key] = report
        return list(found.values())

    def _watching(self) -> list[ConsumerReport]:
        """One consumer for each path that is followed here, however many follow it."""
        return [
            self._report(
                (_scope(key), path),
                consumer=f"{ConsumerKind.WATCH.value}:{self.instance}",
                kind=ConsumerKind.WATCH,
                principal="service",
                version=version,
            )
            for key, path in self.rotated
            if (version := self._watched(key, path)) is not None
        ]

    def _registering(self) -> list[ConsumerReport]:
        return [
            self._report(
                place,
                consumer=each.consumer,
                kind=each.kind,
                principal=each.principal,
                version=version,
            )
            for each, place in self._registered.items()
            if (place[0].key, place[1]) in self.rotated and (version := each.version) is not None
        ]

    def _reading(self) -> list[ConsumerReport]:
        """Those whose time is not over; the others are forgotten."""
        now = self._clock()
        for reader, (_, at) in list(self._readers.items()):
            if reader[0] not in self.rotated or at + self.readers_live_for <= now:
                del self._readers[reader]
        return [
            self._report(
                (_scope(key), path),
                consumer=f"{ConsumerKind.REST.value}:{self.instance}:{principal}",
                kind=ConsumerKind.REST,
                principal=principal,
                version=version,
                lives_for=at + self.readers_live_for - now,
            )
            for ((key, path), principal), (version, at) in self._readers.items()
        ]

    def _report(
        self,
        place: tuple[Scope, str],
        *,
        consumer: str,
        kind: ConsumerKind,
        principal: str,
        version: int,
        lives_for: float = LIVES_FOR,
    ) -> ConsumerReport:
        scope, path = place
        return ConsumerReport(
            scope=scope,
            path=path,
            consumer=consumer,
            kind=kind,
            principal=principal,
            instance=self.instance,
            version=version,
            lives_for=lives_for,
        )


def _scope(key: str) -> Scope:
    return Tenant(TenantId(key)) if key else PLATFORM
