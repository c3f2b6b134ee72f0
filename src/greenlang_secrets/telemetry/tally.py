"""What one service counts, and what the process has counted: plain integers.

Tallies are process-wide in sum: two services in one process add up, and a closed one
leaves its totals behind, so that no counter ever falls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Final
from weakref import WeakSet

from greenlang_secrets.access import Action
from greenlang_secrets.errors import SecretsError
from greenlang_secrets.model import SecretType
from greenlang_secrets.rotation_model import RotationOutcome
from greenlang_secrets.telemetry.labels import TYPES, Result, result_of, type_label

__all__ = ["Outcome", "Tally"]


@dataclass(slots=True)
class Outcome:
    """How an operation that is being counted has gone so far; its code may say better."""

    secret_type: SecretType = SecretType.GENERIC
    result: Result = Result.OK


OperationKey = tuple[str, str, str]
"""(operation, secret_type, result)"""

_UNCOUNTED: Final = frozenset({Action.STATUS, Action.SCHEDULE, Action.ROTATION_STATUS})
_SEED: Final[tuple[OperationKey, ...]] = tuple(
    (action.value, SecretType.GENERIC.value, result.value)
    for action in Action
    if action not in _UNCOUNTED
    for result in (Result.OK, Result.DENIED, Result.UNAVAILABLE, Result.TIMEOUT, Result.ERROR)
)
"""Present with 0 from the start: `increase()` does not see a series' first sample."""


RotationKey = tuple[str, str]
"""(secret_type, status)"""

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
        with handover:
            live.add(self)

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
        with handover:
            if self in live:
                live.discard(self)
                past.add(self)


class Past:
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


live: Final[WeakSet[Tally]] = WeakSet()
past: Final = Past()
# Metrics are rendered on another thread: a tally must be in one of the two, never in both.
handover: Final = Lock()
