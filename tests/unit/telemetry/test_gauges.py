from __future__ import annotations

import math
from typing import Any

import pytest

from greenlang_secrets.access import Action
from greenlang_secrets.model import SecretType
from greenlang_secrets.rotation_model import RotationOutcome
from greenlang_secrets.telemetry import (
    CacheStats,
    Life,
    NodeState,
    Operation,
    Result,
    Tally,
    asked_vault,
    type_label,
)
from greenlang_secrets.telemetry.labels import RETRY_REASONS, CircuitState, Renewal


def life(type_: SecretType, left: float, granted: float = 100.0) -> Life:
    return Life(secret_type=type_, left=left, granted=granted)


def token_of(tally: Tally, left: float, granted: float = 100.0) -> None:
    tally.sources.token = lambda: life(SecretType.SERVICE_TOKEN, left, granted)


# ---------------------------------------------------------------- tokens and leases


def test_first_lease_to_end_is_told(collected):
    """Of each type the least time left, and what that very lease was granted."""
    tally = Tally()
    tally.sources.leases = lambda: [
        life(SecretType.DATABASE, 50.0, 900.0),
        life(SecretType.DATABASE, 20.0, 60.0),
        life(SecretType.CERTIFICATE, 70.0),
    ]

    points = collected.points()

    assert points["gl_vault_lease_ttl"] == {("database",): 20.0, ("certificate",): 70.0}
    assert points["gl_vault_lease_granted"] == {("database",): 60.0, ("certificate",): 100.0}
    assert points["gl_vault_leases"] == {
        ("database",): 2,
        ("certificate",): 1,
        ("service_token",): 0,
    }


def test_own_token_counts_as_a_lease(collected):
    """So that the gauge is there from the first login on."""
    tally = Tally()
    token_of(tally, 30.0)

    points = collected.points()

    assert points["gl_vault_token_ttl"] == {(): 30.0}
    assert points["gl_vault_lease_ttl"] == {("service_token",): 30.0}
    assert points["gl_vault_leases"]["service_token",] == 1


def test_what_has_no_end_has_no_time_left(collected, caplog):
    """A root token is counted, and the SDK is given no infinity, which it would log each time."""
    tally = Tally()
    token_of(tally, math.inf, math.inf)

    points = collected.points()

    assert "gl_vault_token_ttl" not in points
    assert "gl_vault_lease_ttl" not in points
    assert points["gl_vault_leases"]["service_token",] == 1
    assert caplog.records == []


def test_without_a_login_there_is_no_time_left(collected):
    """A gauge that cannot be computed is absent, and not 0."""
    tally = Tally()

    assert tally.sources.token() is None
    assert "gl_vault_token_ttl" not in collected.points()


def test_two_services_tell_the_first_to_end(collected):
    """Two services in one process are one series."""
    first, second = Tally(), Tally()
    token_of(first, 30.0)
    token_of(second, 10.0)

    points = collected.points()

    assert points["gl_vault_token_ttl"] == {(): 10.0}
    assert points["gl_vault_leases"]["service_token",] == 2


def test_closed_service_has_no_gauges(collected):
    """What a service held ends with it."""
    tally = Tally()
    token_of(tally, 30.0)
    tally.close()

    assert "gl_vault_token_ttl" not in collected.points()


# ---------------------------------------------------------------- cache, requests, nodes


def test_caches_add_up_and_the_oldest_value_is_told(collected):
    """Entries and octets are those of all services, the age is the greatest."""
    first, second = Tally(), Tally()
    first.sources.cache = lambda: CacheStats(entries=1, bytes=10, oldest_stale=5.0)
    second.sources.cache = lambda: CacheStats(entries=2, bytes=20, oldest_stale=3.0)

    points = collected.points()

    assert points["gl_secrets_cache_entries"] == {(): 3}
    assert points["gl_secrets_cache_bytes"] == {(): 30}
    assert points["gl_secrets_cache_oldest_stale"] == {(): 5.0}


def test_requests_in_flight_add_up(collected):
    """Over all services."""
    first, second = Tally(), Tally()
    first.sources.in_flight = lambda: 2
    second.sources.in_flight = lambda: 1

    assert collected.points()["gl_vault_requests_in_flight"] == {(): 3}


def test_node_is_in_one_state(collected):
    """1 for that, 0 for the others; only who leads or stands by is up."""
    tally = Tally()
    tally.sources.nodes = lambda: {"a:1": NodeState.SEALED, "b:1": NodeState.STANDBY}

    points = collected.points()

    assert points["gl_vault_up"] == {("a:1",): 0, ("b:1",): 1}
    states = points["gl_vault_node_state"]
    assert {labels for labels, value in states.items() if value == 1} == {
        ("a:1", "sealed"),
        ("b:1", "standby"),
    }
    assert len(states) == 10


def test_circuit_is_in_one_state(collected):
    """1 for that, 0 for the other; open if it is so for one of the services."""
    first, second = Tally(), Tally()
    first.sources.circuits = lambda: {"a:1": True, "b:1": False}
    second.sources.circuits = lambda: {"a:1": False}

    assert collected.points()["gl_vault_circuit_state"] == {
        ("a:1", "open"): 1,
        ("a:1", "closed"): 0,
        ("b:1", "open"): 0,
        ("b:1", "closed"): 1,
    }


@pytest.mark.parametrize(
    ("tried", "told"),
    [((), None), ((None,), None), ((True,), 1), ((True, False), 0), ((True, None), 1)],
)
def test_canary_works_if_all_do(collected, tried, told):
    """And is absent where none was tried."""
    tallies = [Tally() for _ in tried]
    for tally, outcome in zip(tallies, tried, strict=True):
        tally.sources.canary = lambda outcome=outcome: outcome

    points = collected.points().get("gl_vault_canary_success")

    assert points == (None if told is None else {(): told})


# ---------------------------------------------------------------- labels

CLOSED = {
    "operation": {str(each) for each in (*Action, *Operation)},
    "secret_type": {type_label(each) for each in SecretType},
    "result": set(map(str, Result)),
    "status": {str(each) for each in (*RotationOutcome, *Renewal)},
    "reason": set(RETRY_REASONS),
    "state": {str(each) for each in (*NodeState, *CircuitState)},
    "node": {"a:1"},
}


def busy() -> Tally:
    """A service that has met everything."""
    tally = Tally()
    for type_ in SecretType:
        tally.count_rotation(type_, RotationOutcome.FAILURE)
        for operation in (*Action, *Operation):
            for result in Result:
                tally.count(operation, type_, result)
                with tally.counting(operation, type_):
                    asked_vault()
    for status in Renewal:
        tally.count_renewal(status.value)
    tally.count_retry("timeout")
    token_of(tally, 1.0)
    tally.sources.leases = lambda: [life(type_, 1.0) for type_ in SecretType]
    tally.sources.nodes = lambda: {"a:1": NodeState.ACTIVE}
    tally.sources.circuits = lambda: {"a:1": True}
    tally.sources.canary = lambda: True
    return tally


def strange(collected: Any) -> set[tuple[str, str]]:
    """Labels, and their values, that are in none of the closed sets."""
    data = collected.reader.get_metrics_data()
    return {
        (label, str(value))
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
        for label, value in (point.attributes or {}).items()
        if value not in CLOSED.get(label, ())
    }


def test_no_label_has_a_value_outside_its_set(collected):
    """Whatever happens, the number of series is bounded."""
    tally = busy()

    assert strange(collected) == set()
    assert tally.totals()["login", "database", "stale"] == 1


def test_value_outside_its_set_would_be_found(collected):
    """The control: a path that got into a label is told."""
    tally = busy()
    tally.operations["read", "tenants/acme", "ok"] += 1

    assert strange(collected) == {("secret_type", "tenants/acme")}
