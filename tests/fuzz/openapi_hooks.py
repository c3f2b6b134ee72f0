"""What schemathesis cannot know of the service from the document alone.

A path is sent with its slashes, as `x-multi-segment` says, and a failure is dropped only
where JSON Schema has no words for the rule that the request broke; each has its own line.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlencode
from urllib.request import Request, urlopen
from uuid import uuid4

import schemathesis
from hypothesis import strategies as st
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*\Z")

_KEY = re.compile(r"[!-~]{1,64}\Z")

_tags = st.builds('{}"{}"'.format, st.sampled_from(["", "W/"]), st.integers(1, 9) | st.just("x"))
schemathesis.openapi.format(
    "entity-tags", st.just("*") | st.lists(_tags, min_size=1, max_size=3).map(", ".join)
)

_visible = st.characters(min_codepoint=33, max_codepoint=126)
schemathesis.openapi.format("idempotency-key", st.text(_visible, min_size=1, max_size=64))

_deleted_by_number: set[str] = set()
_numbers = itertools.count()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Send a path that is one as it is, and have every other one hold a secret, or none if it
    is to be created.

    Whatever else was made for a path stays escaped. Chains of operations make their own
    secrets, and would be misled by others. A key that is one is new for each request, as the
    document asks in words: one and the same for many is a mismatch, and nothing is created.
    """
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and _KEY.match(key):
        case.headers["Idempotency-Key"] = f"{uuid4().hex[:16]}{key}"[:64]
    path = (case.path_parameters or {}).get("path")
    if not isinstance(path, str) or not _PATH.match(unquote(path)):
        return
    case.path_parameters["path"] = unquote(path)
    if "/rotat" in case.path and case.method.upper() != "PUT":
        _schedule(unquote(path), (case.query or {}).get("tenant"))
        return
    creates = case.method.upper() == "POST" and case.path.endswith("/secrets/{path}")
    chained = case.meta is not None and case.meta.phase.name == "stateful"
    if not chained and next(_numbers) % 2:
        _ask("DELETE" if creates else "POST", unquote(path), (case.query or {}).get("tenant"))


def _schedule(path: str, tenant: object) -> None:
    """Have a secret there that can be rotated; its rotation waits for an operator."""
    _ask("POST", path, tenant)
    _ask("PUT", f"rotation/schedule/{path}", tenant, b'{"kind": "manual"}')


def _ask(
    method: str, path: str, tenant: object, body: bytes = b'{"data": {"key": "value"}}'
) -> None:
    """Create or delete a secret, or ask for more; it may be so already, or not be allowed."""
    query = f"?{urlencode({'tenant': tenant})}" if tenant else ""
    request = Request(  # noqa: S310  # the service under test
        f"{os.environ['FUZZ_URL']}/api/v1/secrets/{path}{query}",
        method=method,
        data=None if method == "DELETE" else body,
        headers={
            "Authorization": f"Bearer {os.environ['FUZZ_BEARER']}",
            "Content-Type": "application/json",
        },
    )
    with contextlib.suppress(HTTPError), urlopen(request, timeout=30):  # noqa: S310  # the same
        pass


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Remember which deletions named versions: the current one may be live after them."""
    if case.method.upper() == "DELETE" and "versions" in (case.query or {}):
        _deleted_by_number.add(case.id)


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Return False for a failure that is none, by a rule which the document cannot say."""
    match failure:
        case RejectedPositiveData():
            return not _beyond_the_schema(case, response)
        case UseAfterFree():
            return not _outlives_deletion(failure, case)
        case _:
            return True


def _beyond_the_schema(case: Any, response: Any) -> bool:
    """Whether a request fits each schema, and breaks a rule between or behind them."""
    query, headers = dict(case.query or {}), dict(case.headers or {})
    answer = response.json() if response.content else {"code": None}
    match answer["code"]:
        case "invalid_cursor":  # a cursor is made by the service
            return "after" in query
        case "invalid_body" if "fields" in query:  # a key that this secret lacks
            return case.method.upper() == "GET"
        case "not_rotatable":  # what fits which secret is no matter of the schema
            return "/rotat" in case.path
        case "invalid_body" if "/rotate/" in case.path:
            return case.body.get("force") is True and "reason" not in case.body
        case "invalid_body":  # lengths are in octets there, and in characters here
            return not _fits_in_octets(case.body)
        case "idempotency_mismatch":  # a key belongs to the request it came with first
            return "Idempotency-Key" in headers
        case "invalid_request" if case.method.upper() == "DELETE":
            destroys = str(query.get("destroy")).lower() == "true"
            return destroys and not ("versions" in query and _printable(headers))
        case "invalid_request" if case.method.upper() == "PUT":
            return {"If-Match", "If-None-Match"} <= set(headers)
        case _:
            return False


def _printable(headers: dict[str, Any]) -> bool:
    reason = str(headers.get("Audit-Reason", "")).strip()
    return 0 < len(reason) <= 512 and reason.isprintable()


def _fits_in_octets(body: Any) -> bool:
    data, custom = body["data"], body.get("custom_metadata", {})
    return (
        all(len(key.encode()) <= 256 for key in data)
        and all(len(key.encode()) <= 128 and key.isprintable() for key in custom)
        and all(len(text.encode()) <= 512 and text.isprintable() for text in custom.values())
    )


def _outlives_deletion(failure: Any, case: Any) -> bool:
    """Whether deletion leaves this: the history, older versions, and the way back."""
    return (
        case.path.endswith(("/versions", "/undelete"))
        or "version" in (case.query or {})
        or failure.deleted_case_id in _deleted_by_number
    )


if os.environ.get("FUZZ_ALLOWED") == "nothing":

    @schemathesis.check
    def nothing_is_allowed(ctx: Any, response: Any, case: Any) -> None:
        """A bearer without permissions gets nowhere but to what is public."""
        if not case.path.endswith("/health"):
            assert response.status_code >= 400
