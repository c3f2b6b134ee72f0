"""The shipped monitoring around a running service: a real Prometheus and a real Alertmanager with
the files of ``observability/``, and a webhook where PagerDuty and Slack would be.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from contracts.rules import seconds
from observability.servers import Alertmanager, Prometheus
from observability.tools import ROOT

SPEED = float(os.environ.get("GREENLANG_SECRETS_TEST_ALERT_SPEED", "15"))
"""How many times faster than shipped it is scraped, evaluated and told; 1 is as shipped."""

ENVIRONMENT = "prod"

_WAITS = {
    *("scrape_interval", "scrape_timeout", "evaluation_interval", "interval", "for"),
    *("keep_firing_for", "group_wait", "group_interval", "repeat_interval", "resolve_timeout"),
}


def faster(document: Any, speed: float = SPEED) -> Any:
    """The same configuration with every wait shortened; what a query looks back on stays."""
    if isinstance(document, Mapping):
        return {
            key: f"{max(1, round(seconds(value) / speed * 1000))}ms"
            if key in _WAITS and isinstance(value, str)
            else faster(value, speed)
            for key, value in document.items()
        }
    return [faster(each, speed) for each in document] if isinstance(document, list) else document


@dataclass(frozen=True)
class Notice:
    """An alert as a receiver was told of it."""

    receiver: str
    status: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    at: float

    @property
    def name(self) -> str:
        """The alert's."""
        return self.labels["alertname"]


class Told:
    """What every receiver was told, oldest first."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    async def post(self, request: web.Request) -> web.Response:
        """Take what Alertmanager tells."""
        for alert in (await request.json())["alerts"]:
            self.notices.append(
                Notice(
                    request.match_info["receiver"],
                    alert["status"],
                    alert["labels"],
                    alert["annotations"],
                    time.monotonic(),
                )
            )
        return web.Response()

    def of(self, receiver: str, name: str, status: str = "firing") -> list[Notice]:
        """The notices of one alert to one receiver."""
        return [
            each
            for each in self.notices
            if (each.receiver, each.name, each.status) == (receiver, name, status)
        ]

    async def until(self, condition: Callable[[Told], object], within: float) -> None:
        """Wait for what they are told."""
        async with asyncio.timeout(within):
            while not condition(self):
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def webhook() -> AsyncIterator[tuple[str, Told]]:
    """A receiver of everything, with its base URL."""
    told = Told()
    application = web.Application()
    application.router.add_post("/{receiver}", told.post)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        _, port = runner.addresses[0]
        yield f"http://127.0.0.1:{port}", told
    finally:
        await runner.cleanup()


def alertmanager_config(hook: str, *, speed: float = SPEED) -> Mapping[str, Any]:
    """The shipped routes and inhibitions, with the webhook for every receiver."""
    shipped = yaml.safe_load((ROOT / "observability/alertmanager/alertmanager.yaml").read_text())
    config: dict[str, Any] = faster(shipped, speed)
    config["receivers"] = [
        {
            "name": each["name"],
            "webhook_configs": [{"url": f"{hook}/{each['name']}", "send_resolved": True}],
        }
        for each in shipped["receivers"]
    ]
    return config


def prometheus_config(
    folder: Path, targets: Mapping[str, str], alertmanager: str | None, *, speed: float = SPEED
) -> Mapping[str, Any]:
    """The shipped configuration and rules, with targets of one's own by job."""
    shipped = yaml.safe_load((ROOT / "observability/prometheus/prometheus.yaml").read_text())
    config: dict[str, Any] = faster(shipped, speed)
    rules = []
    for path in sorted((ROOT / "observability/prometheus/rules").glob("*.yaml")):
        rules.append(folder / path.name)
        rules[-1].write_text(yaml.safe_dump(faster(yaml.safe_load(path.read_text()), speed)))
    config["global"]["external_labels"] = {"environment": ENVIRONMENT}
    config["rule_files"] = [str(each) for each in rules]
    config["alerting"] = {
        "alertmanagers": [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}]
        if alertmanager
        else []
    }
    for job in config["scrape_configs"]:
        found = [key for key in job if key.endswith("_sd_configs")]
        for key in found:
            del job[key]
        target = targets.get(job["job_name"])
        labels = {"environment": ENVIRONMENT, "namespace": "greenlang"}
        job["scheme"] = "http"
        for key in ("tls_config", "authorization", "relabel_configs"):
            job.pop(key, None)
        job["static_configs"] = [
            {"targets": [target.removeprefix("http://")] if target else [], "labels": labels}
        ]
    assert targets.keys() <= {job["job_name"] for job in config["scrape_configs"]}
    return config


@contextlib.asynccontextmanager
async def watched(
    folder: Path, targets: Mapping[str, str], *, speed: float = SPEED
) -> AsyncIterator[tuple[Prometheus, Alertmanager, Told]]:
    """Prometheus over the targets, given by job, and an Alertmanager that tells a webhook."""
    async with (
        webhook() as (hook, told),
        Alertmanager(alertmanager_config(hook, speed=speed)) as alertmanager,
        Prometheus(
            prometheus_config(folder, targets, alertmanager.url, speed=speed),
            # What it tells before it has found Alertmanager is told again after this.
            flags={"rules.alert.resend-delay": f"{max(1, round(60_000 / speed))}ms"},
        ) as prometheus,
    ):
        yield prometheus, alertmanager, told


async def all_up(prometheus: Prometheus, jobs: Sequence[str], within: float) -> None:
    """Wait until Prometheus has scraped every job."""
    async with asyncio.timeout(within):
        while not set(jobs) <= {
            job for job, up in (await prometheus.targets()).items() if up == "up"
        }:
            await asyncio.sleep(0.1)
