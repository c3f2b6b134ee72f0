"""One rotation played step by step, as the machine does it, with deaths where a test wants them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, Scope, SecretPath
from greenlang_secrets.rotation.handler import Prepared, Rotation, RotationHandler, Subject
from greenlang_secrets.rotation_model import RotationKind, RotationPolicy
from greenlang_secrets.sensitive import SecretMap

HOUR = 3600.0
DAY = 24 * HOUR


def subject_of(
    kind: RotationKind,
    secret_type: SecretType,
    data: Mapping[str, str],
    *,
    path: str = "some/path",
    scope: Scope = PLATFORM,
    interval: float = DAY,
    overlap: float | None = None,
    gap: float = 900.0,
    **settings: str,
) -> Subject:
    """What `check` looks at."""
    return Subject(
        scope=scope,
        path=SecretPath.parse(path),
        policy=RotationPolicy(kind=kind, interval=interval, overlap=overlap, settings=settings),
        type=secret_type,
        version=1,
        data=SecretMap(data),
        promotion_gap=gap,
    )


class Played:
    """A rotation and its record. What a step returns is kept, unless the owner dies before:
    `lost=True` calls a step and forgets what it returned.
    """

    def __init__(
        self,
        handler: RotationHandler,
        current: Mapping[str, str] | None,
        *,
        path: str = "some/path",
        scope: Scope = PLATFORM,
        base_version: int = 1,
        gap: float = 900.0,
        fence: int = 1,
        **settings: str,
    ) -> None:
        self.handler = handler
        self.steps: list[dict[str, int]] = []
        self.not_after: Any = None
        self.rotation = Rotation(
            id="0" * 32,
            fence=fence,
            scope=scope,
            path=SecretPath.parse(path),
            settings=settings,
            base_version=base_version,
            current=None if current is None else SecretMap(current),
            candidate=None,
            notes={},
            promotion_gap=gap,
            progress=self._progress,
        )

    async def _progress(self, numbers: Mapping[str, int], notes: Mapping[str, str]) -> None:
        self.steps.append(dict(numbers))
        self.rotation = replace(self.rotation, notes={**self.rotation.notes, **notes})

    @property
    def candidate(self) -> dict[str, str]:
        """What would be promoted, in clear."""
        assert self.rotation.candidate is not None
        return self.rotation.candidate.reveal()

    def taken_over(self) -> Played:
        """The same for the next owner; this object is the owner that was taken for dead."""
        twin = Played.__new__(Played)
        twin.__dict__.update(self.__dict__)
        twin.rotation = replace(
            self.rotation, fence=self.rotation.fence + 1, progress=twin._progress
        )
        return twin

    async def prepare(self, *, lost: bool = False) -> None:
        """Call `prepare`."""
        self._keep(await self.handler.prepare(self.rotation), lost=lost)

    async def apply(self, *, lost: bool = False) -> None:
        """Call `apply`."""
        self._keep(await self.handler.apply(self.rotation), lost=lost)

    async def verify(self) -> None:
        """Call `verify`."""
        await self.handler.verify(self.rotation)

    async def retire(self, *, lost: bool = False) -> None:
        """Call `retire`."""
        self._keep(await self.handler.retire(self.rotation), lost=lost)

    def _keep(self, prepared: Prepared, *, lost: bool) -> None:
        if lost:
            return
        if prepared.candidate is not None:
            self.rotation = replace(self.rotation, candidate=prepared.candidate)
        self.rotation = replace(self.rotation, notes={**self.rotation.notes, **prepared.notes})
        self.not_after = prepared.not_after or self.not_after
