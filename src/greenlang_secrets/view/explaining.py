"""Explaining: what is known of one secret, and why a read of it goes as it goes; never its value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from greenlang_secrets.access import Action, require
from greenlang_secrets.cache_entries import Glance
from greenlang_secrets.errors import SecretNotFound, SecretsError
from greenlang_secrets.model import Secret, VersionState
from greenlang_secrets.paths import PLATFORM, KvPath, Scope
from greenlang_secrets.rotation_model import RotationStanding
from greenlang_secrets.view.core import Scoped

__all__ = ["Explaining", "Explanation"]

CacheState = Literal["absent", "fresh", "stale", "expired", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is known of one secret. It holds no value.

    Attributes:
        path, scope: which secret.
        url: what a read asks, at the first of the addresses.
        capability: what a policy must grant there, in Vault's word.
        held: what is granted there; None if Vault did not say.
        version: the newest version in Vault; None if Vault did not say, or there is none.
        state: how that version is; None if Vault did not say.
        cache: what is in the cache of this process. "stale" is given only while Vault gives no
            answer, "expired" no more, and "refused" is a "no" that is remembered for a moment.
        cached_version: None without a value in the cache.
        cached_age: seconds since Vault was asked for what is in the cache; None without.
        expires_at: when Vault deletes the cached version by itself; None if it does not.
        followed: whether somebody in this process watches or holds it.
        leases: how many leases are held that were made with it; of the platform's scope only.
        lease_left: seconds until the first of them ends unless it is renewed; None without.
        rotation: how its rotation stands, where a rotation manager is open in this process; None
            without, and for a secret that was never rotated.
        last_error: the code of the last error known in this process, or met by this very call:
            of who follows it, of the cache, of Vault, of the rotation. None for none.
    """

    path: str
    scope: Scope
    url: str
    capability: str
    held: frozenset[str] | None
    version: int | None
    state: VersionState | Literal["missing"] | None
    cache: CacheState
    cached_version: int | None
    cached_age: float | None
    expires_at: datetime | None
    followed: bool
    leases: int
    lease_left: float | None
    rotation: RotationStanding | None
    last_error: str | None

    @property
    def may_read(self) -> bool | None:
        """Whether the token's policies grant the capability; None if Vault did not say."""
        if self.held is None:
            return None
        return self.capability in self.held or "root" in self.held


class Explaining(Scoped):
    """The part of a view that explains."""

    async def explain(self, path: str) -> Explanation:
        """Return what is known of a secret in Vault and in this process, without its value.

        Asks Vault for the secret's metadata and for what the token may do
        (``POST /v1/sys/capabilities-self``; Vault API: "/sys/capabilities-self"). What Vault does
        not tell is None, and the code of its error is `last_error`: a Vault in trouble does not
        raise. Nothing is read into the cache, and what is there is not touched.

        Raises:
            InvalidPath, ReservedName: the path is outside the grammar.
            AccessDenied: the principal may not read.
        """
        place = self._kv_path(path)
        require(self.context, Action.READ)
        scope = self._scope_key
        glance = self._cache.glance((scope, path, None))
        known = [
            self._core.followers.error_of(scope, path),
            None if glance is None else glance.error,
        ]
        held, unheld = await self._held(place)
        version, state, unread = await self._newest(place)
        rotation, unrotated = await self._standing(path)
        codes = [error.code for error in (*known, unread, unheld, unrotated) if error is not None]
        if rotation is not None and rotation.error_code is not None:
            codes.append(rotation.error_code)
        cached = None if glance is None else glance.value
        leases = self._core.leases.lives(about=path) if self.context.scope == PLATFORM else []
        return Explanation(
            path=path,
            scope=self.context.scope,
            url=f"{self._core.config.addresses[0]}/v1/{place.api('data')}",
            capability="read",
            held=held,
            version=version,
            state=state,
            cache=_state(glance),
            cached_version=None if cached is None else cached.version,
            cached_age=None if glance is None or cached is None else glance.age,
            expires_at=None if cached is None else cached.expires_at,
            followed=self._core.followers.follows(scope, path),
            leases=len(leases),
            lease_left=min((life.left for life in leases), default=None),
            rotation=rotation,
            last_error=codes[0] if codes else None,
        )

    async def _held(self, place: KvPath) -> tuple[frozenset[str] | None, SecretsError | None]:
        try:
            capabilities = self._core.client.capabilities_in(self.context.scope)
            [at] = await capabilities.of_self([place.api("data").text])
        except SecretsError as error:
            return None, error
        return at.capabilities, None

    async def _newest(
        self, place: KvPath
    ) -> tuple[int | None, VersionState | Literal["missing"] | None, SecretsError | None]:
        try:
            metadata = await self._core.client.kv(self.context.scope).read_metadata(place)
        except SecretNotFound:
            return None, "missing", None
        except SecretsError as error:
            return None, None, error
        newest = metadata.current
        if newest is None:
            return None, "missing", None
        return newest.version, newest.state, None

    async def _standing(self, path: str) -> tuple[RotationStanding | None, SecretsError | None]:
        stand = self._core.rotator.stand
        if stand is None:
            return None, None
        try:
            return await stand(self.context, path), None
        except SecretsError as error:
            return None, error


def _state(glance: Glance[Secret] | None) -> CacheState:
    if glance is None:
        return "absent"
    if glance.error is not None:
        return "refused" if glance.fresh else "expired"
    if glance.fresh:
        return "fresh"
    return "stale" if glance.usable else "expired"
