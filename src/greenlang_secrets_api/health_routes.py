"""The endpoints that tell how the service is: callers, operators, the kubelet, Prometheus.

`/livez` says that the process answers, `/readyz` that a real request to Vault works: Vault
calls itself healthy while its audit device is full and every request fails.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from greenlang_secrets.access import Action, decide
from greenlang_secrets.audit import AuditStats
from greenlang_secrets.catalogue import CatalogueHealth
from greenlang_secrets.rotation.manager import RotationManager
from greenlang_secrets.service import SecretsService
from greenlang_secrets.version import __version__
from greenlang_secrets_api.answers import Answer, json_answer
from greenlang_secrets_api.documents import moment
from greenlang_secrets_api.draining import draining_of
from greenlang_secrets_api.endpoints import PUBLIC, Call, Endpoint, RateClass
from greenlang_secrets_api.state import State
from greenlang_secrets_api.targets import Kind

__all__ = ["ENDPOINTS", "livez", "metrics", "readyz"]


async def health(call: Call) -> Answer:
    """Ok, degraded or down, and nothing else; to an administrator also what Vault says, and whether
    this process rotates.
    """
    report = await call.state["health"].current()

    document: dict[str, object] = {"status": report.status}
    if call.context is not None and decide(call.context, Action.STATUS):
        document["vault"] = {
            "reachable": report.reachable,
            "initialized": report.initialized,
            "sealed": report.sealed,
            "standby": report.standby,
            "version": report.version,
            "clock_skew": report.clock_skew,
        }
        document["rotation"] = _scheduler(call.state["rotation"])
    return json_answer(503 if report.status == "down" else 200, document)


async def status(call: Call) -> Answer:
    """How each part of the service does, which build this is, and for how long it runs.

    What the parts do, they do for all tenants: a tenant's administrator sees the build and the
    uptime alone, and not how busy others are.
    """
    state = call.state
    common: dict[str, object] = {
        "build": {"version": __version__},
        "uptime": round(time.monotonic() - state["started_at"], 3),
    }
    if call.acting.principal.tenant is not None:
        return json_answer(200, common)
    service = state["service"]
    stats = service.cache.stats()

    document = {
        "auth": _auth(service),
        "leases": {"active": service.leases.holding},
        "audit": _audit(state["audit_log"].stats),
        "catalogue": _catalogue(await state["catalogue"].health()),
        "rotation": _rotation(state["rotation"]),
        "work": {"working": state["work"].working, "waiting": state["work"].waiting},
        "cache": {
            "entries": stats.entries,
            "bytes": stats.bytes,
            "hits": stats.hits,
            "misses": stats.misses,
            "stale_served": stats.stale_serves,
        },
        **common,
    }
    return json_answer(200, document)


def _auth(service: SecretsService) -> Mapping[str, object]:
    token = service.client.session.token
    seconds = None if token is None else token.expires_at - time.monotonic()
    return {
        "method": service.config.auth.method,
        "token_ttl": None if seconds is None or math.isinf(seconds) else round(max(0.0, seconds)),
        "renewable": token is not None and token.term.renewable,
    }


def _audit(stats: AuditStats) -> Mapping[str, object]:
    return {
        "records": stats.records,
        "failures": stats.failures,
        "last_error": stats.last_error,
        "since_durable": stats.since_durable,
        "free": round(stats.free, 3),
    }


def _catalogue(health: CatalogueHealth) -> Mapping[str, object]:
    """Without the names of tenants: an administrator may be one of theirs."""
    shipping = health.shipping
    return {
        "usable": health.usable,
        "obstacle": health.obstacle,
        "kind": health.kind,
        "revision": health.revision,
        "expected": health.expected,
        "index_waiting": health.waiting,
        "index_gaps": None if health.gaps is None else len(health.gaps),
        "audit_lag": None
        if shipping is None
        else {"records": shipping.lag_records, "seconds": round(shipping.lag_seconds, 3)},
    }


def _scheduler(manager: RotationManager) -> Mapping[str, object]:
    stats = manager.stats
    return {"running": stats.scheduler_running, "last_tick": moment(stats.last_tick)}


def _rotation(manager: RotationManager) -> Mapping[str, object]:
    return {
        "enabled": manager.config.enabled,
        "scheduler": _scheduler(manager),
        "working": manager.stats.working,
        "claims": manager.stats.claims,
        "promotion_gap": round(manager.gap, 3),
    }


async def livez(_: Request) -> JSONResponse:
    """200 for as long as the process answers at all."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request[State]) -> JSONResponse:
    """200 while a fresh read would work, else 503; also once the server is about to end."""
    report = await request.state["health"].current()
    if report.canary and not draining_of(request.scope["state"]).begun:
        return JSONResponse({"status": "ok"})
    return JSONResponse({"status": "unavailable"}, status_code=503)


async def metrics(request: Request[State]) -> Response:
    """One scrape."""
    body, content_type = await request.state["metrics"].render(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type})


ENDPOINTS: Final = (
    Endpoint(
        kind=Kind.HEALTH,
        method="GET",
        handler=health,
        access=PUBLIC,
        rate=RateClass.PROBE,
        parameters=frozenset(),
    ),
    Endpoint(
        kind=Kind.HEALTH,
        method="HEAD",
        handler=health,
        access=PUBLIC,
        rate=RateClass.PROBE,
        parameters=frozenset(),
    ),
    Endpoint(
        kind=Kind.STATUS,
        method="GET",
        handler=status,
        access=(Action.STATUS,),
        rate=RateClass.LIST,
    ),
)
"""The rows of the method table under the prefix; the probes are plain routes."""
