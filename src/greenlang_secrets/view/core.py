"""What every part of a view stands on: the service's shared pieces, one context, one path parser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from greenlang_secrets.access import Action, TenantContext, decide
from greenlang_secrets.cache import SecretCache
from greenlang_secrets.cache_store import Shelf
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.consumers import ConsumerRegistry
from greenlang_secrets.credentials import TypedSecret
from greenlang_secrets.following import Followers
from greenlang_secrets.leases import LeaseKeeper
from greenlang_secrets.model import Secret
from greenlang_secrets.paths import KvPath, SecretPath
from greenlang_secrets.rotation_model import RotationHandle, RotationStanding
from greenlang_secrets.telemetry import Tally
from greenlang_secrets.vault import VaultClient

__all__ = ["Core", "Rotator", "Scoped"]

_BARE: Final[Shelf[Secret]] = {}


class Rotate(Protocol):
    """Begins a rotation."""

    async def __call__(
        self, context: TenantContext, path: str, *, reason: str | None, force: bool
    ) -> RotationHandle:
        """Begin it, as who acts in `context`."""
        ...


class Stand(Protocol):
    """Tells how a rotation stands."""

    async def __call__(self, context: TenantContext, path: str) -> RotationStanding | None:
        """Return it; None for a secret that was never rotated."""
        ...


@dataclass(slots=True)
class Rotator:
    """Where a rotation manager of this process leaves its ways in; None while there is none."""

    rotate: Rotate | None = None
    stand: Stand | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What all views of one service share.

    Attributes:
        consumers: who in this process uses what is rotated.
        rotator: begins rotations.
        typed: what secrets were read into, for as long as each of them lives in the cache or
            anywhere else.
    """

    config: SecretsServiceConfig
    client: VaultClient
    cache: SecretCache[Secret]
    followers: Followers
    leases: LeaseKeeper
    consumers: ConsumerRegistry
    tally: Tally
    rotator: Rotator = field(default_factory=Rotator)
    typed: WeakKeyDictionary[Secret, TypedSecret] = field(default_factory=WeakKeyDictionary)


class Scoped:
    """A principal acting in one scope, with the shared pieces at hand."""

    def __init__(self, core: Core, context: TenantContext) -> None:
        self.context = context
        self._core = core
        self._cache = core.cache
        self._clock = core.cache.clock
        self._scope_key = context.scope.key  # a str: its hash is computed once
        self._may_read = decide(context, Action.READ)
        self._shelf: Shelf[Secret] = _BARE
        self._look_anew()

    @property
    def request_timeout(self) -> float:
        """Seconds that one read may take in all, its retries included."""
        return self._core.config.request_timeout

    def _look_anew(self) -> None:
        """Find the shelf of the scope, where what was just loaded lies; not for who may not read."""
        if self._may_read:
            self._shelf = self._core.cache.shelf(self._scope_key)

    def _kv_path(self, raw_path: str) -> KvPath:
        return KvPath.of(self._core.config.kv_mount, self.context.scope, SecretPath.parse(raw_path))
