from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

_numbers = itertools.count(1)


@pytest.fixture
async def policy(vault_server, mount) -> str:
    """A policy that may read the test's own KV mount, where `greenlang/x` lies."""
    await vault_server.request("POST", f"{mount}/data/greenlang/x", {"data": {"k": "v"}})
    hcl = f'path "{mount}/*" {{ capabilities = ["read"] }}'
    status, _ = await vault_server.request("POST", f"sys/policies/acl/{mount}", {"policy": hcl})
    assert status == 204
    return mount


@pytest.fixture
async def enable(vault_server) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """A function that enables an auth method at a mount of this test's own."""
    mounts: list[str] = []

    async def enabled(kind: str, **settings: Any) -> str:
        mount = f"{kind}-{next(_numbers)}"
        status, body = await vault_server.request("POST", f"sys/auth/{mount}", {"type": kind})
        assert status == 204, body
        mounts.append(mount)
        for path, fields in settings.items():
            await write(f"auth/{mount}/{path}", fields)
        return mount

    async def write(path: str, fields: dict[str, Any]) -> None:
        status, body = await vault_server.request("POST", path, fields)
        assert status in {200, 204}, (path, body)

    yield enabled
    for mount in mounts:
        await vault_server.request("DELETE", f"sys/auth/{mount}")


@pytest.fixture
def looked_up(vault_server) -> Callable[[Any], Awaitable[dict[str, Any]]]:
    """A function that returns what the server says of a token."""

    async def look_up(token: Any) -> dict[str, Any]:
        _, body = await vault_server.request(
            "GET", "auth/token/lookup-self", token=token.value.reveal()
        )
        return body["data"]

    return look_up


@pytest.fixture
def logins(vault_server) -> Callable[..., Awaitable[list[tuple[str, str]]]]:
    """A function that returns the requests to an auth mount since an audit mark."""

    async def since(mark: int, mount: str) -> list[tuple[str, str]]:
        return await vault_server.audit_requests(mark, f"auth/{mount}/")

    return since
