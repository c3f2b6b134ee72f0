from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    SpanContext,
    StatusCode,
    TraceFlags,
    use_span,
)

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import VaultUnavailable
from greenlang_secrets.paths import ApiPath, KvPath, SecretPath, Tenant, TenantId
from greenlang_secrets.tracing import client_span, traceparent, tracer
from greenlang_secrets.transport import Transport, VaultRequest
from support.recorded import recorded
from support.scripted import DROP, answer, scripted

Recorded = tuple[TracerProvider, InMemorySpanExporter]


@pytest.fixture
def spans() -> Iterator[Recorded]:
    with recorded() as found:
        yield found


def test_without_a_provider_nothing_is_made():
    """There is no tracer, no span and no `traceparent`."""
    with client_span("vault.request", {}) as span:
        assert span is INVALID_SPAN

    assert tracer() is None
    assert traceparent() is None


def test_a_span_has_what_it_was_given_and_is_the_current_one(spans):
    """Its name and attributes, and a `traceparent` that names it: sampled, its id random."""
    _, kept = spans

    with client_span("vault.request", {"vault.mount": "secret"}) as span:
        sent = traceparent()

    [found] = kept.get_finished_spans()
    assert (found.name, dict(found.attributes)) == ("vault.request", {"vault.mount": "secret"})
    context = span.get_span_context()
    assert sent == f"00-{context.trace_id:032x}-{context.span_id:016x}-03"


def test_a_failure_is_its_code_and_an_exception_is_not_recorded(spans):
    """The status is described by the code; texts of exceptions may quote anything."""
    _, kept = spans

    with pytest.raises(VaultUnavailable), client_span("vault.request", {}):
        raise VaultUnavailable("sealed", path="hunter2")
    with pytest.raises(ValueError, match="hunter2"), client_span("vault.request", {}):
        raise ValueError("hunter2")

    ours, other = kept.get_finished_spans()
    assert (ours.status.status_code, ours.status.description) == (
        StatusCode.ERROR,
        "vault_unavailable",
    )
    assert other.status.status_code is StatusCode.UNSET
    assert (ours.events, other.events) == ((), ())


def test_what_outlives_its_request_begins_a_trace_of_its_own(spans):
    """A loop that a request set going is not below it for ever; within the request it is."""
    provider, kept = spans
    request = provider.get_tracer("test").start_span("request")

    with use_span(request):
        with client_span("vault.request", {}):
            pass
        request.end()
        with client_span("vault.request", {}):
            pass

    within, _, after = kept.get_finished_spans()
    assert within.parent.span_id == request.get_span_context().span_id
    assert after.parent is None
    assert after.context.trace_id != within.context.trace_id


def test_what_its_caller_does_not_sample_is_not_recorded(spans):
    """Below a span that is not recorded there is none that is, with the same trace."""
    _, kept = spans
    above = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(0))

    with use_span(NonRecordingSpan(above)), client_span("vault.request", {}):
        sent = traceparent()

    assert kept.get_finished_spans() == ()
    assert re.fullmatch(r"00-0{31}1-[0-9a-f]{16}-00", sent or "")


def test_without_roots_a_request_is_needed(spans):
    """What the service does by itself has no span of this kind; below a request it has."""
    provider, kept = spans

    with client_span("catalogue.transaction", {}, roots=False) as alone:
        assert alone is INVALID_SPAN
    with (
        provider.get_tracer("test").start_as_current_span("request"),
        client_span("catalogue.transaction", {}, roots=False),
    ):
        pass

    assert [span.name for span in kept.get_finished_spans()] == ["catalogue.transaction", "request"]


async def test_each_attempt_at_vault_is_a_span(spans):
    """One that fails has its reason, and the one after it the status of its answer."""
    _, kept = spans
    read = VaultRequest(method="GET", path=ApiPath("secret/data/x"))
    async with (
        scripted(DROP, answer(200, b"{}")) as vault,
        Transport(SecretsServiceConfig(addresses=(vault.addr,))) as transport,
    ):
        await transport.send(read)

    failed, done = kept.get_finished_spans()
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "network")
    assert dict(done.attributes) == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "vault.mount": "secret",
        "http.response.status_code": 200,
    }


def test_a_mount_says_nothing_of_what_lies_below_it():
    """A configured name: of KV its mount, of a login its method's, else the first segment."""
    place = KvPath.of("team/kv", Tenant(TenantId("acme")), SecretPath.parse("database/main"))
    paths = {
        place.api("data"): "team/kv",
        ApiPath.of("auth/kubernetes", "login"): "auth/kubernetes",
        ApiPath.of("auth", "token", "lookup-self"): "auth/token",
        ApiPath.of("database", "creds", "reader"): "database",
        ApiPath.of("sys", "health"): "sys",
    }

    for path, mount in paths.items():
        assert VaultRequest(method="GET", path=path).mount == mount


def test_the_provider_is_asked_for_again(spans):
    """One that is set after the first look is used: applications set theirs when they like."""
    assert tracer() is not None
    assert trace.get_tracer_provider() is spans[0]
