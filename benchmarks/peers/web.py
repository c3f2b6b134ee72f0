"""Services to stand beside ours, run as ``python -m benchmarks.peers.web NAME``: on uvicorn with
the options that ours has, on a free port of the loopback interface, printing their URL.

``bare``: Starlette that knows one answer and sends its octets: no bearer, no limit, no audit.
``fastapi``: what one would write in an afternoon, FastAPI and hvac, each read a read at Vault; it
has no bearer, limit, audit log or metrics either, which is to its advantage.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from greenlang_secrets_api.server import BACKLOG, bind

__all__ = ["bare", "fastapi"]


def bare() -> Any:
    """Starlette that answers as ours did: the body and the headers are in the environment."""
    answer = json.loads(os.environ["BENCH_ANSWER"])
    body = answer["body"].encode()
    headers = dict(answer["headers"])

    async def read(_: Request) -> Response:
        return Response(body, headers=headers)

    return Starlette(routes=[Route("/api/v1/secrets/{path:path}", read)])


def fastapi() -> Any:
    """FastAPI with hvac: a function that is no coroutine, as hvac blocks, so in a thread."""
    import hvac  # noqa: PLC0415  # a peer may be missing
    from fastapi import FastAPI  # noqa: PLC0415  # the same

    app = FastAPI()
    client = hvac.Client(url=os.environ["BENCH_VAULT"], token=os.environ["BENCH_TOKEN"])

    @app.get("/api/v1/secrets/{path:path}")
    def read(path: str) -> dict[str, Any]:
        found = client.secrets.kv.v2.read_secret_version(
            path=f"tenants/acme/{path}", raise_on_deleted_version=True
        )["data"]
        return {"path": path, "version": found["metadata"]["version"], "data": found["data"]}

    return app


class _Server(uvicorn.Server):
    """Tells its URL when it answers."""

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()
        sys.stdout.write(f"http://{host}:{port}\n")
        sys.stdout.flush()


def main() -> None:
    """Serve one of them."""
    app = {"bare": bare, "fastapi": fastapi}[sys.argv[1]]()
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        backlog=BACKLOG,
    )
    _Server(config).run(sockets=[bind("127.0.0.1", 0)])


if __name__ == "__main__":
    main()
