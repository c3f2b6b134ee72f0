"""What one audit record says. A value is never part of it, nor anything derived from one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from greenlang_secrets.identifiers import new_id

__all__ = ["AuditEvent", "AuditPhase", "AuditResult"]


class AuditPhase(StrEnum):
    """When an event was recorded.

    A change is recorded twice under one `operation_id`: its intent before anything is sent to
    Vault, and its outcome after. An intent without an outcome is a change whose outcome nobody
    knows. A read has an outcome only, durable before the value leaves.
    """

    INTENT = "intent"
    OUTCOME = "outcome"


class AuditResult(StrEnum):
    """What came of a request."""

    PENDING = "pending"  # of an intent
    OK = "ok"
    NOT_MODIFIED = "not_modified"
    DENIED = "denied"  # 401, 403, 429, and 404 where the scope is another tenant's
    REFUSED = "refused"  # every other 4xx
    FAILED = "failed"  # 5xx: nothing was given out, nothing was changed
    UNKNOWN = "unknown"  # a change was sent, and no answer came


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One thing that was tried, and by whom.

    Attributes:
        action: an `access.Action`, ``authenticate`` for a bearer that was refused, ``rotate.apply``,
            ``rotate.promote`` or ``rotate.retire`` for a step of a rotation, or ``audit`` for what
            the log found out about itself; `code` says what.
        phase, result: see there.
        id: 32 hexadecimal digits, unique; what a copy is told from a second event by.
        operation_id: the same in the intent and the outcome of one change; 32 hexadecimal digits.
        at: when it was recorded, in UTC.
        principal: the bearer's `sub`; None where no bearer was accepted.
        principal_tenant: the tenant it belongs to; None for the platform's and for nobody.
        tenant: the tenant whose scope was acted in; None is the platform scope.
        path: the secret's path, relative to that scope, as the caller wrote it; a prefix for lists.
        version: the version that was given or made.
        status: the HTTP status that was answered.
        code: the problem's code, where the answer is one.
        seconds: from the request's beginning to this record.
        cache: ``hit``, ``miss`` or ``stale``, for reads of a value.
        request_id: what the answer carries as `X-Request-ID`; of a rotation's step its id.
        trace_id: the trace's, 32 hexadecimal digits (W3C Trace Context), where the caller sent one.
        source_address: the IP address the request came from.
        reason: the caller's `Audit-Reason`.
    """

    action: str
    phase: AuditPhase
    result: AuditResult
    id: str = field(default_factory=new_id)
    operation_id: str = field(default_factory=new_id)
    at: datetime = field(default_factory=_now)
    principal: str | None = None
    principal_tenant: str | None = None
    tenant: str | None = None
    path: str | None = None
    version: int | None = None
    status: int | None = None
    code: str | None = None
    seconds: float | None = None
    cache: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    source_address: str | None = None
    reason: str | None = None
