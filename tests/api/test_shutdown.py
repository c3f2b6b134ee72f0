"""The end of the service: what is under way, what comes too late, and what never ends."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import aiohttp
import anyio
import pytest

from api.conftest import mount_kv, service_config_for
from api.issuer import Issuer
from api.live import Api
from api.processes import ended, process, started
from greenlang_secrets.testing import Fault, FaultProxy
from greenlang_secrets_api import server as server_module
from greenlang_secrets_api.app import create_app
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.server import ApiServer, bind


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def is_refused(api: Api) -> bool:
    try:
        await api.ask("GET", "/livez")
    except aiohttp.ClientConnectionError:
        return True
    return False


async def test_what_is_under_way_ends_and_what_is_new_is_refused(
    environment: dict[str, str],
    issuer: Issuer,
    vault_server: Any,
    vault_fault_proxy: FaultProxy,
    path: str,
) -> None:
    """Slow reads get their values after SIGTERM; meanwhile nobody can connect; exit code 0."""
    token = issuer.tenant("acme")
    mount = environment["GREENLANG_SECRETS_KV_MOUNT"]
    paths = [f"{path}/{number}" for number in range(10)]  # of one path, one read would serve all
    async with process(environment | {"VAULT_ADDR": vault_fault_proxy.addr}) as child:
        api = await started(child)
        for each in paths:
            await api.ask("POST", each, token, json={"data": {"k": "v"}})
        vault_fault_proxy.inject(Fault.DELAY, path_prefix=f"{mount}/data/", seconds=1.5)
        before = vault_fault_proxy.count("GET", f"{mount}/data/")
        reads = [
            asyncio.ensure_future(api.ask("GET", f"{each}?fresh=true", token)) for each in paths
        ]
        await until(lambda: vault_fault_proxy.count("GET", f"{mount}/data/") == before + 10)

        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            while not await is_refused(api):
                await asyncio.sleep(0.01)
        waiting = sum(not read.done() for read in reads)
        replies = await asyncio.gather(*reads)
        code, log = await ended(child)

    assert waiting > 0
    assert [reply.status for reply in replies] == [200] * 10
    assert code == 0
    assert "service.cut_off" not in log


async def test_a_vault_that_hangs_does_not_hang_the_end(
    environment: dict[str, str], issuer: Issuer, new_vault_server: Any
) -> None:
    """A request that waits for a stopped Vault is answered, and the process ends with 0."""
    vault = await new_vault_server()
    environment |= {
        "VAULT_ADDR": vault.addr,
        "VAULT_TOKEN": vault.root_token,
        "GREENLANG_SECRETS_KV_MOUNT": await mount_kv(vault),
    }
    async with process(environment) as child:
        api = await started(child)
        await vault.pause()
        read = asyncio.ensure_future(api.ask("GET", "t/a?fresh=true", issuer.tenant("acme")))
        poll = asyncio.ensure_future(api.ask("GET", "/readyz"))
        await asyncio.sleep(0.1)

        child.send_signal(signal.SIGTERM)
        reply = await read
        await poll
        code, _ = await ended(child)

    assert (reply.status, reply.code) == (503, "vault_unavailable")
    assert code == 0


async def test_a_stuck_request_sees_its_connection_close(  # noqa: PLR0917  fixtures
    vault_server: Any,
    vault_fault_proxy: FaultProxy,
    mount: str,
    api_config: ApiConfig,
    issuer: Issuer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Past the grace it is cut off, said in the log, and the server ends."""
    monkeypatch.setattr(server_module, "GRACE", 0.3)
    caplog.set_level(logging.WARNING)
    config = replace(service_config_for(vault_server, mount), request_timeout=60.0)
    config = replace(config, addresses=(vault_fault_proxy.addr,))
    ready = threading.Event()
    server = ApiServer(
        create_app(service_config=config, api_config=api_config),
        bind("127.0.0.1", 0),
        on_ready=lambda _: ready.set(),
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        await anyio.to_thread.run_sync(ready.wait)
        vault_fault_proxy.inject(Fault.BLACK_HOLE, path_prefix=f"{mount}/data/")
        read = asyncio.ensure_future(
            Api(server.url).ask("GET", "t/stuck?fresh=true", issuer.tenant("acme"))
        )
        await until(lambda: vault_fault_proxy.count("GET", f"{mount}/data/") > 0)
        begun = time.monotonic()
        server.should_exit = True

        with pytest.raises(aiohttp.ClientConnectionError):
            await read
        await anyio.to_thread.run_sync(thread.join, 20.0)
    finally:
        server.should_exit = server.force_exit = True
        thread.join(20)

    assert not thread.is_alive()
    assert time.monotonic() - begun < 15
    [cut] = [record for record in caplog.records if record.message == "service.cut_off"]
    assert cut.requests == 1


async def test_it_is_unready_before_it_ends(
    environment: dict[str, str], issuer: Issuer, path: str
) -> None:
    """While it drains, readiness says 503, requests are served, and connections end with them;
    a second signal ends it at once, with 0.
    """
    token = issuer.tenant("acme")
    async with process(environment | {"GREENLANG_SECRETS_DRAIN_SECONDS": "60"}) as child:
        api = await started(child)
        created = await api.ask("POST", path, token, json={"data": {"k": "v"}})
        ready = await api.ask("GET", "/readyz")
        before = await api.ask("GET", path, token)

        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            while (await api.ask("GET", "/readyz")).status == 200:
                await asyncio.sleep(0.01)
        during = await api.ask("GET", path, token)
        child.send_signal(signal.SIGINT)
        code, _ = await ended(child)

    assert (created.status, ready.status, before.status, during.status) == (201, 200, 200, 200)
    assert before.headers.get("Connection") is None
    assert during.headers["Connection"] == "close"
    assert code == 0


async def test_an_application_that_does_not_close_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of the process does not depend on it."""
    monkeypatch.setattr(server_module, "CLOSING", 0.2)
    caplog.set_level(logging.WARNING)

    async def never_closing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await anyio.sleep_forever()

    ready = threading.Event()
    server = ApiServer(never_closing, bind("127.0.0.1", 0), on_ready=lambda _: ready.set())
    thread = threading.Thread(target=server.run)
    thread.start()
    await anyio.to_thread.run_sync(ready.wait)
    server.should_exit = True
    await anyio.to_thread.run_sync(thread.join, 10.0)

    assert not thread.is_alive()
    assert [record.message for record in caplog.records if record.name.endswith("_api")] == [
        "service.not_closed"
    ]
