"""The service with a watch of ExternalSecrets, on a real socket."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from api.conftest import service_config_for
from api.in_process import in_process
from api.live import Api
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets_api.app import create_app
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.eso_config import EsoConfig
from support.kubernetes_api import kubernetes_api


async def test_a_scrape_of_the_service_has_the_syncs(
    vault_server: Any, mount: str, api_config: ApiConfig
) -> None:
    """Switched on, ``/metrics`` tells of each secret, and a service that ends leaves no stream."""
    async with kubernetes_api() as kubernetes:
        kubernetes.succeed("shop", "database", "2026-11-26T01:00:00Z")
        config = replace(api_config, eso=EsoConfig(enabled=True, api_url=kubernetes.url))
        async with (
            in_process(service_config_for(vault_server, mount), config) as service,
            asyncio.timeout(10),
        ):
            while len(kubernetes.streams) < 2:
                await asyncio.sleep(0.01)
            kubernetes.succeed("shop", "database", "2026-11-26T01:00:15Z")
            series = b'gl_eso_sync_total{secret="shop/database",status="success"} 1.0'
            while series not in (scrape := (await service.ask("GET", "/metrics")).body):
                await asyncio.sleep(0.01)
        async with asyncio.timeout(10):
            while kubernetes.streams:
                await asyncio.sleep(0.01)

    assert b"gl_eso_watch_connected 1.0" in scrape


async def test_a_service_serves_while_kubernetes_is_away(
    vault_server: Any, mount: str, api_config: ApiConfig
) -> None:
    """It starts, is ready, and says that the watch does not stand."""
    async with kubernetes_api() as kubernetes:
        config = replace(api_config, eso=EsoConfig(enabled=True, api_url=kubernetes.url))
    async with in_process(service_config_for(vault_server, mount), config) as service:
        ready = await service.ask("GET", "/readyz")
        scrape = (await service.ask("GET", "/metrics")).body

    assert ready.status == 200
    assert b"gl_eso_watch_connected 0.0" in scrape


async def test_a_scrape_without_a_watch_has_nothing_of_it(api: Api) -> None:
    """The control: switched off, as it is by default, there is no such metric."""
    async with aiohttp.ClientSession() as session, session.get(api.url + "/metrics") as reply:
        assert "gl_eso" not in await reply.text()


def test_a_service_that_cannot_watch_does_not_start(
    api_config: ApiConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Switched on outside a pod without an address, it says what to set."""
    monkeypatch.setenv("GREENLANG_SECRETS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("GREENLANG_SECRETS_ESO_WATCH", "true")
    monkeypatch.setenv("VAULT_TOKEN", "t")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(ConfigurationError, match="GREENLANG_SECRETS_ESO_API_URL"):
        create_app(api_config=api_config)
