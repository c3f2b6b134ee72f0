"""What is counted, and how it leaves: plain integers on the path, OpenTelemetry beside it.

One `counter.add` of the SDK costs 7 to 14 microseconds, ten times a cached read, so
nothing on the path calls OpenTelemetry. A `Tally` holds integers; `Instruments` gives a
MeterProvider observable counters that read them when somebody collects.

Tallies are process-wide in sum: two services in one process add up, and a closed one
leaves its totals behind, so that no counter ever falls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock
from typing import Final
from weakref import WeakSet

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from greenlang_secrets.access import Action
from greenlang_secrets.errors import (
    AccessDenied,
    AuthenticationLost,
    CiphertextRefused,
    Conflict,
    InvalidRequest,
    ObjectNotFound,
    PreconditionRequired,
    SecretsError,
    SecretUnavailable,
    VaultUnavailable,
    WrappingTokenForeign,
    WrappingTokenUsed,
)
from greenlang_secrets.model import SecretType
from greenlang_secrets.rotation_model import RotationOutcome

__all__ = ["Instruments", "Outcome", "Result", "Tally", "result_of", "type_label"]


class Result(StrEnum):
    """How an operation ended; a closed set, the `result` label.

    Ours are unavailable, timeout and error; the caller's are not_found, denied, conflict,
    invalid and rate_limited.
    """

    OK = "ok"
    STALE = "stale"
    NOT_FOUND = "not_found"
    DENIED = "denied"
    CONFLICT = "conflict"
    INVALID = "invalid"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    ERROR = "error"


def result_of(error: SecretsError) -> Result:
    """Return the label of a failure."""
    match error:
        case SecretUnavailable() | ObjectNotFound():
            return Result.NOT_FOUND
        case AccessDenied() | WrappingTokenUsed() | WrappingTokenForeign():
            return Result.DENIED
        case Conflict() | PreconditionRequired():
            return Result.CONFLICT
        case InvalidRequest() | CiphertextRefused():
            return Result.INVALID
        case VaultUnavailable(reason="timeout"):
            return Result.TIMEOUT
        case VaultUnavailable() | AuthenticationLost():
            return Result.UNAVAILABLE
        case _:
            return Result.ERROR


_LABELLED: Final = frozenset(
    {
        SecretType.DATABASE,
        SecretType.CACHE,
        SecretType.API_KEY,
        SecretType.CERTIFICATE,
        SecretType.ENCRYPTION_KEY,
        SecretType.SERVICE_TOKEN,
        SecretType.GENERIC,
    }
)


def type_label(type_: SecretType) -> str:
    """Return the `secret_type` label: seven values, the rarer types count as generic."""
    return type_.value if type_ in _LABELLED else SecretType.GENERIC.value


@dataclass(slots=True)
class Outcome:
    """How an operation that is being counted has gone so far; its code may say better."""

    secret_type: SecretType = SecretType.GENERIC
    result: Result = Result.OK


OperationKey = tuple[str, str, str]
"""(operation, secret_type, result)"""

_SEED: Final[tuple[OperationKey, ...]] = tuple(
    (action.value, SecretType.GENERIC.value, result.value)
    for action in Action
    if action is not Action.STATUS
    for result in (Result.OK, Result.DENIED, Result.UNAVAILABLE, Result.TIMEOUT, Result.ERROR)
)
"""Present with 0 from the start: `increase()` does not see a series' first sample."""


RotationKey = tuple[str, str]
"""(secret_type, status)"""

_ROTATION_SEED: Final[tuple[RotationKey, ...]] = tuple(
    (secret_type.value, outcome.value)
    for secret_type in sorted(_LABELLED)
    for outcome in RotationOutcome
)
"""Present with 0 from the start, every one: a rotation is rare, and its first failure must show."""


class Tally:
    """The counts of one service.

    Attributes:
        rotations: by (secret_type, status).
        operations: by (operation, secret_type, result), without the fresh reads.
        fresh_reads: by secret_type; the cache adds to these lists of one number itself.
        hits, misses: where the cache's counters are read from.
    """

    def __init__(
        self,
        *,
        hits: Callable[[], int] = lambda: 0,
        misses: Callable[[], int] = lambda: 0,
    ) -> None:
        self.operations: Counter[OperationKey] = Counter()
        self.rotations: Counter[RotationKey] = Counter()
        self.fresh_reads: dict[str, list[int]] = {}
        self.hits = hits
        self.misses = misses
        with _handover:
            _live.add(self)

    def fresh_reads_of(self, type_: SecretType) -> list[int]:
        """Return the list of one number in which fresh reads of this type are counted."""
        return self.fresh_reads.setdefault(type_label(type_), [0])

    def count(self, action: Action, type_: SecretType, result: Result) -> None:
        """Count one operation."""
        self.operations[action.value, type_label(type_), result.value] += 1

    def count_rotation(self, type_: SecretType, outcome: RotationOutcome, times: int = 1) -> None:
        """Count rotations that ended so, or attempts that failed."""
        self.rotations[type_label(type_), outcome.value] += times

    @contextmanager
    def counting(self, action: Action) -> Iterator[Outcome]:
        """Count what is done inside as one operation, failed if it raises."""
        outcome = Outcome()
        try:
            yield outcome
        except SecretsError as error:
            outcome.result = result_of(error)
            raise
        except BaseException:
            outcome.result = Result.ERROR
            raise
        finally:
            self.count(action, outcome.secret_type, outcome.result)

    def totals(self) -> Counter[OperationKey]:
        """Return all operations, the fresh reads among them."""
        totals = Counter(self.operations)
        for label, (count,) in list(self.fresh_reads.items()):
            totals[Action.READ.value, label, Result.OK.value] += count
        return totals

    def close(self) -> None:
        """Leave the totals to the process; a second call does nothing."""
        with _handover:
            if self in _live:
                _live.discard(self)
                _past.add(self)


class _Past:
    """The totals of closed services."""

    def __init__(self) -> None:
        self.operations: Counter[OperationKey] = Counter(dict.fromkeys(_SEED, 0))
        self.rotations: Counter[RotationKey] = Counter(dict.fromkeys(_ROTATION_SEED, 0))
        self.hits = 0
        self.misses = 0

    def add(self, tally: Tally) -> None:
        self.operations.update(tally.totals())
        self.rotations.update(tally.rotations)
        self.hits += tally.hits()
        self.misses += tally.misses()


_live: Final[WeakSet[Tally]] = WeakSet()
_past: Final = _Past()
# Metrics are rendered on another thread: a tally must be in one of the two, never in both.
_handover: Final = Lock()


class Instruments:
    """The observable counters of one MeterProvider. Make one per provider and process: OTel
    silently drops the second callback of an instrument made twice.
    """

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter("greenlang_secrets")
        meter.create_observable_counter(
            "gl_secrets_operations",
            callbacks=[_operations],
            unit="{operation}",
            description="Operations on secrets, cached reads among them.",
        )
        meter.create_observable_counter(
            "gl_secrets_cache_hits",
            callbacks=[_hits],
            unit="{read}",
            description="Reads answered from the cache, fresh.",
        )
        meter.create_observable_counter(
            "gl_secrets_cache_misses",
            callbacks=[_misses],
            unit="{read}",
            description="Reads that had to ask Vault, those then answered stale among them.",
        )
        meter.create_observable_counter(
            "gl_secrets_rotation",
            callbacks=[_rotations],
            unit="{rotation}",
            description="Rotations that ended, and attempts that failed.",
        )


def _operations(_: CallbackOptions) -> Iterable[Observation]:
    with _handover:
        totals = Counter(_past.operations)
        for tally in _live:
            totals.update(tally.totals())
    for (operation, secret_type, result), value in totals.items():
        yield Observation(
            value, {"operation": operation, "secret_type": secret_type, "result": result}
        )


def _rotations(_: CallbackOptions) -> Iterable[Observation]:
    with _handover:
        totals = Counter(_past.rotations)
        for tally in _live:
            totals.update(tally.rotations)
    for (secret_type, status), value in totals.items():
        yield Observation(value, {"secret_type": secret_type, "status": status})


def _hits(_: CallbackOptions) -> Iterable[Observation]:
    with _handover:
        hits = _past.hits + sum(tally.hits() for tally in _live)
    yield Observation(hits)


def _misses(_: CallbackOptions) -> Iterable[Observation]:
    with _handover:
        misses = _past.misses + sum(tally.misses() for tally in _live)
    yield Observation(misses)
