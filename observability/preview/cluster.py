"""Plays as much of a Kubernetes API as the watch of ExternalSecrets asks for.

A real one is in no package registry. Two secrets are synced every few seconds, and one fails; what
External Secrets Operator itself exports is not played.
Protocol: Kubernetes documentation, "API Concepts".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

__all__ = ["played_cluster"]

_EVERY: Final = 5.0  # seconds between two syncs
_SECRETS: Final[Mapping[str, bool]] = {"database": True, "api-keys": True, "broken": False}
"""Which there are, and whether their syncs succeed."""


@asynccontextmanager
async def played_cluster() -> AsyncIterator[Mapping[str, str]]:
    """Run the API on loopback, and yield the variables by which the service watches it."""
    app = web.Application()
    app.router.add_get("/apis/external-secrets.io/{version}/{resource}", _answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        yield {
            "GREENLANG_SECRETS_ESO_WATCH": "true",
            "GREENLANG_SECRETS_ESO_API_URL": f"http://127.0.0.1:{port}",
        }
    finally:
        await runner.cleanup()


async def _answer(request: web.Request) -> web.StreamResponse:
    ours = request.match_info["resource"] == "externalsecrets"
    if request.query.get("watch") == "1":
        return await _watch(request, told=ours)
    items = [_object(name) for name in _SECRETS] if ours else []
    return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})


async def _watch(request: web.Request, *, told: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while True:
        await asyncio.sleep(_EVERY)
        for name in _SECRETS if told else ():
            event = {"type": "MODIFIED", "object": _object(name)}
            await response.write(json.dumps(event).encode() + b"\n")


def _object(name: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    synced = _SECRETS[name]
    condition = {
        "type": "Ready",
        "status": "True" if synced else "False",
        "reason": "SecretSynced" if synced else "SecretSyncedError",
        "lastTransitionTime": f"{now:%Y-%m-%dT%H:%M:%SZ}",
    }
    refreshed = {"refreshTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"} if synced else {}
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "resourceVersion": str(int(now.timestamp() * 1000)),
        },
        "status": {**refreshed, "conditions": [condition]},
    }
