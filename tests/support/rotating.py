"""Rotations by hand: the steps of a handler, called as an owner of the record would."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, KvPath, Scope, SecretPath
from greenlang_secrets.rotation.handler import Prepared, Rotation, RotationHandler, Subject
from greenlang_secrets.rotation_model import RotationPolicy
from greenlang_secrets.sensitive import SecretMap

GAP = 900.0
STEPS = ("prepare", "apply", "verify", "promote", "retire")


async def _no_progress(numbers: Mapping[str, int], notes: Mapping[str, str]) -> None:
    """Keep no claim alive: there is none."""


@dataclass
class ByHand:
    """One secret in Vault and the handler that rotates it; keeps what a record would keep."""

    client: Any
    handler: RotationHandler
    kv_mount: str
    settings: dict[str, str]
    path: SecretPath = field(default_factory=lambda: SecretPath.parse("database/app"))
    scope: Scope = PLATFORM
    type: SecretType = SecretType.DATABASE

    @property
    def place(self) -> KvPath:
        """Where the secret is."""
        return KvPath.of(self.kv_mount, self.scope, self.path)

    async def live(self) -> SecretMap:
        """Return what the secret holds now."""
        return (await self.client.kv(self.scope).read(self.place)).data

    async def subject(self, **settings: str) -> Subject:
        """Return what a policy with these settings on top would be checked with."""
        secret = await self.client.kv(self.scope).read(self.place)
        return Subject(
            scope=self.scope,
            path=self.path,
            policy=RotationPolicy(
                kind=self.handler.kind, interval=86400.0, settings={**self.settings, **settings}
            ),
            type=self.type,
            version=secret.version,
            data=secret.data,
            promotion_gap=GAP,
        )

    async def claim(self, *, fence: int, **settings: str) -> Rotation:
        """Begin a rotation of the secret as it is now."""
        secret = await self.client.kv(self.scope).read(self.place)
        return Rotation(
            id=secrets.token_hex(16),
            fence=fence,
            scope=self.scope,
            path=self.path,
            settings={**self.settings, **settings},
            base_version=secret.version,
            current=secret.data,
            candidate=None,
            notes={},
            promotion_gap=GAP,
            progress=_no_progress,
        )

    async def step(self, rotation: Rotation, name: str) -> Rotation:
        """Take one step; return the rotation with what it brought."""
        if name == "promote":
            await self.promote(rotation)
            return rotation
        prepared: Prepared | None = await getattr(self.handler, name)(rotation)
        if prepared is None:
            return rotation
        return replace(
            rotation,
            candidate=rotation.candidate if prepared.candidate is None else prepared.candidate,
            notes={**rotation.notes, **prepared.notes},
        )

    async def promote(self, rotation: Rotation) -> None:
        """Write the candidate as the next version, once."""
        assert rotation.candidate is not None
        kv = self.client.kv(self.scope)
        now = await kv.read(self.place, consistent=True)
        if now.version != rotation.base_version + 1 or now.data != rotation.candidate:
            await kv.write(self.place, rotation.candidate.reveal(), cas=rotation.base_version)

    async def rotate(self, *, fence: int, until: str = "retire", **settings: str) -> Rotation:
        """Take all steps up to `until`."""
        rotation = await self.claim(fence=fence, **settings)
        for name in STEPS[: STEPS.index(until) + 1]:
            rotation = await self.step(rotation, name)
        return rotation


def taken_over(rotation: Rotation, *, fence: int) -> Rotation:
    """Return the rotation as whoever goes on with it sees it."""
    return replace(rotation, fence=fence)


async def declared(client: Any, place: KvPath, data: dict[str, str], type_: SecretType) -> None:
    """Write a secret and declare its type."""
    kv = client.kv(PLATFORM)  # the tests' token is every scope's
    await kv.write(place, data)
    await kv.patch_metadata(place, custom_metadata={"type": type_.value})
