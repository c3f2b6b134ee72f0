"""The service without a socket: the real application and its lifespan, asked as ASGI asks it.

For tests of thousands of requests; `live` has the same over a connection.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multidict import CIMultiDict
from starlette.types import Message

from api.live import BASE, MEMORY, Reply, keeping
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets_api.app import create_app
from greenlang_secrets_api.config import ApiConfig

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class InProcess:
    """An application that is open."""

    app: Any
    state: Any

    async def ask(
        self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> Reply:
        """Send one request: `path` as in `Api.ask`, the headers as they are."""
        target = (
            path
            if path.startswith("/")
            else BASE + ("/" if path[:1] not in {"", "?"} else "") + path
        )
        raw_path, _, query = target.encode().partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": raw_path.decode(),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": list(headers),
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": self.state,
        }
        incoming = [{"type": "http.request", "body": body, "more_body": False}]
        outgoing: list[Message] = []

        async def receive() -> Message:
            if incoming:
                return incoming.pop()
            return await asyncio.Future()  # the client stays and says nothing more

        async def send(message: Message) -> None:
            outgoing.append(message)

        await self.app(scope, receive, send)
        return Reply(
            outgoing[0]["status"],
            CIMultiDict((k.decode(), v.decode()) for k, v in outgoing[0]["headers"]),
            b"".join(message.get("body", b"") for message in outgoing[1:]),
        )


@asynccontextmanager
async def in_process(
    service_config: SecretsServiceConfig, api_config: ApiConfig
) -> AsyncIterator[InProcess]:
    """Open the application in this loop."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        config = keeping(api_config, Path(folder))
        app = create_app(service_config=service_config, api_config=config)
        async with app.router.lifespan_context(app) as state:
            yield InProcess(app, state)
