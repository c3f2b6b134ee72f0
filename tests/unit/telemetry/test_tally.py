from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from greenlang_secrets.access import Action
from greenlang_secrets.model import SecretType
from greenlang_secrets.rotation_model import RotationOutcome
from greenlang_secrets.telemetry import CacheStats, Operation, Result, Tally
from support.label_values import RESULTS, SECRET_TYPES

COMMON = ("ok", "denied", "unavailable", "timeout", "error")
GAUGES = {
    "gl_vault_leases",
    "gl_vault_requests_in_flight",
    "gl_secrets_cache_entries",
    "gl_secrets_cache_bytes",
    "gl_secrets_cache_oldest_stale",
}
"""Those that are there without a service."""
OPERATIONS = {"list", "read", "versions", "create", "update", "delete", "undelete", "destroy"}


def tally_of(stats: CacheStats) -> Tally:
    """A tally of a cache that counted so."""
    tally = Tally()
    tally.sources.cache = lambda: stats
    return tally


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

    assert tally.sources.cache() == CacheStats(hits=0, misses=0)


# ---------------------------------------------------------------- what is exported


def test_ten_counters_come_out(collected):
    """The names are the contract; the exporter adds `_total`."""
    assert set(collected.points()) - GAUGES == {
        "gl_secrets_rotation",
        "gl_secrets_operations",
        "gl_secrets_cache_hits",
        "gl_secrets_cache_misses",
        "gl_secrets_cache_stale_serves",
        "gl_secrets_cache_coalesced",
        "gl_secrets_cache_evictions",
        "gl_vault_auth_renewals",
        "gl_vault_request_retries",
        "gl_vault_failovers",
    }


def test_counters_only_rise(collected):
    """All are monotonic, cumulative sums: what `rate()` and `increase()` want."""
    data = collected.reader.get_metrics_data()
    metrics = [
        metric
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name not in GAUGES
    ]

    assert [metric.data.is_monotonic for metric in metrics] == [True] * 10
    assert {metric.data.aggregation_temporality.name for metric in metrics} == {"CUMULATIVE"}


def test_common_series_are_there_from_the_start(collected):
    """Before anything happened the usual series are 0: `increase()` misses a first sample."""
    points = collected.points()

    assert points["gl_secrets_operations"] == {
        (operation, result, "generic"): 0
        for operation in OPERATIONS | {"rotate"}
        for result in COMMON
    } | {
        (operation, result, type_): 0
        for operation, type_ in (
            ("issue", "certificate"),
            ("issue", "database"),
            ("encrypt", "encryption_key"),
            ("decrypt", "encryption_key"),
            ("login", "service_token"),
            ("renew", "service_token"),
            ("renew", "database"),
            ("revoke", "service_token"),
            ("revoke", "database"),
        )
        for result in COMMON
    }
    assert points["gl_vault_auth_renewals"] == {
        ("success",): 0,
        ("failure",): 0,
        ("relogin",): 0,
    }
    assert points["gl_vault_request_retries"] == {
        (reason,): 0
        for reason in ("sealed", "standby", "network", "timeout", "overloaded", "audit", "tls")
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
    for action in (*Action, *Operation):
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
    assert {point.attributes["operation"] for point in points} == (
        OPERATIONS | {"rotate", "status", *Operation}
    )
    assert {point.attributes["secret_type"] for point in points} == SECRET_TYPES
    assert {point.attributes["result"] for point in points} == RESULTS


def test_counts_of_a_service_come_out(collected):
    """What a tally counted is what is exported."""
    tally = tally_of(CacheStats(hits=7, misses=3))
    tally.count(Action.READ, SecretType.DATABASE, Result.NOT_FOUND)
    tally.fresh_reads_of(SecretType.DATABASE)[0] += 7

    points = collected.points()

    assert points["gl_secrets_operations"]["read", "not_found", "database"] == 1
    assert points["gl_secrets_operations"]["read", "ok", "database"] == 7
    assert points["gl_secrets_cache_hits"] == {(): 7}
    assert points["gl_secrets_cache_misses"] == {(): 3}


def test_two_services_add_up(collected):
    """Two services in one process are one series."""
    first = tally_of(CacheStats(hits=1, misses=10))
    second = tally_of(CacheStats(hits=2, misses=20))
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
    first = tally_of(CacheStats(hits=1, misses=10))
    second = tally_of(CacheStats(hits=2, misses=20))
    first.count(Action.READ, SecretType.CACHE, Result.OK)
    first.fresh_reads_of(SecretType.CACHE)[0] += 4
    second.count(Action.READ, SecretType.CACHE, Result.OK)
    before = collected.points()

    first.close()

    assert collected.points() == before
    assert collected.operations("read", "cache", "ok") == 6


def test_closed_service_that_is_gone_still_counts(collected):
    """The totals stay when the service is collected, and the next service adds to them."""
    tally = tally_of(CacheStats(hits=5))
    tally.count(Action.CREATE, SecretType.CACHE, Result.OK)
    tally.close()
    del tally

    following = tally_of(CacheStats(hits=1))
    following.count(Action.CREATE, SecretType.CACHE, Result.OK)

    assert collected.operations("create", "cache", "ok") == 2
    assert collected.points()["gl_secrets_cache_hits"] == {(): 6}


def test_closing_twice_counts_once(collected):
    """A second close does not leave the totals twice."""
    tally = tally_of(CacheStats(hits=5))
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

    def stats() -> CacheStats:
        if closing and not threads:
            threads.append(threading.Thread(target=scrape))
            threads[0].start()
            threads[0].join(0.2)  # a scrape that waits for the close goes on after it
        return CacheStats(hits=5)

    closing = False
    tally = Tally()
    tally.sources.cache = stats
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
    other = type(collected)()
    tally = Tally()
    tally.count(Action.READ, SecretType.CACHE, Result.OK)

    seen = (collected.points(), collected.points(), other.points())
    other.provider.shutdown()

    assert seen[0] == seen[1] == seen[2]


def test_renewals_and_retries_are_counted(collected):
    """Under their status and their reason."""
    tally = Tally()
    tally.count_renewal("relogin")
    tally.count_retry("audit")
    tally.count_retry("audit")

    points = collected.points()

    assert points["gl_vault_auth_renewals"]["relogin",] == 1
    assert points["gl_vault_request_retries"]["audit",] == 2


def test_status_that_is_none_is_refused():
    """A label's value is one of the closed set, or the caller hears of it."""
    with pytest.raises(ValueError, match="unheard of"):
        Tally().count_renewal("unheard of")


def test_what_others_count_stays_after_a_close(collected):
    """The numbers of the cache and of the transport are left to the process as well."""
    tally = tally_of(CacheStats(stale_serves=1, coalesced=2, evictions=3))
    tally.sources.failovers = lambda: 4
    tally.count_retry("tls")
    tally.count_renewal("failure")
    before = collected.points()

    tally.close()
    del tally
    after = collected.points()

    assert after == before
    assert after["gl_secrets_cache_stale_serves"] == {(): 1}
    assert after["gl_secrets_cache_coalesced"] == {(): 2}
    assert after["gl_secrets_cache_evictions"] == {(): 3}
    assert after["gl_vault_failovers"] == {(): 4}


def test_timeout_is_counted_as_one():
    """Also one that is no error of ours, such as a deadline's."""
    tally = Tally()
    with pytest.raises(TimeoutError), tally.counting(Operation.REVOKE, SecretType.SERVICE_TOKEN):
        raise TimeoutError

    assert tally.totals() == {("revoke", "service_token", "timeout"): 1}


async def test_what_is_cancelled_is_neither_well_nor_ill():
    """A caller who goes away weighs on nobody's error budget; an error of ours does."""
    tally = Tally()

    async def read(begun: asyncio.Event) -> None:
        with tally.counting(Action.READ):
            begun.set()
            await asyncio.Event().wait()

    begun = asyncio.Event()
    reading = asyncio.ensure_future(read(begun))
    await begun.wait()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    with pytest.raises(ValueError, match="ours"), tally.counting(Action.READ):
        raise ValueError("ours")

    assert tally.operations == {("read", "generic", "error"): 1}
