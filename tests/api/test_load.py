"""More than the service takes on: 2,000 connections to the real one, before a Vault that stopped."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from yarl import URL

from api.conftest import mount_kv
from api.issuer import Issuer
from api.live import BASE, Api
from api.processes import process, started

CONNECTIONS = 2000


class Client:
    """One connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, path: str, token: str) -> None:
        self._writer.write(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )

    async def answer(self) -> tuple[int, bytes, float]:
        """Return status, octets of the head, and when it was there."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await self._reader.readexactly(length)
        return int(head.split(b" ")[1]), head, time.monotonic()


@asynccontextmanager
async def connected(api: Api, number: int) -> AsyncIterator[list[Client]]:
    url = URL(api.url)
    writers: list[asyncio.StreamWriter] = []
    clients: list[Client] = []
    try:
        for _ in range(number):
            reader, writer = await asyncio.open_connection(url.host, url.port)
            writers.append(writer)
            clients.append(Client(reader, writer))
        yield clients
    finally:
        for writer in writers:
            writer.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def stopped_vault(
    environment: dict[str, str], new_vault_server: Any
) -> AsyncIterator[tuple[Any, Api]]:
    vault = await new_vault_server()
    environment |= {
        "VAULT_ADDR": vault.addr,
        "VAULT_TOKEN": vault.root_token,
        "GREENLANG_SECRETS_KV_MOUNT": await mount_kv(vault),
        "GREENLANG_SECRETS_REQUEST_TIMEOUT_SECONDS": "9",
        "GREENLANG_SECRETS_RATE_LIMIT_READ": "off",
        "GREENLANG_SECRETS_ACCESS_LOG": "false",
    }
    async with AsyncExitStack() as stack:
        api = await started(await stack.enter_async_context(process(environment)))
        await vault.pause()
        yield vault, api


async def test_what_is_too_much_is_refused_at_once(
    stopped_vault: tuple[Any, Api], issuer: Issuer
) -> None:
    """With 512 requests in work of 2,000 connections, the others get 503 within 50 ms each, the
    probe of the kubelet is answered, and the 512 get their answers when Vault goes on.
    """
    vault, api = stopped_vault
    token = issuer.tenant("acme")
    path = f"{BASE}/t/slow"
    async with connected(api, CONNECTIONS) as clients:
        first = [asyncio.ensure_future(client.answer()) for client in clients[:600]]
        for client in clients[:600]:
            client.send(path, token)
        await until(lambda: sum(answer.done() for answer in first) == 88)
        assert {answer.result()[0] for answer in first if answer.done()} == {503}
        others = iter(clients[600:])
        seconds = []
        for _ in range(200):
            client = next(others)
            begun = time.monotonic()
            client.send(path, token)
            status, head, at = await client.answer()
            seconds.append(at - begun)
            assert status == 503
            assert b"retry-after: " in head.lower()
        crowd = list(others)
        for client in crowd:
            client.send(path, token)
        refused = [(await client.answer())[0] for client in crowd]
        alive = await api.ask("GET", "/livez")
        working = [answer for answer in first if not answer.done()]
        await vault.resume()
        answers = await asyncio.gather(*working)

    assert statistics.median(seconds) <= 0.05
    assert set(refused) == {503}
    assert len(refused) > 1000
    assert alive.status == 200
    assert len(working) == 512
    assert {status for status, _, _ in answers} == {404}


async def test_what_is_not_too_much_is_taken_on(
    stopped_vault: tuple[Any, Api], issuer: Issuer
) -> None:
    """The control: with one fewer in work, one more waits for Vault as the others do."""
    vault, api = stopped_vault
    token = issuer.tenant("acme")
    async with connected(api, 512) as clients:
        for client in clients:
            client.send(f"{BASE}/t/slow", token)
        answers = [asyncio.ensure_future(client.answer()) for client in clients]
        await asyncio.sleep(0.1)
        early = sum(answer.done() for answer in answers)
        await vault.resume()
        statuses = {status for status, _, _ in await asyncio.gather(*answers)}

    assert early == 0
    assert statuses == {404}
