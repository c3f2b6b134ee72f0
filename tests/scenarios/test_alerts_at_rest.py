"""A service that is well fires no alert: Prometheus with the shipped rules over real servers.

`test_alerting.py` is the control: there the same rules fire.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from api.conftest import service_config_for
from api.issuer import AUDIENCE, ISSUER, Issuer
from api.live import running
from contracts.promql import selected
from contracts.rules import expressions
from greenlang_secrets_api.config import ApiConfig
from support.watched import SPEED, all_up, watched

PATIENCE = 120.0
"""Seconds for one step, on a busy machine."""

AT_REST = 15 * 60 / SPEED
"""Seconds for which nothing may fire: 15 minutes as shipped, the longest `for` but two."""

NOT_HERE = {
    # nobody runs the External Secrets Operator here
    "externalsecret_status_condition",
    "gl_eso_last_sync_timestamp_seconds",
    "gl_eso_ready",
    "gl_eso_refresh_interval_seconds",
    "gl_eso_sync_total",
    "gl_eso_watch_connected",
    # a root token and KV secrets have no lease, and nothing is rotated
    "gl_certificate_expiry_timestamp_seconds",
    "gl_certificate_lifetime_seconds",
    "gl_secrets_rotation_due_timestamp_seconds",
    "gl_vault_lease_granted_seconds",
    "gl_vault_lease_ttl_seconds",
    "gl_vault_token_ttl_seconds",
    # the server has one node, which stores in memory, and no quota that refuses
    "vault_autopilot_healthy",
    "vault_quota_rate_limit_violation",
}
"""What rules ask for and this small stage has not."""


@pytest.mark.timeout(int(2 * PATIENCE + AT_REST + 60))
async def test_a_service_that_is_well_fires_the_watchdog_alone(vault, tmp_path):
    """Reads, and reads of what is not there, are no reason to wake anybody, nor to bother anybody
    by day; and what the rules ask for is there.
    """
    issuer = Issuer()
    config = ApiConfig(
        jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwks_file=issuer.write(tmp_path / "jwks.json")
    )
    writer = issuer.platform("secrets:read", "secrets:write")
    with running(service_config_for(vault, "secret"), config) as api:
        targets = {"greenlang-secrets": api.url, "openbao": vault.addr}
        async with watched(tmp_path, targets) as (prometheus, _, told):
            await all_up(prometheus, list(targets), PATIENCE)
            made = await api.ask("POST", "database/orders", writer, json={"data": {"key": "1"}})
            assert made.status == 201
            until = time.monotonic() + AT_REST
            while time.monotonic() < until:
                for _ in range(9):
                    assert (await api.ask("GET", "database/orders", writer)).status == 200
                assert (await api.ask("GET", "database/nothing", writer)).status == 404
                await asyncio.sleep(0.1)
            alerts = await prometheus.alerts()
            names = await prometheus.names()

    asked = {each.name for _, expression in expressions() for each in selected(expression)}
    firing = {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}
    assert firing == {"Watchdog"}
    assert {each.name for each in told.notices} == {"Watchdog"}
    assert {name for name in asked if ":" not in name} - names == NOT_HERE
    assert {name for name in asked if ":" in name} - names == set()
