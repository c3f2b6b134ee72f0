"""A web application whose database login rotates while it serves, and nobody notices.

Run it beside `make dev`; README.md says how.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypedDict

from fastapi import Body, Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

import greenlang_secrets as gs
from greenlang_secrets.integrations.sqlalchemy import create_async_engine
from greenlang_secrets.integrations.starlette import secrets_of

DATABASE = os.environ.get("DATABASE_SECRET", "database/postgresql")
SIGNING_KEY = os.environ.get("SIGNING_KEY_SECRET", "api-keys/internal")


class State(TypedDict):
    """What lives as long as the application."""

    secrets: gs.SecretsService  # where `secrets_of` finds it
    engine: AsyncEngine


def database_tls() -> ssl.SSLContext | bool:
    """Return how to verify the database; `make dev` has one without TLS, on this machine."""
    authority = os.environ.get("DATABASE_CA")
    return ssl.create_default_context(cafile=authority) if authority else False


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[State]:
    """Open the service and the engine once, and close them in the other order."""
    async with gs.SecretsService.open() as secrets:
        engine = await create_async_engine(
            secrets, DATABASE, pool_size=5, connect_args={"ssl": database_tls()}
        )
        try:
            yield {"secrets": secrets, "engine": engine}
        finally:
            await engine.dispose()


async def transaction(request: Request) -> AsyncIterator[AsyncConnection]:
    """Give a request a transaction of its own."""
    async with request.state.engine.begin() as connection:
        yield connection


Transaction = Annotated[AsyncConnection, Depends(transaction)]
Secrets = Annotated[gs.SecretsService, Depends(secrets_of)]

app = FastAPI(title="An application with a login that rotates", lifespan=lifespan)


@app.get("/")
async def who(connection: Transaction) -> dict[str, str]:
    """Say as whom the database knows us right now."""
    return {"logged_in_as": str(await connection.scalar(text("SELECT session_user")))}


@app.post("/signatures")
async def sign(message: Annotated[str, Body(embed=True)], secrets: Secrets) -> dict[str, str | int]:
    """Sign a message with the newest key: `get` at each use, which is a look into memory."""
    secret = await secrets.get(SIGNING_KEY)
    key = secret["api_key"].reveal().encode()
    signature = hmac.digest(key, message.encode(), hashlib.sha256).hex()
    return {"signature": signature, "key_version": secret.version}


@app.get("/health")
async def health(secrets: Secrets) -> dict[str, str]:
    """Say how we and Vault are; with Vault away we go on for a while with what we know."""
    return {"vault": (await secrets.health()).status}


@app.exception_handler(gs.SecretsError)
async def without_secrets(_: Request, error: gs.SecretsError) -> JSONResponse:
    """Answer 503 with the error's code: its text is for the log, and neither holds a value."""
    return JSONResponse({"error": error.code}, status_code=503)
