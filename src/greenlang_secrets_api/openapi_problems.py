"""The document's problems: a schema for each code of `problem_table`, and answers of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

from greenlang_secrets.errors import RotationFailure, UnavailableReason
from greenlang_secrets_api.openapi_parts import Schema, ref
from greenlang_secrets_api.problem_table import PROBLEMS, Problem
from greenlang_secrets_api.problems import TYPE_PREFIX

__all__ = ["PROBLEM_TYPE", "problem_content", "problem_name", "problem_schemas"]

PROBLEM_TYPE: Final = "application/problem+json"

_FACTS: Final[dict[str, tuple[Schema, object]]] = {
    "version": ({"type": "integer", "description": "The version meant."}, 6),
    "current_version": ({"type": "integer", "description": "The newest version."}, 8),
    "deleted_at": (
        {"type": "string", "format": "date-time", "description": "When it was deleted."},
        "2026-11-20T08:00:00Z",
    ),
    "reason": (
        {"enum": sorted(get_args(UnavailableReason)), "description": "Why Vault gives no answer."},
        "sealed",
    ),
    "kind": ({"type": "string", "description": "What kind of object."}, "role"),
    "declared": ({"type": "string", "description": "The secret's declared type."}, "api_key"),
    "expected": ({"type": "string", "description": "The type that is needed."}, "database"),
    "field": ({"type": "string", "description": "The field that is missing."}, "password"),
    "advice": (
        {"type": "string", "description": "What to change, in English; never a value."},
        "The interval is less than the promotion gap of 900 s; make it longer.",
    ),
    "rotation_id": (
        {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "The rotation under way."},
        "6f1d2a4c8b0e4f7796a3c5d1e2b40918",
    ),
    "until": (
        {"type": "string", "format": "date-time", "description": "When the overlap ends."},
        "2026-11-20T08:15:00Z",
    ),
    "failure": (
        {"enum": sorted(get_args(RotationFailure)), "description": "Why the step failed."},
        "target_unavailable",
    ),
}
_POINTED: Final = frozenset({"invalid_request", "invalid_body"})
"""Codes that may say what is wrong where."""

_ERRORS: Final[Schema] = {
    "type": "array",
    "description": "What is wrong where; never with a value.",
    "items": {
        "type": "object",
        "properties": {
            "pointer": {
                "type": "string",
                "description": "A place in the body (RFC 6901, as a URI fragment).",
            },
            "parameter": {"type": "string", "description": "A query parameter."},
            "header": {"type": "string", "description": "A request header."},
            "code": {"type": "string", "description": "What is wrong there."},
        },
        "required": ["code"],
        "additionalProperties": False,
    },
}


def problem_name(code: str) -> str:
    """Return the name of a code's schema: the last part of the problem's `type`."""
    return "problem-" + code.replace("_", "-")


def problem_schemas() -> dict[str, Schema]:
    """Return the schema of each code, by name."""
    return {problem_name(code): _schema(code, row) for code, row in PROBLEMS.items()}


def problem_content(codes: Sequence[str]) -> Schema:
    """Return the `content` of an answer that is one of these problems."""
    references = [ref(problem_name(code)) for code in codes]
    schema: Schema = references[0] if len(references) == 1 else {"oneOf": references}
    return {PROBLEM_TYPE: {"schema": schema}}


def _schema(code: str, row: Problem) -> Schema:
    fixed = {
        "type": TYPE_PREFIX + code.replace("_", "-"),
        "title": row.title,
        "status": row.status,
        "code": code,
        "detail": row.detail,
        "retryable": row.retryable,
    }
    members: Schema = {name: {"const": value} for name, value in fixed.items()}
    members["request_id"] = {
        "type": "string",
        "pattern": "^[A-Za-z0-9._-]{1,64}$",
        "description": "The answer's `X-Request-ID`; the log has it too.",
    }
    example: Schema = {**fixed, "request_id": "7d44a1f2b0f94d0c8e6b6f7a1c2d3e4f"}
    required = list(members)
    for fact in row.facts:
        members[fact], example[fact] = _FACTS[fact]
    if code in _POINTED:
        members["errors"] = _ERRORS
        place = "parameter" if code == "invalid_request" else "pointer"
        shown = "version" if code == "invalid_request" else "#/data/key"
        example["errors"] = [{place: shown, "code": "unknown"}]
    return {
        "type": "object",
        "title": row.title,
        "description": row.detail,
        "properties": members,
        "required": required,
        "additionalProperties": False,
        "examples": [example],
    }
