"""``python -m benchmarks.http_edge``: what metrics and spans add to a cached read of the service.

The real application in this process, over a real OpenBao, asked as ASGI asks it: without a
socket, so that what is added shows. What counts is CPU time of the process, the audit log's
thread among it. The parts are taken away one at a time by patches, in turn within each round;
rounds and ratios are as in `benchmarks.__main__`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from starlette.types import Message

import greenlang_secrets as gs
from benchmarks.__main__ import measure, rows
from greenlang_secrets import tracing
from greenlang_secrets.access import Permission
from greenlang_secrets.audit import AuditConfig
from greenlang_secrets.catalogue import CatalogueConfig
from greenlang_secrets.development.issuer import AUDIENCE, ISSUER, DevelopmentIssuer
from greenlang_secrets.testing import OpenBaoServer
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


@contextmanager
def without_histogram(metrics: http_metrics.HttpMetrics) -> Iterator[None]:
    """The durations are not recorded, and all else is."""
    with patch.object(metrics, "_durations", _Nothing()):
        yield


class _Nothing:
    def record(self, *_: object) -> None:
        """Do nothing."""


def reading(
    app: Any, state: Any, headers: list[tuple[bytes, bytes]], patches: Callable[[], list[Any]]
) -> Callable[[int], Awaitable[None]]:
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
            raise SystemExit(str(message))

    async def read(times: int) -> None:
        with ExitStack() as stack:
            for each in patches():
                stack.enter_context(each)
            for _ in range(times):
                await app({**scope, "state": dict(state)}, receive, send)

    return read


async def run(rounds: int, scale: float) -> list[dict[str, object]]:
    """Start everything, measure in turn, and return the rows."""
    folder = Path(tempfile.mkdtemp())
    issuer = await asyncio.to_thread(DevelopmentIssuer.make, folder)
    bearer = issuer.issue("bench", tenant="acme", permissions=[Permission.READ]).reveal()
    async with OpenBaoServer(audit=False) as vault:
        await vault.request(
            "POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}
        )
        await vault.request("POST", "secret/data/tenants/acme/a", {"data": {"key": "x" * 40}})
        app = create_app(
            service_config=gs.SecretsServiceConfig(
                addresses=(vault.addr,),
                auth=gs.AuthConfig(token=gs.SecretValue(vault.root_token)),
                cache=gs.CacheConfig(fresh_for=3600, stale_for=3600),
                tenant_token_role=None,
            ),
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
                "without the histogram": lambda: [without_histogram(http)],
                "with a span": lambda: [spans()],
            }
            spent = await measure(
                {
                    **{name: reading(app, state, headers, each) for name, each in variants.items()},
                    "a count alone": ended(http, None),
                    "a count and a duration alone": ended(http, 0.001),
                    "the question for a provider alone": asking,
                },
                rounds,
                max(100, int(2_000 * scale)),
            )
    return rows(BASE, spent)


def ended(
    metrics: http_metrics.HttpMetrics, seconds: float | None
) -> Callable[[int], Awaitable[None]]:
    """What the end of a request is told to, by itself: in a read it is lost in the noise."""

    async def tell(times: int) -> None:
        for _ in range(times):
            metrics.ended("GET", "/api/v1/secrets/{path}", 200, seconds)

    return tell


async def asking(times: int) -> None:
    """What a request pays for spans that nobody takes."""
    for _ in range(times):
        tracing.tracer()


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        for row in runner.run(run(options.rounds, options.scale)):
            sys.stdout.write(f"{json.dumps(row)}\n")


if __name__ == "__main__":
    main()
