"""What each step of a rotation leaves behind: audit records, and an index that follows.

A rotation changes what it rotates and the secret itself, whoever began it, so the steps that
change something are recorded as changes of a caller are: their intent before, their outcome
after. Their `request_id` is the rotation's id, which the caller of `rotate` was told.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Final

from greenlang_secrets.access import SERVICE
from greenlang_secrets.audit import AuditEvent, AuditLog, AuditPhase, AuditResult
from greenlang_secrets.errors import AuditUnavailable
from greenlang_secrets.paths import Tenant
from greenlang_secrets.rotation.observing import Step
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets_api.indexing import Indexing

__all__ = ["RotationEvents"]

_log: Final = logging.getLogger("greenlang_secrets_api.audit")

_CHANGES: Final = frozenset({"apply", "promote", "retire"})


class RotationEvents:
    """An `on_step` of the service's manager; `on_lost` is told of a step that no record tells of.
    `on_promoted` of each promotion.
    """

    def __init__(
        self,
        log: AuditLog,
        indexing: Indexing,
        *,
        on_lost: Callable[[], None] = lambda: None,
        on_promoted: Callable[[Step], None] = lambda _: None,
    ) -> None:
        self._log = log
        self._indexing = indexing
        self._on_lost = on_lost
        self._on_promoted = on_promoted

    async def __call__(self, step: Step) -> None:
        """Record a step. One that cannot be recorded before is not taken; that it was taken, and
        cannot be recorded, is logged.

        Raises:
            AuditUnavailable: the intent is not durable.
        """
        if step.step not in _CHANGES or (
            # An operator changes it, and is asked for once a minute for days.
            step.kind is RotationKind.MANUAL and step.step == "apply"
        ):
            return
        if step.step == "promote" and step.when in {"after", "failed"}:
            self._indexing.changed(step.scope, step.path)
            if step.when == "after":
                self._on_promoted(step)
        try:
            await self._log.write(_event(step))
        except AuditUnavailable:
            if step.when == "before":
                raise
            self._on_lost()
            _log.warning("audit.unavailable", extra={"request_id": step.rotation_id})


def _event(step: Step) -> AuditEvent:
    phase, result = {
        "before": (AuditPhase.INTENT, AuditResult.PENDING),
        "after": (AuditPhase.OUTCOME, AuditResult.OK),
        "failed": (AuditPhase.OUTCOME, AuditResult.FAILED),
        "waiting": (AuditPhase.OUTCOME, AuditResult.REFUSED),
    }[step.when]
    # The same for the intent and the outcome, and another one after each takeover.
    about = f"{step.rotation_id} {step.fence} {step.step}"
    return AuditEvent(
        action=f"rotate.{step.step}",
        phase=phase,
        result=result,
        operation_id=hashlib.sha256(about.encode()).hexdigest()[:32],
        principal=SERVICE.subject,
        tenant=step.scope.id.value if isinstance(step.scope, Tenant) else None,
        path=step.path,
        code="not_yet" if step.when == "waiting" else step.error_code,
        seconds=None if step.seconds is None else round(step.seconds, 6),
        request_id=step.rotation_id,
    )
