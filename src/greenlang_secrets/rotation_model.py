"""The vocabulary of rotation: kinds, states, policies, and how a rotation stands.

Values only, and never a secret one. Times are aware `datetime`s in UTC, durations `float`
seconds. What is done with them is in `rotation`; what is kept of them in `catalogue`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import Scope

__all__ = [
    "ACTIVE",
    "ClockRow",
    "ConsumerKind",
    "ConsumerReport",
    "OpenRotation",
    "RotatedCertificate",
    "RotationHandle",
    "RotationKind",
    "RotationOutcome",
    "RotationPolicy",
    "RotationRow",
    "RotationRunRow",
    "RotationStanding",
    "RotationState",
    "RotationSummary",
    "RotationTrigger",
    "overdue_after",
]


class RotationKind(StrEnum):
    """How a secret is rotated; each kind has one file in `rotation`."""

    POSTGRESQL = "postgresql"
    POSTGRESQL_STATIC_ROLE = "postgresql_static_role"
    REDIS = "redis"
    API_KEY = "api_key"
    PARTNER_API_KEY = "partner_api_key"
    MANUAL = "manual"
    CERTIFICATE = "certificate"
    TRANSIT_KEY = "transit_key"
    SERVICE_TOKEN = "service_token"  # noqa: S105  # a kind's name, not a token

    @property
    def secret_types(self) -> frozenset[SecretType]:
        """The types of secrets that are rotated so; empty for `MANUAL`, which fits every one."""
        return _TYPES[self]

    @property
    def platform_only(self) -> bool:
        """Whether only the platform's secrets are rotated so: what it changes is everybody's, or
        is asked for with the service's own token.
        """
        return self in _PLATFORM_ONLY


_TYPES: Final[Mapping[RotationKind, frozenset[SecretType]]] = {
    RotationKind.POSTGRESQL: frozenset({SecretType.DATABASE}),
    RotationKind.POSTGRESQL_STATIC_ROLE: frozenset({SecretType.DATABASE}),
    RotationKind.REDIS: frozenset({SecretType.CACHE}),
    RotationKind.API_KEY: frozenset({SecretType.API_KEY}),
    RotationKind.PARTNER_API_KEY: frozenset({SecretType.API_KEY, SecretType.OAUTH_CLIENT}),
    RotationKind.MANUAL: frozenset(),
    RotationKind.CERTIFICATE: frozenset({SecretType.CERTIFICATE}),
    RotationKind.TRANSIT_KEY: frozenset({SecretType.ENCRYPTION_KEY}),
    RotationKind.SERVICE_TOKEN: frozenset({SecretType.SERVICE_TOKEN}),
}

_PLATFORM_ONLY: Final = frozenset(
    {
        RotationKind.POSTGRESQL_STATIC_ROLE,
        RotationKind.CERTIFICATE,
        RotationKind.TRANSIT_KEY,
        RotationKind.SERVICE_TOKEN,
    }
)


class RotationState(StrEnum):
    """Where the rotation of one secret stands.

    `IDLE → PENDING → APPLIED → TESTED → PROMOTED → OVERLAP → OLD_REVOKED → IDLE`; the last four
    are side states, which keep the phase that they interrupted.
    """

    IDLE = "idle"
    PENDING = "pending"
    APPLIED = "applied"
    TESTED = "tested"
    PROMOTED = "promoted"
    OVERLAP = "overlap"
    OLD_REVOKED = "old_revoked"
    AWAITING_OPERATOR = "awaiting_operator"
    FAILED = "failed"
    REVOKE_STUCK = "revoke_stuck"
    CONFLICT = "conflict"


ACTIVE: Final = frozenset(
    {RotationState.PENDING, RotationState.APPLIED, RotationState.TESTED, RotationState.PROMOTED}
)
"""States in which somebody works on it, or died while working on it."""


_LEAST_GRACE: Final = 900.0  # seconds; a scheduler looks every few, and a step may be tried again


def overdue_after(due: datetime, interval: float) -> datetime:
    """Return when a rotation that was due is overdue: a tenth of its interval later, and at least
    15 minutes.
    """
    return due + timedelta(seconds=max(interval / 10, _LEAST_GRACE))


class RotationTrigger(StrEnum):
    """Why a rotation began; a closed set."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    FORCED = "forced"


class RotationOutcome(StrEnum):
    """How a rotation ended; the `status` label of `gl_secrets_rotation_total`."""

    SUCCESS = "success"
    FAILURE = "failure"
    CONFLICT = "conflict"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPolicy:
    """How, and how often, one secret is rotated.

    Attributes:
        kind: what is done.
        interval: seconds from one success to the next rotation, before jitter.
        enabled: False: never by schedule; by hand all the same.
        overlap: seconds for which the old credential stays valid after the promotion; None
            for the promotion gap, which is also the least.
        consumers_wait: seconds after the overlap for which the old one is kept at most while a
            live consumer still uses it.
        settings: what the kind needs to know, such as `users`; texts, and never a secret.
    """

    kind: RotationKind
    interval: float
    enabled: bool = True
    overlap: float | None = None
    consumers_wait: float = 3600.0
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationStanding:
    """How the rotation of one secret stands, as its record says; the catalogue mirrors it.

    Attributes:
        state: where it stands.
        phase: the phase that a side state interrupted; otherwise the same as `state`.
        rotation_id: of the current rotation, or of the last one; None before the first.
        fence: counts claims; 0 before the first.
        trigger: why the current, or last, rotation began.
        started_at: when it began.
        base_version: the secret's version then; the promotion is the one after it.
        version: the promoted version, once there is one.
        promoted_at: when.
        old_valid_until: the end of the overlap, while there is one.
        attempts: failed ones in a row.
        error_code: why the last one failed, None since the last step that succeeded.
        error_at: when.
        last_success: when the last rotation ended well.
        next_due: when the next one begins by schedule; None if it is not enabled.
        wake_at: when a scheduler must look at it the next time: it is due, is to be tried again,
            its overlap ends, or its owner may be dead. None for never.
        progress: numbers of a long step, such as `rewrapped`.
        not_after: until when a certificate is valid.
    """

    state: RotationState = RotationState.IDLE
    phase: RotationState = RotationState.IDLE
    rotation_id: str | None = None
    fence: int = 0
    trigger: RotationTrigger | None = None
    started_at: datetime | None = None
    base_version: int | None = None
    version: int | None = None
    promoted_at: datetime | None = None
    old_valid_until: datetime | None = None
    attempts: int = 0
    error_code: str | None = None
    error_at: datetime | None = None
    last_success: datetime | None = None
    next_due: datetime | None = None
    wake_at: datetime | None = None
    progress: Mapping[str, int] = field(default_factory=dict)
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationRow:
    """One secret's policy and standing, as the catalogue keeps them.

    Attributes:
        scope, path: whose it is, and its relative path.
        secret_type: as declared when the policy was set.
        created_at: when the policy was first set: what the first rotation is due from.
        updated_at, updated_by: when and by whom it was set last.
    """

    scope: Scope
    path: str
    secret_type: SecretType
    policy: RotationPolicy
    standing: RotationStanding
    created_at: datetime
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationRunRow:
    """One rotation in the history.

    Attributes:
        principal: who asked for it; None for the schedule.
        outcome: None while it goes on.
    """

    rotation_id: str
    scope: Scope
    path: str
    kind: RotationKind
    secret_type: SecretType
    trigger: RotationTrigger
    principal: str | None
    reason: str | None
    started_at: datetime
    ended_at: datetime | None = None
    outcome: RotationOutcome | None = None
    base_version: int | None = None
    version: int | None = None
    error_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationSummary:
    """How the rotations of one scope stand, all together.

    Attributes:
        by_state: how many secrets are in each state; a state that none is in is left out.
        overdue: how many are enabled, and have been due for longer than `overdue_after` allows.
    """

    by_state: Mapping[RotationState, int]
    overdue: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockRow:
    """What gauges need to know of one secret's rotation: nothing that says whose it is."""

    secret_type: SecretType
    state: RotationState
    next_due: datetime | None
    last_success: datetime | None
    not_after: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRotation:
    """What gauges need to know of a rotation under way: nothing that says whose it is.

    Attributes:
        phase, attempts, wake_at: as in `RotationStanding`.
        behind: live consumers that use an older version than the promoted one.
    """

    secret_type: SecretType
    state: RotationState
    phase: RotationState
    attempts: int
    wake_at: datetime | None
    behind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedCertificate:
    """A certificate of the platform that is rotated.

    Attributes:
        role: of the PKI engine, as its policy has it.
        ttl: how long it was asked to live, as the policy has it, such as ``72h``.
        not_after: until when it is valid.
    """

    role: str
    ttl: str
    not_after: datetime


class RotationHandle(Protocol):
    """A rotation that was begun, as `SecretsView.rotate` gives it; `rotation.RotationRun` is it."""

    @property
    def id(self) -> str:
        """32 hexadecimal digits."""
        ...

    @property
    def path(self) -> str:
        """Of the secret, relative to its scope."""
        ...

    @property
    def state(self) -> RotationState:
        """Where it stands, as last seen here."""
        ...

    async def until(self, *states: RotationState, within: float) -> RotationStanding:
        """Return how it stands once one of these states is reached or passed, or the operation is
        over, and after `within` seconds in any case.
        """
        ...

    async def promoted(self, *, within: float) -> RotationStanding:
        """Return how it stands once the new credential is the current version.

        Raises:
            SecretsError: an attempt failed; it is tried again later.
        """
        ...


class ConsumerKind(StrEnum):
    """Who uses a secret."""

    WATCH = "watch"
    POOL = "pool"
    REST = "rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerReport:
    """Which version of a secret a consumer uses, as it last said.

    Attributes:
        consumer: tells it from all others, such as ``pool:api-7f9c:main``.
        principal: as whom it reads.
        instance: the process it is in.
        version: the oldest version it still uses.
        lives_for: seconds after which it counts as gone unless it reports again.
        seen_at: when it reported, by the catalogue's clock; None on the way in.
    """

    scope: Scope
    path: str
    consumer: str
    kind: ConsumerKind
    principal: str
    instance: str
    version: int
    lives_for: float
    seen_at: datetime | None = None
