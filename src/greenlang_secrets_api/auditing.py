"""No answer without its audit record: what is recorded around each endpoint, and when.

A read is recorded before its value leaves. A change is recorded twice: its intent before
anything is sent to Vault, its outcome before the answer. A record that cannot be made
durable takes the answer's place: nothing is given out, no change is begun, and the outcome
of one that was begun is then said to be unknown, which its lone intent also shows.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from greenlang_secrets.access import Principal
from greenlang_secrets.audit import AuditEvent, AuditLog, AuditPhase, AuditResult
from greenlang_secrets.errors import AccessDenied, AuditUnavailable, OutcomeUnknown
from greenlang_secrets.identifiers import new_id
from greenlang_secrets.paths import Scope, Tenant
from greenlang_secrets_api.answers import Answer
from greenlang_secrets_api.audit_metrics import AuditMetrics
from greenlang_secrets_api.endpoints import Endpoint, Noted
from greenlang_secrets_api.problems import problem_of
from greenlang_secrets_api.request_info import RequestInfo

__all__ = ["AuditedRequest", "record_refused_bearer"]

_log: Final = logging.getLogger("greenlang_secrets_api.audit")


REPLAYED: Final = "idempotent_replay"
"""The code of a record whose answer was that of an earlier request: nothing was changed."""


class AuditedRequest:
    """The records of one request.

    Attributes:
        scope: where it acts; the principal's home until that is known.
    """

    def __init__(
        self,
        log: AuditLog,
        info: RequestInfo,
        principal: Principal,
        endpoint: Endpoint,
        noted: Noted,
    ) -> None:
        self._log = log
        self._info = info
        self._principal = principal
        self._endpoint = endpoint
        self._noted = noted
        self.scope: Scope = principal.home
        self._operation_id = new_id()
        self._intended = False

    async def intent(self) -> None:
        """Record, durably, that a change is about to begin; for other endpoints nothing.

        Raises:
            AuditUnavailable: it could not be; do not begin.
        """
        if self._endpoint.changes:
            await self._write(AuditPhase.INTENT, AuditResult.PENDING)
            self._intended = True

    async def answered(self, answer: Answer) -> None:
        """Record, durably, what is about to be answered.

        Raises:
            AuditUnavailable: it could not be; do not give it out.
            OutcomeUnknown: it could not be, and a change was made.
        """
        result = AuditResult.NOT_MODIFIED if answer.status == 304 else AuditResult.OK
        await self._outcome(result, answer.status, REPLAYED if self._noted.repeated else None)

    async def failed(self, error: Exception) -> None:
        """Record, durably, that the request fails with `error`.

        Raises:
            AuditUnavailable, OutcomeUnknown: as `answered`.
        """
        if isinstance(error, AuditUnavailable):
            return  # it was tried: nothing was begun
        code, problem = problem_of(error)
        if problem.status >= 500:
            result = AuditResult.FAILED
            if self._intended and (isinstance(error, OutcomeUnknown) or problem.status == 500):
                result = AuditResult.UNKNOWN
        elif isinstance(error, AccessDenied):
            result = AuditResult.DENIED
        else:
            result = AuditResult.REFUSED
        await self._outcome(result, problem.status, code)

    async def _outcome(self, result: AuditResult, status: int, code: str | None) -> None:
        try:
            await self._write(AuditPhase.OUTCOME, result, status, code)
        except AuditUnavailable:
            if self._intended:
                raise OutcomeUnknown(path=self._noted.path) from None
            raise

    async def _write(
        self,
        phase: AuditPhase,
        result: AuditResult,
        status: int | None = None,
        code: str | None = None,
    ) -> None:
        info, noted, principal = self._info, self._noted, self._principal
        await self._log.write(
            AuditEvent(
                action=noted.action,
                phase=phase,
                result=result,
                operation_id=self._operation_id,
                principal=principal.subject,
                principal_tenant=_tenant(principal.home),
                tenant=_tenant(self.scope),
                path=noted.path,
                version=noted.version,
                status=status,
                code=code,
                seconds=round(time.perf_counter() - info.began, 6),
                cache=noted.cache,
                request_id=info.request_id,
                trace_id=info.trace_id,
                source_address=info.address,
                reason=noted.reason,
            )
        )


async def record_refused_bearer(
    log: AuditLog, metrics: AuditMetrics, info: RequestInfo, code: str, status: int
) -> None:
    """Record that nobody was let in; nothing is given out, so it goes on without the record."""
    try:
        await log.write(
            AuditEvent(
                action="authenticate",
                phase=AuditPhase.OUTCOME,
                result=AuditResult.DENIED,
                status=status,
                code=code,
                seconds=round(time.perf_counter() - info.began, 6),
                request_id=info.request_id,
                trace_id=info.trace_id,
                source_address=info.address,
            )
        )
    except AuditUnavailable:
        metrics.lost()
        _log.warning("audit.unavailable", extra={"request_id": info.request_id})


def _tenant(scope: Scope) -> str | None:
    return scope.id.value if isinstance(scope, Tenant) else None
