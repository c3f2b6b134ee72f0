"""What can be seen of rotations from outside: each step, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import Scope
from greenlang_secrets.rotation_model import RotationKind, RotationOutcome, RotationState

__all__ = ["OnStep", "RotationStats", "Step", "StepName", "StepWhen"]

StepName = Literal["claim", "prepare", "apply", "verify", "promote", "overlap", "retire", "finish"]

StepWhen = Literal["before", "after", "failed", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of one rotation, as `on_step` is told of it; never a value.

    Attributes:
        scope, path: of which secret.
        rotation_id, fence: of which operation, in whose hands.
        step: which one.
        when: before it is begun, after its end is in the record, failed, or waiting for somebody
            else.
        state: where the rotation stands at that moment.
        error_code: why it failed.
        seconds: what it took; None before.
        started_at: when the rotation began, in whosever hands it was then.
    """

    scope: Scope
    path: str
    kind: RotationKind
    secret_type: SecretType
    rotation_id: str
    fence: int
    step: StepName
    when: StepWhen
    state: RotationState
    error_code: str | None = None
    seconds: float | None = None
    started_at: datetime | None = None


OnStep = Callable[[Step], Awaitable[None] | None]
"""Is awaited before the rotation goes on. A `SecretsError` that it raises before a step keeps that
from being taken: it is asked again 15 s later, and no attempt is counted. Any other failure is
reported and ignored.
"""


@dataclass(slots=True, kw_only=True)
class RotationStats:
    """Counts of this process since its manager was opened; plain, so that reading them is free.

    Attributes:
        outcomes: by secret type and outcome. A failure is an attempt that failed.
        scheduler_running: whether it looks for what is due.
        last_tick: when it last looked with success.
        claims: how often something was begun or taken over.
        working: rotations that are worked on now.
    """

    outcomes: Counter[tuple[SecretType, RotationOutcome]] = field(default_factory=Counter)
    scheduler_running: bool = False
    last_tick: datetime | None = None
    claims: int = 0
    working: int = 0
