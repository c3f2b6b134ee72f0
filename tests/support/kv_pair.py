"""A target for rotation that is really there: a KV entry that says which logins it takes.

It has what a database has: two users with a password each, a fence that refuses an owner who was
taken for dead, and logins that fail. It lives on the test's own server, so it outlives a death.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field

import greenlang_secrets as gs
from greenlang_secrets.errors import (
    NotRotatable,
    RotationFailed,
    RotationFenced,
    SecretNotFound,
    VersionConflict,
)
from greenlang_secrets.paths import PLATFORM, KvPath
from greenlang_secrets.rotation.handler import Prepared, Rotation, Subject
from greenlang_secrets.rotation_model import RotationKind

OTHER = {"app_a": "app_b", "app_b": "app_a"}


@dataclass(frozen=True)
class State:
    """What the target keeps: passwords by user, and the greatest fence it has seen."""

    passwords: dict[str, str] = field(default_factory=dict)
    fence: int = 0
    version: int = 0


class Target:
    """The target itself; every change is one transaction."""

    def __init__(self, service: gs.SecretsService, name: str = "target") -> None:
        self._kv = service.client.kv(PLATFORM)
        self._place = KvPath.of_service(service.config.kv_mount, name)

    async def state(self) -> State:
        try:
            entry = await self._kv.read(self._place, consistent=True)
        except SecretNotFound:
            return State()
        kept = json.loads(entry.data["state"].reveal())
        return State(kept["passwords"], kept["fence"], entry.version)

    async def alter(self, user: str, password: str, *, fence: int = 0) -> None:
        """Set a password, as ``ALTER ROLE`` does, unless a later owner was seen."""
        while True:
            state = await self.state()
            if fence < state.fence:
                raise RotationFenced
            kept = {"passwords": {**state.passwords, user: password}, "fence": fence}
            try:
                await self._kv.write(self._place, {"state": json.dumps(kept)}, cas=state.version)
            except VersionConflict:
                continue
            return

    async def takes(self, data: gs.SecretMap) -> bool:
        """Whether a login with these works."""
        state = await self.state()
        return state.passwords.get(data["username"].reveal()) == data["password"].reveal()


class PairHandler:
    """Alternating users on `Target`, under the name of a kind that fits every type of secret.

    Attributes:
        called: the steps, in order, with the fence.
        fails: by step, what it raises; once each, from the end.
    """

    kind = RotationKind.MANUAL
    promotes = True

    def __init__(self, target: Target) -> None:
        self.target = target
        self.called: list[tuple[str, int]] = []
        self.fails: dict[str, list[BaseException]] = {}

    def _begin(self, step: str, rotation: Rotation) -> None:
        self.called.append((step, rotation.fence))
        if self.fails.get(step):
            raise self.fails[step].pop()

    async def check(self, subject: Subject) -> None:
        if "username" not in subject.data:
            raise NotRotatable("The secret has no username.", path=subject.path)

    async def prepare(self, rotation: Rotation) -> Prepared:
        self._begin("prepare", rotation)
        if rotation.current is None:
            raise RotationFailed("incomplete", path=rotation.path)
        user = OTHER[rotation.current["username"].reveal()]
        candidate = {"username": user, "password": secrets.token_hex(8)}
        return Prepared(candidate=gs.SecretMap(candidate), notes={"user": user})

    async def apply(self, rotation: Rotation) -> Prepared:
        self._begin("apply", rotation)
        assert rotation.candidate is not None
        password = rotation.candidate["password"].reveal()
        await self.target.alter(rotation.notes["user"], password, fence=rotation.fence)
        return Prepared()

    async def verify(self, rotation: Rotation) -> None:
        self._begin("verify", rotation)
        assert rotation.candidate is not None
        if not await self.target.takes(rotation.candidate):
            raise RotationFailed("verify_failed", path=rotation.path)

    async def retire(self, rotation: Rotation) -> Prepared:
        self._begin("retire", rotation)
        assert rotation.candidate is not None
        old = OTHER[rotation.candidate["username"].reveal()]
        await self.target.alter(old, secrets.token_hex(8), fence=rotation.fence)
        return Prepared()
