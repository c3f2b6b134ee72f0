"""Traces end to end: the service as a process, a real OpenBao, and a receiver over OTLP/HTTP."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from api.conftest import mount_kv
from api.issuer import Issuer
from api.processes import ended, process, started
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.tracing import tracer
from greenlang_secrets_api.trace_export import FLUSH_WITHIN, exporting, is_wanted
from support.otlp import receiver, values
from support.recorded import recorded

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
SENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
READ = "GET /api/v1/secrets/{path}"
ALLOWED = {
    *("http.request.method", "server.address", "http.response.status_code"),
    *("greenlang.secrets.operation", "greenlang.secrets.secret_type", "vault.mount"),
}


def traced(environment: dict[str, str], url: str, **more: str) -> dict[str, str]:
    """The settings of a service that sends its spans there, some at once and the rest at the end."""
    return {**environment, "OTEL_EXPORTER_OTLP_ENDPOINT": url, **more}


def audit_records(environment: dict[str, str]) -> list[dict[str, Any]]:
    text = (Path(environment["GREENLANG_SECRETS_STATE_DIR"]) / "audit.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


async def stop(child: Any) -> None:
    child.send_signal(signal.SIGTERM)
    code, errors = await ended(child)
    assert code == 0, errors


async def test_a_read_is_one_trace_from_the_caller_to_vault(
    environment: dict[str, str], issuer: Issuer, vault_server: Any, mount: str, path: str
) -> None:
    """The caller's trace goes on in a span of the request, below it one of the request to Vault, and
    has the same id in the audit record and in Vault's audit log.
    """
    listed = "sys/config/auditing/request-headers/traceparent"
    status, _ = await vault_server.request("POST", listed, {"hmac": False})
    assert status in {200, 204}
    with receiver() as otlp:
        passes = {"GREENLANG_SECRETS_VAULT_TRACEPARENT": "true"}
        config = traced(environment, otlp.url, OTEL_SERVICE_NAME="shop-secrets", **passes)
        async with process(config) as child:
            api = await started(child)
            body = {"data": {"k": "v"}, "type": "api_key"}
            await api.ask("POST", path, issuer.tenant("acme"), json=body)
            mark = await vault_server.audit_mark()

            reply = await api.ask("GET", path, issuer.tenant("acme"), headers=SENT)

            await stop(child)
        spans = [span for span in otlp.spans if span.trace_id.hex() == TRACE]

    assert reply.status == 200
    assert {each["service.name"] for each in otlp.resources} == {"shop-secrets"}
    [server] = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    assert (server.name, server.parent_span_id.hex()) == (READ, CALLER)
    assert values(server.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "greenlang.secrets.operation": "read",
        "greenlang.secrets.secret_type": "api_key",
    }
    reads = [span for span in spans if values(span.attributes).get("vault.mount") == mount]
    assert {span.name for span in reads} == {"vault.request"}
    assert {span.kind for span in reads} == {Span.SPAN_KIND_CLIENT}
    assert {span.parent_span_id for span in reads} == {server.span_id}
    assert values(reads[0].attributes) == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "http.response.status_code": 200,
        "vault.mount": mount,
    }
    [record] = [each for each in audit_records(environment) if each["action"] == "read"]
    assert record["trace_id"] == TRACE
    told = {
        header
        for entry in await vault_server.audit_entries(since=mark)
        for header in (entry["request"].get("headers") or {}).get("traceparent", ())
    }
    assert {f"00-{TRACE}-{span.span_id.hex()}-01" for span in reads} <= told


async def test_nothing_a_caller_wrote_is_in_a_span(
    environment: dict[str, str], issuer: Issuer
) -> None:
    """Paths, tenants, principals, queries, hosts, methods and values are in no octet that leaves,
    also of requests that fail; attributes are from a closed list.
    """
    canary = f"canary{secrets.token_hex(6)}"
    token = issuer.tenant(f"{canary}-t", sub=f"{canary}-sub")
    body = {"data": {f"{canary}-key": f"{canary}-value"}}
    headers = {"Host": f"{canary}.example", "X-Request-ID": f"{canary}-id"}
    with receiver() as otlp:
        async with process(traced(environment, otlp.url)) as child:
            api = await started(child)
            for method, target, bearer in (
                ("POST", f"{canary}/a", token),
                ("GET", f"{canary}/a?fields={canary}-key", token),
                ("GET", f"{canary}/a?{canary}=1", token),
                ("GET", f"{canary}/missing", token),
                ("GET", f"%2e/{canary}", token),
                ("GET", f"{canary}/a?tenant={canary}-other", token),
                ("GET", f"?prefix={canary}", token),
                ("DELETE", f"{canary}/a", token),
                ("GET", f"{canary}/a", None),
            ):
                sent = body if method == "POST" else None
                await api.ask(method, target, bearer, json=sent, headers=headers)
            await stop(child)

        spans = otlp.spans
        octets = otlp.octets

    assert canary.encode() not in octets
    assert len([span for span in spans if span.kind == Span.SPAN_KIND_SERVER]) == 9
    assert {key for span in spans for key in values(span.attributes)} <= ALLOWED
    assert [span for span in spans if span.events or span.links] == []
    # The control: octets in which one stands are told, as those of a name that is there are.
    assert READ.encode() in octets


async def test_a_failure_is_told_by_its_code(
    environment: dict[str, str],
    issuer: Issuer,
    new_vault_server: Callable[..., Awaitable[Any]],
    path: str,
) -> None:
    """A request that Vault cannot answer has the status of an error, described by the problem's
    code, and the one to Vault by the reason.
    """
    server = await new_vault_server()
    config = {
        **environment,
        "VAULT_ADDR": server.addr,
        "VAULT_TOKEN": server.root_token,
        "GREENLANG_SECRETS_KV_MOUNT": await mount_kv(server),
    }
    with receiver() as otlp:
        async with process(traced(config, otlp.url)) as child:
            api = await started(child)
            await api.ask("GET", path, issuer.tenant("acme"))
            await server.seal()

            reply = await api.ask("GET", f"{path}/other", issuer.tenant("acme"), headers=SENT)

            await stop(child)
        spans = [span for span in otlp.spans if span.trace_id.hex() == TRACE]

    [of_request] = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    assert (reply.status, of_request.status.code) == (503, Status.STATUS_CODE_ERROR)
    assert of_request.status.message == reply.code
    told = {span.status.message for span in spans if span.name == "vault.request"}
    assert told == {"sealed"}


async def test_without_a_provider_callers_spans_are_passed_on(
    environment: dict[str, str], issuer: Issuer, vault_server: Any, path: str
) -> None:
    """Without the OTEL_* variables Vault is told of the caller's own span, if that is configured; its
    audit log tells of it once the header is listed there.
    """
    listed = "sys/config/auditing/request-headers/traceparent"
    told = {}
    for when, setting, method in (
        ("passed on", "true", "POST"),
        ("not passed on", "false", "POST"),
        ("not listed", "true", "DELETE"),
    ):
        await vault_server.request(method, listed, {"hmac": False} if method == "POST" else None)
        config = {**environment, "GREENLANG_SECRETS_VAULT_TRACEPARENT": setting}
        mark = await vault_server.audit_mark()
        async with process(config) as child:
            api = await started(child)

            await api.ask("GET", path, issuer.tenant("acme"), headers=SENT)

            await stop(child)
        told[when] = {
            header
            for entry in await vault_server.audit_entries(since=mark)
            for header in (entry["request"].get("headers") or {}).get("traceparent", ())
        }

    assert told == {
        "passed on": {SENT["traceparent"]},
        "not passed on": set(),
        "not listed": set(),
    }


async def test_a_receiver_that_is_mute_holds_nothing_up(
    environment: dict[str, str], issuer: Issuer, path: str
) -> None:
    """With spans that nobody takes the service answers as ever, and ends in time: the exporter alone
    would wait for 10 s.
    """

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with process(traced(environment, f"http://127.0.0.1:{port}")) as child:
            api = await started(child)

            reply = await api.ask("GET", path, issuer.tenant("acme"))

            child.send_signal(signal.SIGTERM)
            code, errors = await ended(child)

    assert (reply.status, code) == (404, 0)
    assert '"trace.not_flushed"' in errors
    assert FLUSH_WITHIN < 10


async def test_what_cannot_be_exported_is_said_at_the_start(environment: dict[str, str]) -> None:
    """The service does not begin, and one sentence names the variable and what to set."""
    config = traced(environment, "http://127.0.0.1:9", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    async with process(config) as child:
        code, errors = await ended(child)

    assert code == 2
    said = "error: OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'; use http/protobuf, whose port is"
    assert errors.splitlines()[-1].startswith(said)


def test_what_is_asked_for_is_told_by_the_variables() -> None:
    """An endpoint, or the exporter's name; another exporter than there is is refused."""
    endpoint = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}

    assert is_wanted(endpoint)
    assert is_wanted({"OTEL_TRACES_EXPORTER": "otlp"})
    assert is_wanted({**endpoint, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"})
    with pytest.raises(ConfigurationError, match="OTEL_TRACES_EXPORTER is 'zipkin'; use otlp"):
        is_wanted({**endpoint, "OTEL_TRACES_EXPORTER": "zipkin"})


async def test_a_provider_that_is_set_stays() -> None:
    """An application that makes its own spans keeps them: nothing is set or shut down."""
    with recorded() as (provider, _):
        async with exporting({"OTEL_TRACES_EXPORTER": "otlp"}):
            assert trace.get_tracer_provider() is provider


async def test_a_missing_extra_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the exporter, the refusal says how to install it and how to do without."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    with pytest.raises(ConfigurationError, match=r"greenlang-secrets\[otlp\]"):
        async with exporting({"OTEL_TRACES_EXPORTER": "otlp"}):
            pass


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"},
    ],
    ids=str,
)
async def test_without_being_asked_nothing_is_exported(environ: dict[str, str]) -> None:
    """No endpoint, the exporter none, or a disabled SDK: no provider is set."""
    async with exporting(environ):
        assert tracer() is None
