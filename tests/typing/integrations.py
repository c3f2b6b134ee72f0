"""What users of other libraries type, checked by ``mypy --strict`` and never run."""

from __future__ import annotations

import ssl
from typing import Annotated, assert_type

import aiohttp
import httpx
from fastapi import Depends, FastAPI
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request

import greenlang_secrets as gs
from greenlang_secrets.integrations.pydantic_settings import VaultSettings
from greenlang_secrets.integrations.starlette import lifespan, needs_of, secrets_of
from greenlang_secrets.integrations.tls import client_context, present, server_context


class Needs(gs.Needs):
    """What an application reads."""

    stripe: gs.SecretValue = gs.need("api-keys/stripe", field="key")


class Settings(VaultSettings):
    """Settings with one value of Vault."""

    debug: bool = False
    stripe: Annotated[SecretStr, gs.need("api-keys/stripe", field="key")]


async def presenting(secrets: gs.SecretsService) -> None:
    """A context comes of a handle or a path, and goes where contexts go."""
    held = await secrets.hold_certificate("web", common_name="a")
    context = await client_context(secrets, held)
    assert_type(context, ssl.SSLContext)
    assert_type(await server_context(secrets, "a", verify_client=True), ssl.SSLContext)
    await present(secrets, held, ssl.create_default_context())
    aiohttp.TCPConnector(ssl=context)
    httpx.AsyncClient(verify=context)
    await client_context(secrets, await secrets.hold("a"))  # type: ignore[arg-type]  # untyped


def serving(request: Request) -> None:
    """Applications of both frameworks take the lifespan, and requests give what it opened."""
    FastAPI(lifespan=lifespan(needs=Needs))
    Starlette(lifespan=lifespan(gs.SecretsServiceConfig.from_env()))
    assert_type(secrets_of(request), gs.SecretsService)
    assert_type(needs_of(Needs)(request), Needs)
    Depends(needs_of(Needs))
    lifespan(needs=Settings)  # type: ignore[arg-type]  # its needs, say


async def setting(secrets: gs.SecretsService) -> None:
    """Settings are of their own class, made at once or later."""
    settings = await Settings.load(secrets, debug=True)
    assert_type(settings, Settings)
    assert_type(settings.stripe, SecretStr)
    async with Settings.declared_needs().hold(secrets) as needs:
        assert_type(Settings.of(needs), Settings)
