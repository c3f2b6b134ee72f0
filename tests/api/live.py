"""The service on a real socket, run as it is in production, and what a test says to it."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from greenlang_secrets.audit import AuditConfig
from greenlang_secrets.catalogue import CatalogueConfig
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets_api.app import create_app
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.server import ApiServer, bind
from support.openapi_replies import described

BASE = "/api/v1/secrets"

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where the audit log of tests of something else is: the disk of a busy machine now and then takes
longer than the half second after which the service answers 503, as it should.
"""


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's code."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.json["status"] == self.status
        return str(self.json["code"])


@dataclass(frozen=True)
class Api:
    """A running service."""

    url: str

    async def ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request, its target as written; `path` without a leading slash, or empty,
        is below the base. The answer must be one that the OpenAPI document describes.
        """
        target = (
            path
            if path.startswith("/")
            else BASE + ("/" if path[:1] not in {"", "?"} else "") + path
        )
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                method,
                URL(self.url + target, encoded=True),
                json=json,
                data=body,
                headers=sent,
                allow_redirects=False,
            ) as response,
        ):
            reply = Reply(response.status, response.headers.copy(), await response.read())
        assert described().faults(method, target, reply.status, reply.headers, reply.body) == [], (
            reply
        )
        return reply

    async def raw(self, octets: bytes, *, within: float = 5.0) -> bytes:
        """Send octets as they are, and return all that comes until the connection ends."""
        url = URL(self.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        try:
            writer.write(octets)
            return await asyncio.wait_for(reader.read(), within)
        finally:
            writer.close()
            await writer.wait_closed()


@contextmanager
def running(
    service_config: SecretsServiceConfig, api_config: ApiConfig, *, audit_file: Path | None = None
) -> Iterator[Api]:
    """Run the service in a thread of its own, on uvloop, as `serve` does.

    What it keeps goes at the end, unless a place is named.
    """
    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as state,
        _serving(service_config, keeping(api_config, Path(state), audit_file)) as api,
    ):
        yield api


def keeping(config: ApiConfig, folder: Path, audit_file: Path | None = None) -> ApiConfig:
    """The settings, with what the service keeps in `folder`, unless they say where."""
    return replace(
        config,
        audit=config.audit or AuditConfig(log=audit_file or folder / "audit.jsonl"),
        catalogue=config.catalogue
        or replace(CatalogueConfig.of(f"sqlite:///{folder}/catalogue.sqlite3"), timeout=10.0),
    )


@contextmanager
def _serving(service_config: SecretsServiceConfig, api_config: ApiConfig) -> Iterator[Api]:
    ready = threading.Event()
    urls: list[str] = []

    def on_ready(url: str) -> None:
        urls.append(url)
        ready.set()

    app = create_app(service_config=service_config, api_config=api_config)
    server = ApiServer(app, bind("127.0.0.1", 0), on_ready=on_ready, drain_for=api_config.drain_for)

    def run() -> None:
        try:
            server.run()
        except SystemExit:
            pass
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="api")
    thread.start()
    try:
        assert ready.wait(30)
        assert urls, f"the service did not start: {server.failure!r}"
        yield Api(urls[0])
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
