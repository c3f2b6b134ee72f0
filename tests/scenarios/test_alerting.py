"""A Vault that is sealed wakes somebody: the service, Prometheus, Alertmanager, all real."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from api.conftest import service_config_for
from api.issuer import AUDIENCE, ISSUER, Issuer
from api.live import Api, running
from greenlang_secrets_api.config import ApiConfig
from observability.servers import Alertmanager
from support.watched import (
    ENVIRONMENT,
    SPEED,
    alertmanager_config,
    all_up,
    faster,
    prometheus_config,
    watched,
    webhook,
)

PROMISED = 300.0
"""Seconds from the seal to the notification at most, as shipped."""

PATIENCE = 60 + PROMISED / SPEED  # a busy machine's, for one step


@pytest.fixture
def api(vault, tmp_path):
    """The service in front of the test's own server."""
    issuer = Issuer()
    config = ApiConfig(
        jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwks_file=issuer.write(tmp_path / "jwks.json")
    )
    with running(service_config_for(vault, "secret"), config) as api:
        yield api


@pytest.fixture
def targets(api: Api, vault):
    """What Prometheus scrapes, by job."""
    return {"greenlang-secrets": api.url, "openbao": vault.addr}


@pytest.mark.timeout(int(120 + 4 * PATIENCE))
async def test_a_sealed_vault_wakes_somebody_in_time(vault, targets, tmp_path, record_property):
    """Nobody is woken before the seal; then PagerDuty's receiver is, with what to do; the end is
    told; and what a server leaves behind after an unseal wakes nobody.
    """
    async with watched(tmp_path, targets) as (prometheus, alertmanager, told):
        await all_up(prometheus, list(targets), PATIENCE)
        await told.until(lambda it: it.of("dead-mans-switch", "Watchdog"), PATIENCE)
        assert [each.name for each in told.notices if each.receiver == "pagerduty"] == []

        sealed_at = time.monotonic()
        await vault.seal()
        await told.until(lambda it: it.of("pagerduty", "VaultSealed"), PATIENCE)

        [notice] = told.of("pagerduty", "VaultSealed")
        took = notice.at - sealed_at
        record_property("seconds_from_seal_to_notification", took)
        assert took * SPEED < PROMISED or took < PROMISED / 10
        assert notice.labels["severity"] == "critical"
        assert notice.labels["environment"] == ENVIRONMENT
        assert notice.annotations["runbook_url"].endswith("/VaultSealed")
        assert (await prometheus.targets())["openbao"] == "up"

        await vault.unseal()
        await told.until(lambda it: it.of("pagerduty", "VaultSealed", "resolved"), PATIENCE)
        unsealed_at = time.monotonic()
        # Longer than the alert's own wait: it would be firing again.
        while time.monotonic() < unsealed_at + 90 / SPEED:
            assert [each.value for each in await prometheus.query("min(vault_core_unsealed)")] in (
                [0.0],
                [1.0],
            )
            await asyncio.sleep(0.1)
        alerts = {each["labels"]["alertname"] for each in await prometheus.alerts()}
        assert "VaultSealed" not in alerts
        assert len(told.of("pagerduty", "VaultSealed")) == 1
        assert await alertmanager.alerts() != []


def alert(name: str, environment: str, **labels: str) -> dict[str, object]:
    """An alert as Prometheus would send it."""
    now = datetime.now(UTC)
    return {
        "labels": {
            "alertname": name,
            "service": "secrets",
            "environment": environment,
            **labels,
        },
        "annotations": {"summary": name},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(minutes=5)).isoformat(),
    }


async def test_what_follows_from_a_seal_is_kept_silent():
    """Alertmanager itself mutes the followers in the sealed environment, and not in another."""
    async with webhook() as (hook, told), Alertmanager(alertmanager_config(hook)) as alertmanager:
        alerts = [
            alert("VaultSealed", "prod", severity="critical", extent="cluster"),
            alert("SecretsOperationFailures", "prod", severity="critical"),
            alert("ESOSyncFailed", "prod", severity="critical"),
            alert("AuditLogFailing", "prod", severity="critical"),
            alert("SecretsOperationFailures", "", severity="critical"),
        ]
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{alertmanager.url}/api/v2/alerts", json=alerts) as answer,
        ):
            assert answer.status == 200

        await told.until(
            lambda it: (
                it.of("pagerduty", "VaultSealed")
                and it.of("pagerduty", "AuditLogFailing")
                and it.of("pagerduty", "SecretsOperationFailures")
            ),
            30,
        )

        muted = {
            (each["labels"]["alertname"], each["labels"].get("environment", ""))
            for each in await alertmanager.alerts()
            if each["status"]["inhibitedBy"]
        }
    assert muted == {("SecretsOperationFailures", "prod"), ("ESOSyncFailed", "prod")}
    environments = [
        each.labels.get("environment") for each in told.of("pagerduty", "SecretsOperationFailures")
    ]
    assert environments == [None]


def test_shortening_shortens_waits_and_nothing_else(tmp_path):
    """At speed 1 the rules are the shipped ones; faster, each wait is, and no query changes."""
    rule = {"alert": "A", "expr": "rate(x[5m]) > 1", "for": "1m", "labels": {"severity": "none"}}
    assert faster(rule, 1.0) == rule | {"for": "60000ms"}
    assert faster(rule, 15.0) == rule | {"for": "4000ms"}
    config = prometheus_config(tmp_path, {"openbao": "http://127.0.0.1:1"}, None, speed=1.0)
    assert config["global"]["scrape_interval"] == "15000ms"
