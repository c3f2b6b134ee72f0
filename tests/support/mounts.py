"""Mounts of a test's own, and ways to speak to a server with other tokens."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport import Transport, VaultRequest, VaultResponse
from greenlang_secrets.vault.answers import Call
from support.scripted import answer, scripted

_numbers = itertools.count(1)


def own_name(kind: str) -> str:
    """A name that no other test of this run uses."""
    return f"{kind}-own-{next(_numbers)}"


@asynccontextmanager
async def mounted(server: Any, kind: str, **options: Any) -> AsyncIterator[str]:
    """Mount an engine for one test, by the witness and not by the code under test."""
    name = own_name(kind)
    status, _ = await server.request("POST", f"sys/mounts/{name}", {"type": kind, **options})
    assert status in {200, 204}
    try:
        yield name
    finally:
        await server.request("DELETE", f"sys/mounts/{name}")


async def token_with(server: Any, *rules: str) -> str:
    """A token with ``default`` and a policy of these rules (HCL)."""
    policies = ["default"]
    if rules:
        name = own_name("policy")
        await server.request("POST", f"sys/policies/acl/{name}", {"policy": "\n".join(rules)})
        policies.append(name)
    status, body = await server.request("POST", "auth/token/create", {"policies": policies})
    assert status == 200
    return str(body["auth"]["client_token"])


@asynccontextmanager
async def speaking(server: Any, token: str) -> AsyncIterator[Call]:
    """A call that sends requests with `token`."""
    async with Transport(SecretsServiceConfig(addresses=(server.addr,))) as transport:

        async def call(request: VaultRequest) -> VaultResponse:
            return await transport.send(request, token=SecretValue(token))

        yield call


@asynccontextmanager
async def answering(*bodies: tuple[int, bytes]) -> AsyncIterator[Call]:
    """A call to a server that plays these answers, for what no real one says."""
    script = [answer(status, body) for status, body in bodies]
    async with (
        scripted(*script) as server,
        Transport(SecretsServiceConfig(addresses=(server.addr,))) as transport,
    ):
        yield transport.send
