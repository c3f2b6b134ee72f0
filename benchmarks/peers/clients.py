"""Clients of Vault that one would take instead of ours, and the bare HTTP client below it.

Each yields a `Run` that reads one KV secret after the other and parses what comes, since a reader
wants the values and not their text.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from benchmarks.measuring import Run
from greenlang_secrets.testing import OpenBaoServer

__all__ = ["THREADS", "bare_aiohttp", "hvac_in_threads", "of_async_hvac", "of_httpx"]

THREADS: Final = 16


def _url(server: OpenBaoServer, path: str) -> str:
    return f"{server.addr}/v1/secret/data/greenlang/{path}"


@asynccontextmanager
async def bare_aiohttp(
    server: OpenBaoServer, paths: Sequence[str], *, at_once: int = 1
) -> AsyncIterator[Run]:
    """Aiohttp's GET of the URL that we ask, on connections that stay open."""
    headers = {"X-Vault-Token": server.root_token}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def read(path: str) -> None:
            async with session.get(_url(server, path)) as answer:
                json.loads(await answer.read())

        yield spread(read, paths, at_once)


@asynccontextmanager
async def of_httpx(
    server: OpenBaoServer, paths: Sequence[str], *, at_once: int = 1
) -> AsyncIterator[Run]:
    """The same by httpx."""
    import httpx  # noqa: PLC0415  # a peer may be missing

    headers = {"X-Vault-Token": server.root_token}
    async with httpx.AsyncClient(headers=headers, trust_env=False) as client:

        async def read(path: str) -> None:
            (await client.get(_url(server, path))).json()

        yield spread(read, paths, at_once)


@asynccontextmanager
async def of_async_hvac(
    server: OpenBaoServer, paths: Sequence[str], *, at_once: int = 1
) -> AsyncIterator[Run]:
    """The same by async-hvac, which knows no KV v2: its `read` of the path."""
    import async_hvac  # noqa: PLC0415  # a peer may be missing

    async with async_hvac.AsyncClient(url=server.addr, token=server.root_token) as client:

        async def read(path: str) -> None:
            found = await client.read(f"secret/data/greenlang/{path}")
            found["data"]["data"]

        yield spread(read, paths, at_once)


@asynccontextmanager
async def hvac_in_threads(
    server: OpenBaoServer, paths: Sequence[str], *, at_once: int = THREADS
) -> AsyncIterator[Run]:
    """Hvac in threads, each with a client, and so a connection, of its own: at its best."""
    import hvac  # noqa: PLC0415  # a peer may be missing

    own = threading.local()

    def read(path: str) -> None:
        client: Any = getattr(own, "client", None)
        if client is None:
            client = own.client = hvac.Client(url=server.addr, token=server.root_token)
        client.secrets.kv.v2.read_secret_version(
            path=f"greenlang/{path}", raise_on_deleted_version=True
        )

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(at_once) as threads:

        async def through_the_loop(path: str) -> None:
            await loop.run_in_executor(threads, read, path)

        yield spread(through_the_loop, paths, at_once)


def spread(read: Any, paths: Sequence[str], at_once: int) -> Run:
    """Return reads of these paths in turn, `at_once` of them under way at a time."""

    async def run(times: int) -> None:
        numbers = iter(range(times))

        async def one_after_the_other() -> None:
            for number in numbers:
                await read(paths[number % len(paths)])

        if at_once == 1:
            await one_after_the_other()
        else:
            await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))

    return run
