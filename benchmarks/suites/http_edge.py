"""What metrics and spans add to a cached read of the service.

The real application in this process, over a real OpenBao, asked as ASGI asks it: without a
socket, so that what is added shows. What counts is CPU time of the process, the audit log's
thread among it. The parts are taken away one at a time by patches, in turn within each round.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from starlette.types import Message

import greenlang_secrets as gs
from benchmarks.measuring import Outcome, Run, Size, interleaved, over, per_call
from benchmarks.servers import library_config, vault
from greenlang_secrets import tracing
from greenlang_secrets.access import Permission
from greenlang_secrets.audit import AuditConfig
from greenlang_secrets.catalogue import CatalogueConfig
from greenlang_secrets.development.issuer import AUDIENCE, ISSUER, DevelopmentIssuer
from greenlang_secrets_api import ApiConfig, create_app, http_metrics
from greenlang_secrets_api.rate_policies import RatePolicies

READ = "a cached read, all of it"
BASE = "without metrics"
PATH = b"/api/v1/secrets/a"
SENT = (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


class Taken(SpanProcessor):
    """Takes spans and forgets them: what an exporter's thread does comes on top."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take one."""


def spans() -> Any:
    """A provider that records, in place of the none that there is."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Taken())
    return patch.object(trace, "get_tracer_provider", return_value=provider)


def without(name: str) -> Any:
    """`HttpMetrics` without one of its parts."""
    return patch.object(http_metrics.HttpMetrics, name, lambda *_: None)


def reading(
    app: Any, state: Any, headers: list[tuple[bytes, bytes]], patches: Callable[[], list[Any]]
) -> Run:
    """Reads under patches."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PATH.decode(),
        "raw_path": PATH,
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }

    async def receive() -> Message:
        return await asyncio.Future()

    async def send(message: Message) -> None:
        if message.get("status", 200) != 200:
            raise RuntimeError(f"answered {message['status']}")

    async def read(times: int) -> None:
        with ExitStack() as stack:
            for each in patches():
                stack.enter_context(each)
            for _ in range(times):
                await app({**scope, "state": dict(state)}, receive, send)

    return read


async def run(size: Size) -> Outcome:
    """Start everything, and measure in turn."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        return await _in(Path(folder), size)


async def _in(folder: Path, size: Size) -> Outcome:
    issuer = await asyncio.to_thread(DevelopmentIssuer.make, folder)
    bearer = issuer.issue("bench", tenant="acme", permissions=[Permission.READ]).reveal()
    async with vault() as server:
        async with gs.SecretsService.open(library_config(server)) as secrets:
            await secrets.for_tenant("acme").put("a", {"key": "x" * 40})
        app = create_app(
            service_config=library_config(server),
            api_config=ApiConfig(
                jwt_issuer=ISSUER,
                jwt_audience=AUDIENCE,
                jwks_file=issuer.jwks_file,
                rate_limits=RatePolicies(**dict.fromkeys(RatePolicies.__dataclass_fields__)),
                audit=AuditConfig(log=folder / "audit.jsonl"),
                catalogue=CatalogueConfig.of(f"sqlite:///{folder}/catalogue.sqlite3"),
                access_log=False,
            ),
        )
        headers = [(b"authorization", f"Bearer {bearer}".encode()), SENT]
        async with app.router.lifespan_context(app) as state:
            http = state["metrics"].http
            variants: dict[str, Callable[[], list[Any]]] = {
                READ: list,
                BASE: lambda: [without("ended")],
                "with a span": lambda: [spans()],
            }
            await _until_it_answers(reading(app, state, headers, list))
            times = size.of(300, least=100)
            runs: dict[str, Run] = {
                **{name: reading(app, state, headers, each) for name, each in variants.items()},
                "a count alone": ended(http, None),
                "a count and a duration alone": ended(http, 0.001),
                "the question for a provider alone": asking,
            }
            spent = await interleaved(
                {name: per_call(each, times) for name, each in runs.items()},
                size.rounds_of(0.6),
                unit="us CPU",
            )
    return Outcome(
        findings=tuple(over(spent, name, BASE) for name in spent if name != BASE), samples=spent
    )


async def _until_it_answers(read: Run) -> None:
    """Read until that works: keys are fetched, and the audit log is sealed, after the start."""
    async with asyncio.timeout(20):
        while True:
            try:
                await read(1)
            except RuntimeError:
                await asyncio.sleep(0.1)
            else:
                return


def ended(metrics: http_metrics.HttpMetrics, seconds: float | None) -> Run:
    """What the end of a request is told to, by itself: in a read it is lost in the noise."""

    async def tell(times: int) -> None:
        for _ in range(times):
            metrics.ended("GET", "/api/v1/secrets/{path}", 200, seconds)

    return tell


async def asking(times: int) -> None:
    """What a request pays for spans that nobody takes."""
    for _ in range(times):
        tracing.tracer()
