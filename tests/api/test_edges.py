"""The outer layers by themselves: what no real request can bring about."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from greenlang_secrets.access import Action
from greenlang_secrets.errors import AccessDenied, ConfigurationError
from greenlang_secrets_api import health_routes, rotation_routes, secrets_routes
from greenlang_secrets_api.answers import Answer
from greenlang_secrets_api.correlation import Correlation
from greenlang_secrets_api.endpoints import PUBLIC, Call, Endpoint, EndpointTable, Noted, RateClass
from greenlang_secrets_api.logs import JsonFormatter
from greenlang_secrets_api.metrics import Metrics
from greenlang_secrets_api.preconditions import Tags
from greenlang_secrets_api.problems import ProblemError
from greenlang_secrets_api.targets import Kind, Target

ALL = (*secrets_routes.ENDPOINTS, *rotation_routes.ENDPOINTS, *health_routes.ENDPOINTS)


async def handler(_: Call) -> Answer:
    return Answer(204)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"access": None}, "declares no access"),
        ({"access": ()}, "declares no access"),
        ({"rate": None}, "declares no rate class"),
        ({"changes": True, "at_once": lambda _: None}, "answers at once"),
        ({"takes_body": b"application/json", "at_once": lambda _: None}, "answers at once"),
    ],
)
def test_an_endpoint_that_declares_too_little_is_refused(
    changes: dict[str, Any], said: str
) -> None:
    """When the application is made, not when it is called."""
    declared: dict[str, Any] = {"access": (Action.READ,), "rate": RateClass.READ, **changes}
    endpoint = Endpoint(kind=Kind.STATUS, method="GET", handler=handler, **declared)

    with pytest.raises(ConfigurationError, match=said):
        EndpointTable([*(row for row in ALL if row.kind is not Kind.STATUS), endpoint])


def test_the_method_table_and_the_endpoints_agree() -> None:
    """None missing, none too many, none twice."""
    extra = Endpoint(
        kind=Kind.STATUS, method="PUT", handler=handler, access=PUBLIC, rate=RateClass.READ
    )

    assert EndpointTable(ALL)
    for wrong in (ALL[1:], (*ALL, ALL[0]), (*ALL, extra)):
        with pytest.raises(ConfigurationError):
            EndpointTable(wrong)


def test_only_health_is_public() -> None:
    """Whatever else is added says who may call it."""
    assert {row.kind for row in ALL if row.access is PUBLIC} == {Kind.HEALTH}


def test_without_a_context_there_are_no_secrets() -> None:
    """A public endpoint cannot reach them by mistake."""
    call = Call(
        target=Target(Kind.HEALTH),
        query={},
        headers=[],
        state=Any,  # type: ignore[arg-type]  # never looked at
        context=None,
        noted=Noted(action=Action.STATUS),
    )

    with pytest.raises(AccessDenied):
        _ = call.secrets
    assert "document" not in repr(call)


@pytest.mark.parametrize(
    ("raw", "strong", "weak"),
    [
        ('"7"', {7}, set()),
        ('W/"7"', set(), {7}),
        ('"1", W/"2" ,"3",', {1, 3}, {2}),
        ('"abc", "", "07", "-1"', set(), set()),
        ('"a,b", "2"', {2}, set()),
    ],
)
def test_entity_tags(raw: str, strong: set[int], weak: set[int]) -> None:
    """Lists, weak tags, and those that are no version of ours."""
    tags = Tags.parse(raw, header="If-Match")

    assert (tags.any, tags.strong, tags.weak) == (False, strong, weak)


@pytest.mark.parametrize("raw", ["7", "", ",", '"7', '"7" "8"', '*, "7"', "W/7", 'w/"7"'])
def test_what_is_no_list_of_tags_is_refused(raw: str) -> None:
    """A condition that cannot be read must not be ignored."""
    with pytest.raises(ProblemError):
        Tags.parse(raw, header="If-Match")


class Wire:
    """One request to an ASGI application, without a server."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


@pytest.fixture
def scope() -> Iterator[Scope]:
    """A request of an application whose lifespan has begun."""
    metrics = Metrics()
    yield {
        "type": "http",
        "method": "GET",
        "path": "/x",
        "raw_path": b"/x",
        "headers": [],
        "state": {"metrics": metrics},
    }
    metrics.provider.shutdown()


async def test_an_unforeseen_error_is_a_problem_and_a_line_without_its_text(
    caplog: pytest.LogCaptureFixture, scope: Scope
) -> None:
    """500 with a fixed text; the log has the class and the place."""

    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("hunter2")

    wire = Wire()
    with caplog.at_level(logging.INFO):
        await Correlation(broken)(scope, wire.receive, wire.send)

    assert wire.sent[0]["status"] == 500
    assert json.loads(wire.sent[1]["body"])["code"] == "internal"
    failed = next(record for record in caplog.records if record.getMessage() == "http.failed")
    assert vars(failed)["error"] == "RuntimeError"
    assert vars(failed)["at"].startswith("test_edges.py:")
    assert "hunter2" not in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


async def test_an_error_after_the_answer_began_ends_the_connection(
    caplog: pytest.LogCaptureFixture, scope: Scope
) -> None:
    """Nothing else can be said; the server closes, and the error's text stays here."""

    async def broken(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("hunter2")

    wire = Wire()
    with pytest.raises(ConnectionAbortedError):
        await Correlation(broken, access_log=False)(scope, wire.receive, wire.send)

    assert len(wire.sent) == 1
    assert "hunter2" not in caplog.text


def test_a_log_line_is_one_json_object() -> None:
    """Fields of `extra` beside the event; of an exception only its class."""
    try:
        raise ValueError("hunter2")  # noqa: TRY301
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x",
            logging.ERROR,
            "f",
            1,
            "event.%s",
            ("done",),
            sys.exc_info(),
            extra={"path": "a\nb"},
        )

    line = JsonFormatter().format(record)

    assert "\n" not in line
    assert "hunter2" not in line
    parsed = json.loads(line)
    assert (parsed["event"], parsed["level"], parsed["error"]) == (
        "event.done",
        "error",
        "ValueError",
    )
    assert parsed["path"] == "a\nb"
