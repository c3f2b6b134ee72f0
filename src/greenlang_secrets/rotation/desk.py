"""What all rotations of one process share: the service, the records, the mirror, the clock."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from inspect import isawaitable
from typing import Final

from greenlang_secrets.background import reported
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.errors import CatalogueUnavailable, SecretsError
from greenlang_secrets.model import SecretType
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.handlers import Handlers
from greenlang_secrets.rotation.observing import OnStep, RotationStats, Step
from greenlang_secrets.rotation.record import Record, Records
from greenlang_secrets.rotation_model import (
    RotationOutcome,
    RotationRunRow,
    RotationState,
    RotationTrigger,
)
from greenlang_secrets.service import SecretsService

__all__ = ["Desk", "new_id", "now"]

_MIRRORING: Final = 2.0
"""Seconds that the catalogue may take to mirror a step; without it the rotation goes on."""


def new_id() -> str:
    """Return a new operation's id: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a rotation is worked on with.

    Attributes:
        owner: this process's name, unlike every other's.
        gap: the promotion gap in seconds.
        saved: is told of each change of a record of ours.
    """

    service: SecretsService
    catalogue: Catalogue
    records: Records
    handlers: Handlers
    config: RotationConfig
    gap: float
    owner: str
    stats: RotationStats
    on_step: OnStep | None = None
    saved: Callable[[Record], None] = lambda _: None
    clock: Callable[[], datetime] = now

    async def tell(self, step: Step) -> SecretsError | None:
        """Tell `on_step`, and return the error by which it keeps a step from being taken; any other
        failure of it is reported and ignored.
        """
        if self.on_step is None:
            return None
        return await reported(self._told(self.on_step, step), name="on_step")

    @staticmethod
    async def _told(on_step: OnStep, step: Step) -> SecretsError | None:
        try:
            answer = on_step(step)
            if isawaitable(answer):
                await answer
        except SecretsError as error:
            if step.when == "before":
                return error
            raise
        return None

    def count(self, secret_type: SecretType, outcome: RotationOutcome, times: int = 1) -> None:
        """Count what became of rotations."""
        self.stats.outcomes[secret_type, outcome] += times
        self.service.tally.count_rotation(secret_type, outcome, times)

    async def mirror(self, record: Record) -> None:
        """Have the catalogue show what the record says; one that is away follows later."""
        self.saved(record)
        digest = self.records.digest(record.scope, record.path)
        with suppress(CatalogueUnavailable, TimeoutError):
            async with asyncio.timeout(_MIRRORING):
                await self.catalogue.rotations.note(
                    record.scope, str(record.path), digest, record.standing
                )

    async def begun(self, record: Record) -> None:
        """Write a new operation into the history, if the catalogue is there."""
        standing = record.standing
        run = RotationRunRow(
            rotation_id=standing.rotation_id or "",
            scope=record.scope,
            path=str(record.path),
            kind=record.policy.kind,
            secret_type=record.secret_type,
            trigger=standing.trigger or RotationTrigger.SCHEDULE,
            principal=record.principal,
            reason=record.reason,
            started_at=standing.started_at or self.clock(),
            base_version=standing.base_version,
        )
        with suppress(CatalogueUnavailable, TimeoutError):
            async with asyncio.timeout(_MIRRORING):
                await self.catalogue.rotations.begin_run(run)

    async def closed(self, record: Record) -> None:
        """Write into the history how an operation ended that is not open any more."""
        match record.standing.state:
            case RotationState.IDLE:
                outcome = RotationOutcome.SUCCESS
            case RotationState.CONFLICT:
                outcome = RotationOutcome.CONFLICT
            case _:  # given up
                outcome = RotationOutcome.FAILURE
        await self.ended(record, outcome)

    async def ended(self, record: Record, outcome: RotationOutcome) -> None:
        """Write into the history how an operation ended; one that began unseen is written whole."""
        await self.begun(record)
        with suppress(CatalogueUnavailable, TimeoutError):
            async with asyncio.timeout(_MIRRORING):
                await self.catalogue.rotations.end_run(
                    record.scope,
                    record.standing.rotation_id or "",
                    outcome=outcome,
                    version=record.standing.version,
                    error_code=record.standing.error_code,
                )
