"""Real processes of Prometheus and Alertmanager."""

from __future__ import annotations

import asyncio

import pytest

from greenlang_secrets.testing import ServerError
from observability.servers import Alertmanager, Prometheus, Sample

NOTHING = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}


async def test_prometheus_scrapes_and_answers():
    """It scrapes itself, tells how its targets are, and answers what is asked of it."""
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "self", "static_configs": [{"targets": []}]}],
    }
    async with Prometheus(config) as prometheus:
        assert await prometheus.query("1 + 1") == [Sample(labels={}, value=2.0)]
        assert await prometheus.query("up") == []
        assert await prometheus.alerts() == []
        assert await prometheus.targets() == {}
        assert await prometheus.names() == frozenset()
        with pytest.raises(ServerError, match="parse error"):
            await prometheus.query("up{")


async def test_prometheus_that_refuses_its_configuration_says_why():
    """What is wrong with the configuration is in the error, and no process is left."""
    prometheus = Prometheus({"scrape_configs": [{"job": "misspelt"}]})
    with pytest.raises(ServerError, match="field job not found"):
        await prometheus.start()
    assert not prometheus.running


async def test_a_target_is_seen_up():
    """With a target it says that it is up, and has its metrics."""
    async with Prometheus({"global": {"scrape_interval": "1s"}}) as other:
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [
                {"job_name": "other", "static_configs": [{"targets": [f"127.0.0.1:{other.port}"]}]}
            ],
        }
        async with Prometheus(config) as prometheus, asyncio.timeout(30):
            while await prometheus.targets() != {"other": "up"}:
                await asyncio.sleep(0.05)
            while "up" not in await prometheus.names():
                await asyncio.sleep(0.05)


async def test_alertmanager_holds_what_it_is_sent():
    """It starts alone, and has no alerts."""
    async with Alertmanager(NOTHING) as alertmanager:
        assert await alertmanager.alerts() == []
