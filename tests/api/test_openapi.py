"""The OpenAPI document: valid, complete, and true to the declarations it is made from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from api.issuer import Issuer
from api.live import BASE, Api
from greenlang_secrets.errors import ConfigurationError, InvalidPath, SecretDeleted
from greenlang_secrets.paths import FolderPath, SecretPath
from greenlang_secrets_api import operations
from greenlang_secrets_api.endpoints import EndpointTable
from greenlang_secrets_api.openapi import openapi_document, permissions_of
from greenlang_secrets_api.problem_table import PROBLEMS
from greenlang_secrets_api.problems import ProblemError, problem_answer
from greenlang_secrets_api.targets import METHODS, Kind, Target, methods, parse
from support.openapi_replies import described, table

DOCUMENT: Any = described().document
SCHEMAS: Any = DOCUMENT["components"]["schemas"]


def test_the_specification_accepts_it() -> None:
    """Somebody else's reading of OpenAPI 3.1 finds nothing wrong."""
    validate(DOCUMENT)

    assert DOCUMENT["openapi"] == "3.1.0"


def test_a_wrong_document_is_not_accepted() -> None:
    """The control: an answer without its description is told."""
    wrong = json.loads(json.dumps(DOCUMENT))
    del wrong["paths"][BASE]["get"]["responses"]["200"]["description"]

    with pytest.raises(OpenAPIValidationError):
        validate(wrong)


async def test_it_is_served_to_everybody(api: Api) -> None:
    """Without a bearer, as JSON, with the headers that all answers have."""
    reply = await api.ask("GET", "/openapi.json")

    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "no-store"
    assert "X-Request-ID" in reply.headers
    assert reply.json == DOCUMENT


def test_it_is_the_same_every_time() -> None:
    """Two documents of one table are equal to the letter, the order of members included."""
    assert json.dumps(openapi_document(table())) == json.dumps(openapi_document(table()))


def operations_of(document: Any) -> Iterator[tuple[str, str, Any]]:
    """Each operation with its method and address."""
    for address, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method.upper(), address, operation


def test_every_endpoint_is_an_operation_and_every_operation_an_endpoint() -> None:
    """Addresses and methods are those that the parser and the method table know."""
    shown = [
        (parse(address.replace("{path}", "a").encode()), method)
        for method, address, _ in operations_of(DOCUMENT)
    ]

    assert len(shown) == len(set(shown)) == sum(len(names) for names in METHODS.values())
    for target, method in shown:
        assert method in methods(target)


def test_an_operation_says_who_may_call_it_and_what_it_knows() -> None:
    """Permissions, rate class and query parameters are those of the endpoint."""
    endpoints = table()
    for method, address, operation in operations_of(DOCUMENT):
        target = parse(address.replace("{path}", "a").encode())
        endpoint = endpoints.find(target, method)
        queried = {each["name"] for each in operation["parameters"] if each.get("in") == "query"}

        assert operation["x-permissions"] == [str(each) for each in permissions_of(endpoint)]
        assert operation["x-rate-class"] == endpoint.rate
        assert queried == set(endpoint.parameters)
        assert list(operation.get("requestBody", {"content": {}})["content"]) == (
            [] if endpoint.takes_body is None else [endpoint.takes_body.decode()]
        )
        keyed = {"$ref": "#/components/parameters/Idempotency-Key"} in operation["parameters"]
        assert keyed == endpoint.takes_key
        assert ("security" in operation) == (not operation["x-permissions"])
        assert operation["responses"]["429"]["x-problems"] == ["rate_limited"]


def test_operation_ids_are_unique() -> None:
    """A generator names functions after them."""
    ids = [operation["operationId"] for _, _, operation in operations_of(DOCUMENT)]

    assert len(ids) == len(set(ids))


def test_a_link_leads_to_an_operation() -> None:
    """What may follow a success is an operation of this document."""
    ids = {operation["operationId"] for _, _, operation in operations_of(DOCUMENT)}
    links = [
        link
        for _, _, operation in operations_of(DOCUMENT)
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    ]

    assert {link["operationId"] for link in links} <= ids
    assert len(links) == 16


@pytest.mark.parametrize("change", ["a row is missing", "a row is too many"])
def test_a_row_without_its_endpoint_stops_the_start(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint that nobody describes is refused when the application is made, and so is
    a description of no endpoint.
    """
    rows = dict(operations.OPERATIONS)
    if change == "a row is missing":
        del rows[Kind.SECRET, "GET"]
    else:
        rows[Kind.STATUS, "PUT"] = rows[Kind.STATUS, "GET"]
    monkeypatch.setattr("greenlang_secrets_api.openapi.OPERATIONS", rows)

    with pytest.raises(ConfigurationError, match="is either an endpoint or in OPERATIONS"):
        openapi_document(table())


def test_an_endpoint_is_found_by_the_parser() -> None:
    """A table is asked by target and method, and gives the endpoint that answers."""
    assert isinstance(table(), EndpointTable)
    assert table().find(Target(Kind.SECRET, "a"), "GET").kind is Kind.SECRET


def valid(schema: Any, instance: object) -> bool:
    """Whether `instance` fits `schema`, its references being the document's."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return bool(Draft202012Validator(whole).is_valid(instance))


def examples(part: Any) -> Iterator[tuple[Any, object]]:
    """Every schema with each of its examples, and every parameter and header with its own."""
    if isinstance(part, dict):
        schema = part.get("schema", part)
        if "example" in part:
            yield schema, part["example"]
        shown = part.get("examples", [])
        for each in shown.values() if isinstance(shown, dict) else shown:
            yield schema, each["value"] if isinstance(shown, dict) else each
        for value in part.values():
            yield from examples(value)
    elif isinstance(part, list):
        for value in part:
            yield from examples(value)


def test_every_example_is_valid() -> None:
    """Nobody copies from the document what the service would refuse or never answers."""
    found = list(examples(DOCUMENT))

    assert len(found) > 100
    for schema, shown in found:
        assert valid(schema, shown), shown


def test_every_body_and_answer_has_an_example() -> None:
    """A reader sees one of each before reading its members."""
    named = {
        match
        for _, _, operation in operations_of(DOCUMENT)
        for match in re.findall(r"#/components/schemas/([\w-]+)", json.dumps(operation))
    }

    assert len(named) > 30
    assert [name for name in named if not SCHEMAS[name].get("examples")] == []


FACTS = {
    "version": 6,
    "current_version": 8,
    "deleted_at": "2026-11-20T08:00:00Z",
    "reason": "sealed",
    "kind": "role",
    "declared": "api_key",
    "expected": "database",
    "field": "password",
    "advice": "The rotation needs the setting 'users'.",
    "rotation_id": "6f1d2a4c8b0e4f7796a3c5d1e2b40918",
    "until": "2026-11-20T08:15:00Z",
    "failure": "target_unavailable",
}


@pytest.mark.parametrize("code", PROBLEMS)
def test_a_problem_is_what_its_schema_says(code: str) -> None:
    """Each code's answer fits its own schema, with its facts, and no other code's."""
    body = json.loads(problem_answer(ProblemError(code), "r1").body or b"")
    body |= {fact: FACTS[fact] for fact in PROBLEMS[code].facts}
    name = "problem-" + code.replace("_", "-")

    assert valid(SCHEMAS[name], body)
    assert [other for other in SCHEMAS if other != name and valid(SCHEMAS[other], body)] == []
    assert not valid(SCHEMAS[name], {**body, "path": "api-keys/stripe"})


def test_a_fact_is_as_the_library_gives_it() -> None:
    """The time of a deletion, written by the library, fits the schema."""
    error = SecretDeleted(
        path="a", version=2, destroyed=False, deleted_at=datetime(2026, 1, 1, tzinfo=UTC)
    )

    assert valid(
        SCHEMAS["problem-secret-deleted"], json.loads(problem_answer(error, "r1").body or b"")
    )


PATH_PATTERN = re.compile(DOCUMENT["components"]["parameters"]["path"]["schema"]["pattern"])
[PREFIX_PATTERN] = [
    re.compile(each["schema"]["pattern"])
    for each in DOCUMENT["paths"][BASE]["get"]["parameters"]
    if each.get("name") == "prefix"
]

_words = st.sampled_from(
    ["a", "B.9", "health", "rotate", "versions", "undelete", "-a", "", "a" * 128]
)
_texts = st.lists(_words, min_size=1, max_size=17).map("/".join) | st.text(max_size=20)


def is_path(text: str) -> bool:
    """Whether the one grammar takes it."""
    try:
        SecretPath.parse(text)
    except InvalidPath:
        return False
    return True


def is_prefix(text: str) -> bool:
    """Whether a listing takes it."""
    try:
        FolderPath.parse(text)
    except InvalidPath:
        return False
    return True


@given(_texts)
@example("a\n")
@example("health/a")
@example("healthy")
@example("a/versions")
@example("versions/a")
def test_the_pattern_of_a_path_is_the_grammar(text: str) -> None:
    """Any text is a path by the document exactly if it is one by the library."""
    fits = PATH_PATTERN.search(text) is not None and not text.endswith("\n")

    assert (fits and len(text) <= 512) == is_path(text)


@given(_texts.map(lambda text: text + "/") | _texts | st.just(""))
@example("a//")
def test_the_pattern_of_a_prefix_is_the_grammar(text: str) -> None:
    """The same of a prefix, which is empty or ends in a slash."""
    fits = PREFIX_PATTERN.search(text) is not None and not text.endswith("\n")

    assert (fits and len(text) <= 513) == is_prefix(text)


async def test_an_answer_that_is_not_described_is_found(
    api: Api, issuer: Issuer, path: str
) -> None:
    """The control of every other test here: a status, a member, a type, a header or a media
    type that the document does not have is told.
    """
    reply = await api.ask("POST", path, issuer.tenant("acme"), json={"data": {"k": "v"}})
    where = ("POST", f"{BASE}/{path}")
    headers = {name: reply.headers[name] for name in ("Content-Type", "Location", "X-Request-ID")}
    headers["ETag"] = reply.headers["ETag"]
    without_etag = {name: value for name, value in headers.items() if name != "ETag"}
    more = json.dumps({**reply.json, "data": {"k": "v"}}).encode()
    other = json.dumps({**reply.json, "version": "1"}).encode()

    def faults(status: int, headers: dict[str, str], body: bytes) -> int:
        return len(described().faults(*where, status, headers, body))

    assert faults(201, headers, reply.body) == 0
    assert faults(200, headers, reply.body) == 1
    assert faults(201, headers, more) == 1
    assert faults(201, headers, other) == 1
    assert faults(201, without_etag, reply.body) == 1
    assert faults(201, {**headers, "ETag": "1"}, reply.body) == 1
    assert faults(201, {**headers, "Content-Type": "text/plain"}, reply.body) == 1
    assert len(described().faults("PATCH", BASE, 405, headers, reply.body)) == 1
