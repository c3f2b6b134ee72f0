"""What PagerDuty, Slack and the dead man's switch get from a real Alertmanager."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from observability.routes import ALERTMANAGER
from observability.servers import Alertmanager

WITHIN = 60.0
"""Seconds for a message to arrive, on a busy machine."""

RUNBOOK = "https://greenlang.io/runbooks/ESOSyncFailed"
DASHBOARD = "https://grafana.greenlang.io/d/gl-secrets?var-environment=prod&viewPanel=701"


@contextlib.asynccontextmanager
async def mailbox() -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """A server that keeps the last JSON it was sent, by path, with the bearer beside it."""
    got: dict[str, Any] = {}

    async def post(request: web.Request) -> web.Response:
        got[request.path] = await request.json()
        got[f"{request.path} bearer"] = request.headers.get("Authorization")
        return web.json_response({"status": "success"}, status=202)

    application = web.Application()
    application.router.add_post("/{name}", post)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", got
    finally:
        await runner.cleanup()


def shipped(folder: Path, url: str) -> Mapping[str, Any]:
    """Return the shipped configuration, with keys of this test's and its server for every other."""
    config = yaml.safe_load(ALERTMANAGER.read_text("utf-8"))
    for name, text in {"key": "routing-key-1", "slack": f"{url}/slack", "bearer": "b-1"}.items():
        (folder / name).write_text(text, "utf-8")
    pagerduty, slack, switch = config["receivers"]
    pagerduty["pagerduty_configs"][0] |= {
        "url": f"{url}/pagerduty",
        "routing_key_file": str(folder / "key"),
    }
    slack["slack_configs"][0]["api_url_file"] = str(folder / "slack")
    switch["webhook_configs"][0]["url"] = f"{url}/switch"
    authorization = switch["webhook_configs"][0]["http_config"]["authorization"]
    authorization["credentials_file"] = str(folder / "bearer")
    for route in (config["route"], *config["route"]["routes"]):
        route["group_wait"] = "0s"
    return config


def alert(name: str, severity: str, *, secret: str = "shop/database") -> dict[str, Any]:
    """Return an alert as Prometheus sends it."""
    return {
        "labels": {
            "alertname": name,
            "severity": severity,
            "service": "secrets",
            "team": "platform-security",
            "environment": "prod",
            "secret": secret,
        },
        "annotations": {
            "summary": f"{name} in prod",
            "description": f"It is about {secret}.",
            "runbook_url": RUNBOOK,
            "dashboard_url": DASHBOARD,
        },
    }


async def told(folder: Path, path: str, *alerts: Mapping[str, Any]) -> dict[str, Any]:
    """Send alerts to an Alertmanager, and return everything once something came at a path."""
    async with (
        mailbox() as (url, got),
        Alertmanager(shipped(folder, url)) as alertmanager,
        aiohttp.ClientSession() as session,
    ):
        async with session.post(f"{alertmanager.url}/api/v2/alerts", json=alerts) as answer:
            assert answer.status == 200, await answer.text()
        async with asyncio.timeout(WITHIN):
            while path not in got:
                await asyncio.sleep(0.05)
        return got


async def test_pagerduty_gets_an_event_that_leads_to_help(tmp_path):
    """One event of Events API v2 for all secrets of an alert, with links and what it is about."""
    got = await told(
        tmp_path,
        "/pagerduty",
        alert("ESOSyncFailed", "critical"),
        alert("ESOSyncFailed", "critical", secret="shop/mailer"),
    )

    event = got["/pagerduty"]
    assert event["routing_key"] == "routing-key-1"
    assert event["event_action"] == "trigger"
    assert event["payload"]["summary"] == "ESOSyncFailed in prod"
    assert event["payload"]["severity"] == "critical"
    assert event["payload"]["class"] == "ESOSyncFailed"
    assert event["payload"]["component"] == "secrets"
    assert event["payload"]["group"] == "prod"
    assert event["payload"]["custom_details"]["num_firing"] == "2"
    assert event["payload"]["custom_details"]["what"].strip() == (
        "It is about shop/database. It is about shop/mailer."
    )
    assert event["links"] == [
        {"href": RUNBOOK, "text": "Runbook"},
        {"href": DASHBOARD, "text": "Dashboard"},
    ]


async def test_slack_gets_a_message_that_leads_to_help(tmp_path):
    """A warning is a message with its title, what it is about, and two buttons."""
    got = await told(tmp_path, "/slack", alert("ESOStale", "warning"))

    [attachment] = got["/slack"]["attachments"]
    assert got["/slack"]["channel"] == "#secrets-alerts"
    assert attachment["title"] == "ESOStale in prod"
    assert attachment["title_link"] == RUNBOOK
    assert attachment["text"].strip() == "It is about shop/database."
    assert attachment["color"] == "warning"
    assert [(each["text"], each["url"]) for each in attachment["actions"]] == [
        ("Runbook", RUNBOOK),
        ("Dashboard", DASHBOARD),
    ]
    assert "/pagerduty" not in got


async def test_the_dead_mans_switch_hears_of_the_watchdog(tmp_path):
    """The Watchdog arrives with the bearer from its file, and wakes nobody."""
    got = await told(tmp_path, "/switch", alert("Watchdog", "none"))

    assert [each["labels"]["alertname"] for each in got["/switch"]["alerts"]] == ["Watchdog"]
    assert got["/switch bearer"] == "Bearer b-1"
    assert "/pagerduty" not in got
    assert "/slack" not in got
