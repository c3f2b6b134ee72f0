"""Applications of FastAPI and Starlette, served by a real server, with a real Vault behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
import pytest
import uvicorn
from fastapi import Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import greenlang_secrets as gs
from greenlang_secrets.integrations.starlette import lifespan, needs_of, secrets_of


class Needs(gs.Needs):
    stripe: gs.SecretValue = gs.need("api-keys/stripe", field="key")


@asynccontextmanager
async def served(app) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that uvicorn serves."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
    running = asyncio.ensure_future(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        server.should_exit = True
        await running


@pytest.fixture
async def filled(secrets: gs.SecretsService) -> gs.SecretsService:
    """Another service on the same mount, which writes."""
    await secrets.create("api-keys/stripe", {"key": "k-1"})
    return secrets


async def test_a_dependency_of_fastapi_is_the_open_service(filled, config) -> None:
    """Endpoints are given the service and the held needs, the same ones for each request; needs
    follow what is written.
    """
    app = FastAPI(lifespan=lifespan(config, needs=Needs))
    services = set()

    @app.get("/stripe")
    async def stripe(
        secrets: Annotated[gs.SecretsService, Depends(secrets_of)],
        needs: Annotated[Needs, Depends(needs_of(Needs))],
    ) -> dict[str, str]:
        services.add(secrets)
        read = await secrets.get("api-keys/stripe", fresh=True)
        return {"read": read["key"].reveal(), "held": needs.stripe.reveal()}

    async with served(app) as client:
        assert (await client.get("/stripe")).json() == {"read": "k-1", "held": "k-1"}
        await filled.put("api-keys/stripe", {"key": "k-2"})
        async with asyncio.timeout(20):
            while (await client.get("/stripe")).json() != {"read": "k-2", "held": "k-2"}:
                await asyncio.sleep(0.01)
        [service] = services

    with pytest.raises(RuntimeError, match="closed"):
        await service.hold("api-keys/stripe")


async def test_a_websocket_has_them_too(filled, config) -> None:
    """What is a dependency of a request is one of a websocket."""
    app = FastAPI(lifespan=lifespan(config))
    given = []

    @app.websocket("/live")
    async def live(
        socket: WebSocket, secrets: Annotated[gs.SecretsService, Depends(secrets_of)]
    ) -> None:
        given.append(secrets)
        await socket.accept()
        await socket.close()

    incoming = iter([{"type": "websocket.connect"}])

    async def receive() -> dict[str, str]:
        return next(incoming)

    async def send(_: object) -> None:
        return None

    async with lifespan(config)(app) as state:
        scope = {"type": "websocket", "path": "/live", "headers": [], "query_string": b""}
        await app({**scope, "state": dict(state)}, receive, send)
        assert given == [state["secrets"]]


async def test_starlette_has_them_by_the_same_functions(filled, config) -> None:
    """Without dependencies the functions are called with the request."""

    async def stripe(request: Request) -> PlainTextResponse:
        secret = await secrets_of(request).get("api-keys/stripe")
        assert needs_of(Needs)(request).stripe == secret["key"]
        return PlainTextResponse(secret["key"].reveal())

    app = Starlette(routes=[Route("/", stripe)], lifespan=lifespan(config, needs=Needs))
    async with served(app) as client:
        assert (await client.get("/")).text == "k-1"


async def test_an_application_whose_needs_are_not_met_does_not_start(config) -> None:
    """Its lifespan fails, and says which secret is missing, so that the server ends."""
    sent = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, str]) -> None:
        sent.append(message)

    app = FastAPI(lifespan=lifespan(config, needs=Needs))
    with pytest.raises(gs.NeedsUnmet, match="api-keys/stripe"):
        await app({"type": "lifespan", "state": {}}, receive, send)

    assert [each["type"] for each in sent] == ["lifespan.startup.failed"]


async def test_another_lifespan_is_told(config) -> None:
    """Without the lifespan, or with other needs, a dependency says what is missing."""
    bare = Request({"type": "http", "state": {}})

    with pytest.raises(RuntimeError, match="no SecretsService here"):
        secrets_of(bare)
    with pytest.raises(RuntimeError, match="no Needs here"):
        needs_of(Needs)(bare)


async def test_a_lifespan_of_ones_own_goes_around_it(filled, config) -> None:
    """Both are entered, and what ours yields is passed on beside what is added."""

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, object]]:
        async with lifespan(config)(app) as state:
            yield {**state, "greeting": "hello"}

    app = FastAPI(lifespan=own)

    @app.get("/")
    async def home(request: Request) -> str:
        await secrets_of(request).get("api-keys/stripe")
        return str(request.state.greeting)

    async with served(app) as client:
        assert (await client.get("/")).json() == "hello"
