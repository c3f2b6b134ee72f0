"""What one service counts, and what the process has counted: plain integers.

Tallies are process-wide in sum: two services in one process add up, and a closed one
leaves its totals behind, so that no counter ever falls.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Final
from weakref import WeakSet

from greenlang_secrets.access import Action
from greenlang_secrets.errors import SecretsError, UnavailableReason
from greenlang_secrets.model import SecretType
from greenlang_secrets.rotation_model import RotationOutcome
from greenlang_secrets.telemetry.duration import Outcome, timed
from greenlang_secrets.telemetry.labels import (
    RETRY_REASONS,
    TYPES,
    Operation,
    Renewal,
    Result,
    result_of,
    type_label,
)
from greenlang_secrets.telemetry.sources import Sources

__all__ = ["Counts", "Tally", "services", "total"]

Counts = Mapping[tuple[str, ...], int]
"""By the values of the labels, in the order of the counter's definition."""

OperationKey = tuple[str, ...]
"""(operation, secret_type, result)"""

RotationKey = tuple[str, ...]
"""(secret_type, status)"""

_UNCOUNTED: Final = frozenset({Action.STATUS, Action.SCHEDULE, Action.ROTATION_STATUS})
_KINDS: Final[tuple[tuple[Action | Operation, SecretType], ...]] = (
    *((action, SecretType.GENERIC) for action in Action if action not in _UNCOUNTED),
    (Operation.ISSUE, SecretType.CERTIFICATE),
    (Operation.ISSUE, SecretType.DATABASE),
    (Operation.ENCRYPT, SecretType.ENCRYPTION_KEY),
    (Operation.DECRYPT, SecretType.ENCRYPTION_KEY),
    (Operation.LOGIN, SecretType.SERVICE_TOKEN),
    (Operation.RENEW, SecretType.SERVICE_TOKEN),
    (Operation.RENEW, SecretType.DATABASE),
    (Operation.REVOKE, SecretType.SERVICE_TOKEN),
    (Operation.REVOKE, SecretType.DATABASE),
)
_SEED: Final[tuple[OperationKey, ...]] = tuple(
    (operation.value, type_.value, result.value)
    for operation, type_ in _KINDS
    for result in (Result.OK, Result.DENIED, Result.UNAVAILABLE, Result.TIMEOUT, Result.ERROR)
)
"""Present with 0 from the start: `increase()` does not see a series' first sample."""

_ROTATION_SEED: Final[tuple[RotationKey, ...]] = tuple(
    (secret_type.value, outcome.value)
    for secret_type in sorted(TYPES)
    for outcome in RotationOutcome
)
"""Present with 0 from the start, every one: a rotation is rare, and its first failure must show."""


class Tally:
    """The counts of one service.

    Attributes:
        rotations: by (secret_type, status).
        operations: by (operation, secret_type, result), without the fresh reads.
        renewals: of the service's own token, by status.
        retries: by reason.
        fresh_reads: by secret_type; the cache adds to these lists of one number itself.
        sources: where gauges, and counters that others keep, are read from.
    """

    def __init__(self) -> None:
        self.operations: Counter[OperationKey] = Counter()
        self.rotations: Counter[RotationKey] = Counter()
        self.renewals: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.fresh_reads: dict[str, list[int]] = {}
        self.sources = Sources()
        with handover:
            live.add(self)

    def fresh_reads_of(self, type_: SecretType) -> list[int]:
        """Return the list of one number in which fresh reads of this type are counted."""
        return self.fresh_reads.setdefault(type_label(type_), [0])

    def count(self, action: Action | Operation, type_: SecretType, result: Result) -> None:
        """Count one operation."""
        self.operations[action.value, type_label(type_), result.value] += 1

    def count_refused(self, action: Action) -> None:
        """Count an operation that was denied before the library was asked for it."""
        if action not in _UNCOUNTED:
            self.count(action, SecretType.GENERIC, Result.DENIED)

    def count_rotation(self, type_: SecretType, outcome: RotationOutcome, times: int = 1) -> None:
        """Count rotations that ended so, or attempts that failed."""
        self.rotations[type_label(type_), outcome.value] += times

    def count_renewal(self, status: str) -> None:
        """Count a login or renewal of the service's own token."""
        self.renewals[Renewal(status).value] += 1

    def count_retry(self, reason: UnavailableReason) -> None:
        """Count a request that was sent again."""
        self.retries[reason] += 1

    def counting(
        self, action: Action | Operation, type_: SecretType = SecretType.GENERIC
    ) -> Counting:
        """Count what is done inside as one operation, failed if it raises; its time is recorded if
        it has asked Vault. One that is cancelled is not counted: its caller has gone, and nobody
        knows how it would have ended.
        """
        return Counting(self, action, type_)

    def totals(self) -> Counter[OperationKey]:
        """Return all operations, the fresh reads among them."""
        # Copied by one step of the interpreter: the scrape is in another thread.
        totals = Counter(dict(self.operations))
        for label, (count,) in list(self.fresh_reads.items()):
            totals[Action.READ.value, label, Result.OK.value] += count
        return totals

    def close(self) -> None:
        """Leave the totals to the process; a second call does nothing."""
        with handover:
            if self in live:
                live.discard(self)
                past.add(self)


class Counting:
    """What `Tally.counting` gives: a block that is counted as one operation."""

    __slots__ = ("_action", "_outcome", "_tally", "_timed", "_type")

    _outcome: Outcome

    def __init__(self, tally: Tally, action: Action | Operation, type_: SecretType) -> None:
        self._tally = tally
        self._action = action
        self._type = type_
        self._timed = timed(action)

    def __enter__(self) -> Outcome:
        """Begin; what happens inside may say better how it went."""
        self._outcome = self._timed.__enter__()
        self._outcome.secret_type = self._type
        return self._outcome

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Count it, and record its time."""
        outcome = self._outcome
        if error is None:
            self._tally.count(self._action, outcome.secret_type, outcome.result)
        elif not isinstance(error, asyncio.CancelledError):
            self._tally.count(self._action, outcome.secret_type, _result_of(error))
        self._timed.__exit__()


def _one_label(counts: Counter[str]) -> Counts:
    return {(label,): count for label, count in list(counts.items())}


_READS: Final[Mapping[str, Callable[[Tally], Counts]]] = {
    "operations": Tally.totals,
    "rotations": lambda tally: dict(tally.rotations),
    "renewals": lambda tally: _one_label(tally.renewals),
    "retries": lambda tally: _one_label(tally.retries),
    "failovers": lambda tally: {(): tally.sources.failovers()},
    "hits": lambda tally: {(): tally.sources.cache().hits},
    "misses": lambda tally: {(): tally.sources.cache().misses},
    "stale_serves": lambda tally: {(): tally.sources.cache().stale_serves},
    "coalesced": lambda tally: {(): tally.sources.cache().coalesced},
    "evictions": lambda tally: {(): tally.sources.cache().evictions},
}

_SEEDS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "operations": _SEED,
    "rotations": _ROTATION_SEED,
    "renewals": tuple((status.value,) for status in Renewal),
    "retries": tuple((reason,) for reason in RETRY_REASONS),
}


class Past:
    """The totals of closed services."""

    def __init__(self) -> None:
        self.counts = {name: Counter(dict.fromkeys(_SEEDS.get(name, ((),)), 0)) for name in _READS}

    def add(self, tally: Tally) -> None:
        """Take over what a service has counted."""
        for name, read in _READS.items():
            self.counts[name].update(read(tally))


live: Final[WeakSet[Tally]] = WeakSet()
past: Final = Past()
# Metrics are rendered on another thread: a tally must be in one of the two, never in both.
handover: Final = Lock()


def total(name: str) -> Counts:
    """Return a counter's values over all services of the process, closed ones among them."""
    read = _READS[name]
    with handover:
        totals = Counter(past.counts[name])
        for tally in live:
            totals.update(read(tally))
    return totals


def services() -> list[Tally]:
    """Return the tallies of services that are open."""
    with handover:
        return list(live)


def _result_of(error: BaseException) -> Result:
    match error:
        case SecretsError():
            return result_of(error)
        case TimeoutError():
            return Result.TIMEOUT
        case _:
            return Result.ERROR
