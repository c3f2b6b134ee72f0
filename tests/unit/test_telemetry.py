from __future__ import annotations

import threading
from collections.abc import Iterator
from weakref import WeakSet

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from greenlang_secrets.access import Action
from greenlang_secrets.errors import (
    AccessDenied,
    AncestorIsSecret,
    AuditUnavailable,
    AuthenticationLost,
    CatalogueUnavailable,
    CiphertextRefused,
    CiphertextTooOld,
    ConfigurationError,
    Conflict,
    InvalidPath,
    InvalidRequest,
    InvalidSecret,
    InvalidTenant,
    InvalidVersion,
    LeaseExpired,
    NotRenewable,
    NotRotatable,
    ObjectExists,
    ObjectNotFound,
    OutcomeUnknown,
    OverlapInProgress,
    PathIsFolder,
    PreconditionRequired,
    ReservedName,
    RotationFailed,
    RotationFenced,
    RotationInProgress,
    RotationLost,
    SecretDeleted,
    SecretExists,
    SecretIncomplete,
    SecretNotFound,
    SecretsError,
    SecretTooLarge,
    SecretTypeMismatch,
    SecretUnavailable,
    VaultError,
    VaultProtocolError,
    VaultRefused,
    VaultUnavailable,
    VersionConflict,
    VersionDestroyed,
    VersionNotFound,
    WrappingTokenForeign,
    WrappingTokenUsed,
)
from greenlang_secrets.model import SecretType
from greenlang_secrets.rotation_model import RotationOutcome
from greenlang_secrets.telemetry import Instruments, Result, Tally, result_of, type_label
from greenlang_secrets.telemetry import tally as telemetry

RESULTS = {
    "ok",
    "stale",
    "not_found",
    "denied",
    "conflict",
    "invalid",
    "rate_limited",
    "unavailable",
    "timeout",
    "error",
}
SECRET_TYPES = {
    "database",
    "cache",
    "api_key",
    "certificate",
    "encryption_key",
    "service_token",
    "generic",
}
OPERATIONS = {"list", "read", "versions", "create", "update", "delete", "undelete", "destroy"}


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is a process of its own: no tally of another test's service counts."""
    monkeypatch.setattr(telemetry, "live", WeakSet())
    monkeypatch.setattr(telemetry, "past", telemetry.Past())


class Collected:
    """What an exporter gets from one provider."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider(metric_readers=[self.reader], shutdown_on_exit=False)
        Instruments(self.provider)

    def points(self) -> dict[str, dict[tuple[str, ...], int | float]]:
        """The values of each instrument by its labels' values, in the order of their names."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: {
                tuple(str(value) for _, value in sorted((point.attributes or {}).items())): (
                    point.value
                )
                for point in metric.data.data_points
            }
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def operations(self, operation: str, secret_type: str, result: str) -> int | float:
        return self.points()["gl_secrets_operations"].get((operation, result, secret_type), 0)


@pytest.fixture
def collected():
    collected = Collected()
    yield collected
    collected.provider.shutdown()


# ---------------------------------------------------------------- labels


def test_results_are_a_closed_set():
    """The `result` label has these ten values; alerts are written for them."""
    assert {result.value for result in Result} == RESULTS


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (SecretType.DATABASE, "database"),
        (SecretType.CACHE, "cache"),
        (SecretType.API_KEY, "api_key"),
        (SecretType.CERTIFICATE, "certificate"),
        (SecretType.ENCRYPTION_KEY, "encryption_key"),
        (SecretType.SERVICE_TOKEN, "service_token"),
        (SecretType.OAUTH_CLIENT, "generic"),
        (SecretType.SSH_KEY, "generic"),
        (SecretType.SIGNING_KEY, "generic"),
        (SecretType.GENERIC, "generic"),
    ],
)
def test_rare_types_count_as_generic(type_, expected):
    """The `secret_type` label has seven values."""
    assert type_label(type_) == expected


def test_every_type_has_a_label_of_the_closed_set():
    """A new type gets no label of its own by accident."""
    assert {type_label(type_) for type_ in SecretType} == SECRET_TYPES


ERRORS = [
    (SecretsError(), "error"),
    (ConfigurationError("x"), "error"),
    (InvalidRequest(), "invalid"),
    (InvalidPath(), "invalid"),
    (ReservedName(), "invalid"),
    (InvalidTenant(), "invalid"),
    (InvalidVersion(), "invalid"),
    (InvalidSecret(), "invalid"),
    (SecretTooLarge(), "invalid"),
    (AccessDenied(), "denied"),
    (NotRotatable(), "invalid"),
    (RotationInProgress(), "conflict"),
    (OverlapInProgress(), "conflict"),
    (RotationFailed("target_unavailable"), "error"),
    (RotationFenced(), "error"),
    (RotationLost(), "error"),
    (AuditUnavailable(), "error"),
    (CatalogueUnavailable(), "error"),
    (SecretUnavailable(), "not_found"),
    (SecretNotFound(), "not_found"),
    (ObjectNotFound("role"), "not_found"),
    (ObjectExists("role"), "conflict"),
    (LeaseExpired(), "conflict"),
    (NotRenewable(), "conflict"),
    (CiphertextRefused(), "invalid"),
    (CiphertextTooOld(), "invalid"),
    (WrappingTokenUsed(), "denied"),
    (WrappingTokenForeign(), "denied"),
    (SecretDeleted(path="a", version=1, destroyed=False), "not_found"),
    (VersionNotFound(), "not_found"),
    (Conflict(), "conflict"),
    (SecretExists(), "conflict"),
    (VersionConflict(), "conflict"),
    (VersionDestroyed(), "conflict"),
    (PathIsFolder(), "conflict"),
    (AncestorIsSecret(), "conflict"),
    (SecretTypeMismatch(declared="generic", expected="api_key"), "conflict"),
    (SecretIncomplete("host"), "conflict"),
    (PreconditionRequired(), "conflict"),
    (VaultError(), "error"),
    (VaultUnavailable("sealed"), "unavailable"),
    (VaultUnavailable("standby"), "unavailable"),
    (VaultUnavailable("network"), "unavailable"),
    (VaultUnavailable("timeout"), "timeout"),
    (VaultUnavailable("overloaded"), "unavailable"),
    (VaultUnavailable("audit"), "unavailable"),
    (VaultUnavailable("tls"), "unavailable"),
    (VaultProtocolError(), "error"),
    (VaultRefused(status=400), "error"),
    (AuthenticationLost(), "unavailable"),
    (OutcomeUnknown(), "error"),
]


@pytest.mark.parametrize(
    ("error", "expected"), ERRORS, ids=[f"{type(error).__name__}-{error}" for error, _ in ERRORS]
)
def test_every_failure_has_its_result(error, expected):
    """A failure counts as the caller's or as ours, by its class."""
    assert result_of(error) == expected


def test_table_of_failures_is_complete():
    """A new error class must be given a row in the table above."""

    def below(cls: type[SecretsError]) -> set[type[SecretsError]]:
        return {cls}.union(*map(below, cls.__subclasses__()))

    ours = {
        cls for cls in below(SecretsError) if cls.__module__.startswith("greenlang_secrets.errors.")
    }
    assert {type(error) for error, _ in ERRORS} == ours


# ---------------------------------------------------------------- one tally


def test_operation_is_counted_by_its_labels():
    """Each operation adds one to the count of its action, type and result."""
    tally = Tally()

    tally.count(Action.READ, SecretType.DATABASE, Result.STALE)
    tally.count(Action.READ, SecretType.DATABASE, Result.STALE)
    tally.count(Action.CREATE, SecretType.SSH_KEY, Result.OK)

    assert tally.totals() == {("read", "database", "stale"): 2, ("create", "generic", "ok"): 1}


def test_fresh_reads_are_reads_that_went_well():
    """What the cache counts by itself is added to the reads of its type."""
    tally = Tally()
    tally.count(Action.READ, SecretType.DATABASE, Result.OK)

    tally.fresh_reads_of(SecretType.DATABASE)[0] += 5
    tally.fresh_reads_of(SecretType.CACHE)[0] += 1

    assert tally.totals() == {("read", "database", "ok"): 6, ("read", "cache", "ok"): 1}


def test_types_with_one_label_share_one_count():
    """The cache gets the same list for types that are counted alike."""
    tally = Tally()

    assert tally.fresh_reads_of(SecretType.SSH_KEY) is tally.fresh_reads_of(SecretType.GENERIC)
    assert tally.fresh_reads_of(SecretType.CACHE) is not tally.fresh_reads_of(SecretType.GENERIC)


def test_totals_are_a_copy():
    """Adding up changes nothing, however often it is done."""
    tally = Tally()
    tally.fresh_reads_of(SecretType.CACHE)[0] += 1

    tally.totals().clear()

    assert tally.totals() == tally.totals() == {("read", "cache", "ok"): 1}


def test_cache_counts_are_zero_without_a_cache():
    """A tally that is told of no cache has neither hits nor misses."""
    tally = Tally()

    assert (tally.hits(), tally.misses()) == (0, 0)


# ---------------------------------------------------------------- what is exported


def test_four_counters_come_out(collected):
    """The names are the contract; the exporter adds `_total`."""
    assert set(collected.points()) == {
        "gl_secrets_rotation",
        "gl_secrets_operations",
        "gl_secrets_cache_hits",
        "gl_secrets_cache_misses",
    }


def test_counters_only_rise(collected):
    """All are monotonic, cumulative sums: what `rate()` and `increase()` want."""
    data = collected.reader.get_metrics_data()
    metrics = data.resource_metrics[0].scope_metrics[0].metrics

    assert [metric.data.is_monotonic for metric in metrics] == [True] * 4
    assert {metric.data.aggregation_temporality.name for metric in metrics} == {"CUMULATIVE"}


def test_common_series_are_there_from_the_start(collected):
    """Before anything happened the usual series are 0: `increase()` misses a first sample."""
    points = collected.points()

    assert points["gl_secrets_operations"] == {
        (operation, result, "generic"): 0
        for operation in OPERATIONS | {"rotate"}
        for result in ("ok", "denied", "unavailable", "timeout", "error")
    }
    assert points["gl_secrets_cache_hits"] == {(): 0}
    assert points["gl_secrets_cache_misses"] == {(): 0}
    assert points["gl_secrets_rotation"] == {
        (type_, status): 0
        for type_ in SECRET_TYPES
        for status in ("success", "failure", "conflict", "skipped")
    }


def test_rotations_are_counted_by_type_and_status(collected):
    """What a tally counted is exported, also after its service is closed; rarer types as generic."""
    tally = Tally()
    tally.count_rotation(SecretType.DATABASE, RotationOutcome.SUCCESS)
    tally.count_rotation(SecretType.SSH_KEY, RotationOutcome.SKIPPED, 3)

    before = collected.points()["gl_secrets_rotation"]
    tally.close()
    after = collected.points()["gl_secrets_rotation"]

    assert before["database", "success"] == 1
    assert before["generic", "skipped"] == 3
    assert after == before


def test_operations_carry_three_labels_of_closed_sets(collected):
    """Labels are operation, secret_type and result; no path, tenant or principal."""
    tally = Tally()
    for action in Action:
        if action in {Action.SCHEDULE, Action.ROTATION_STATUS}:  # recorded, and not counted
            continue
        for type_ in SecretType:
            for result in Result:
                tally.count(action, type_, result)

    data = collected.reader.get_metrics_data()

    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    points = next(one for one in metrics if one.name == "gl_secrets_operations").data.data_points
    assert {frozenset(point.attributes) for point in points} == {
        frozenset({"operation", "secret_type", "result"})
    }
    assert {point.attributes["operation"] for point in points} == OPERATIONS | {"rotate", "status"}
    assert {point.attributes["secret_type"] for point in points} == SECRET_TYPES
    assert {point.attributes["result"] for point in points} == RESULTS


def test_counts_of_a_service_come_out(collected):
    """What a tally counted is what is exported."""
    tally = Tally(hits=lambda: 7, misses=lambda: 3)
    tally.count(Action.READ, SecretType.DATABASE, Result.NOT_FOUND)
    tally.fresh_reads_of(SecretType.DATABASE)[0] += 7

    points = collected.points()

    assert points["gl_secrets_operations"]["read", "not_found", "database"] == 1
    assert points["gl_secrets_operations"]["read", "ok", "database"] == 7
    assert points["gl_secrets_cache_hits"] == {(): 7}
    assert points["gl_secrets_cache_misses"] == {(): 3}


def test_two_services_add_up(collected):
    """Two services in one process are one series."""
    first = Tally(hits=lambda: 1, misses=lambda: 10)
    second = Tally(hits=lambda: 2, misses=lambda: 20)
    first.count(Action.READ, SecretType.CACHE, Result.OK)
    second.count(Action.READ, SecretType.CACHE, Result.OK)
    second.count(Action.LIST, SecretType.GENERIC, Result.OK)

    points = collected.points()

    assert points["gl_secrets_operations"]["read", "ok", "cache"] == 2
    assert points["gl_secrets_operations"]["list", "ok", "generic"] == 1
    assert points["gl_secrets_cache_hits"] == {(): 3}
    assert points["gl_secrets_cache_misses"] == {(): 30}


def test_closing_a_service_lowers_no_counter(collected):
    """A closed service leaves its totals to the process."""
    first = Tally(hits=lambda: 1, misses=lambda: 10)
    second = Tally(hits=lambda: 2, misses=lambda: 20)
    first.count(Action.READ, SecretType.CACHE, Result.OK)
    first.fresh_reads_of(SecretType.CACHE)[0] += 4
    second.count(Action.READ, SecretType.CACHE, Result.OK)
    before = collected.points()

    first.close()

    assert collected.points() == before
    assert collected.operations("read", "cache", "ok") == 6


def test_closed_service_that_is_gone_still_counts(collected):
    """The totals stay when the service is collected, and the next service adds to them."""
    tally = Tally(hits=lambda: 5)
    tally.count(Action.CREATE, SecretType.CACHE, Result.OK)
    tally.close()
    del tally

    following = Tally(hits=lambda: 1)
    following.count(Action.CREATE, SecretType.CACHE, Result.OK)

    assert collected.operations("create", "cache", "ok") == 2
    assert collected.points()["gl_secrets_cache_hits"] == {(): 6}


def test_closing_twice_counts_once(collected):
    """A second close does not leave the totals twice."""
    tally = Tally(hits=lambda: 5)
    tally.count(Action.CREATE, SecretType.CACHE, Result.OK)

    tally.close()
    tally.close()

    assert collected.operations("create", "cache", "ok") == 1
    assert collected.points()["gl_secrets_cache_hits"] == {(): 5}


def test_scrape_while_a_service_closes_sees_no_counter_fall(collected):
    """Metrics are rendered on another thread: in the middle of a close the totals are whole."""
    seen: list[int | float] = []
    threads: list[threading.Thread] = []

    def scrape() -> None:
        seen.append(collected.points()["gl_secrets_cache_hits"][()])

    def hits() -> int:
        if closing and not threads:
            threads.append(threading.Thread(target=scrape))
            threads[0].start()
            threads[0].join(0.2)  # a scrape that waits for the close goes on after it
        return 5

    closing = False
    tally = Tally(hits=hits)
    closing = True

    tally.close()
    threads[0].join()

    assert seen == [5]


def test_label_that_appears_while_totals_are_added_up_does_no_harm():
    """The loop counts on while another thread adds up: a new type then is no error."""

    class Meddling(list[int]):
        def __iter__(self) -> Iterator[int]:
            tally.fresh_reads_of(SecretType.DATABASE)
            return super().__iter__()

    tally = Tally()
    tally.fresh_reads["cache"] = Meddling([3])
    tally.fresh_reads["generic"] = [1]

    totals = tally.totals()

    assert totals["read", "cache", "ok"] == 3
    assert totals["read", "generic", "ok"] == 1


def test_two_providers_see_the_same(collected):
    """Each MeterProvider may have its instruments; collecting from one takes nothing away."""
    other = Collected()
    tally = Tally()
    tally.count(Action.READ, SecretType.CACHE, Result.OK)

    seen = (collected.points(), collected.points(), other.points())
    other.provider.shutdown()

    assert seen[0] == seen[1] == seen[2]
