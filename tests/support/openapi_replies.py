"""Whether an answer is one that the OpenAPI document describes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from greenlang_secrets.errors import InvalidPath
from greenlang_secrets_api import health_routes, rotation_routes, secrets_routes
from greenlang_secrets_api.endpoints import EndpointTable
from greenlang_secrets_api.openapi import openapi_document
from greenlang_secrets_api.targets import PREFIX, Target, is_ours, parse, render

PROBLEM = "application/problem+json"


def table() -> EndpointTable:
    """The endpoints of the service."""
    return EndpointTable(
        (*secrets_routes.ENDPOINTS, *rotation_routes.ENDPOINTS, *health_routes.ENDPOINTS)
    )


@dataclass(frozen=True)
class Described:
    """The answers of one document."""

    document: Any = field(repr=False)

    def faults(
        self, method: str, target: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> list[str]:
        """Return what of an answer the document does not describe, one line each."""
        address = _address(target)
        operation = self.document["paths"].get(address, {}).get(method.lower())
        if operation is None:
            # Nobody who follows the document asks this; what refuses it is a problem all the same.
            return self._problem(headers, body) if method != "HEAD" and _below(target) else []
        answer = operation["responses"].get(str(status))
        if answer is None:
            return [f"{method} {address} has no answer {status}"]
        found = self._headers(answer, headers)
        if method != "HEAD":
            found += self._content(answer, headers, body)
        return [f"{method} {address} {status}: {fault}" for fault in found]

    def _problem(self, headers: Mapping[str, str], body: bytes) -> list[str]:
        if headers.get("Content-Type") != PROBLEM:
            return ["an answer outside the document is no problem"]
        code = json.loads(body)["code"].replace("_", "-")
        return self._mismatch({"$ref": f"#/components/schemas/problem-{code}"}, body)

    def _headers(self, answer: Any, headers: Mapping[str, str]) -> list[str]:
        found = []
        for name, header in answer["headers"].items():
            if "$ref" in header:
                header = self.document["components"]["headers"][name]  # noqa: PLW2901
            if name in headers:
                found += self._mismatch(
                    header["schema"], _read(headers[name], header["schema"]), f"header {name}"
                )
            elif header.get("required", False):
                found.append(f"header {name} is missing")
        return found

    def _content(self, answer: Any, headers: Mapping[str, str], body: bytes) -> list[str]:
        content = answer.get("content", {})
        if not content:
            return ["a body where there is none"] if body else []
        media_type = headers.get("Content-Type", "")
        if media_type not in content:
            return [f"media type {media_type!r}"]
        return self._mismatch(content[media_type]["schema"], body)

    def _mismatch(self, schema: Any, value: object, where: str = "body") -> list[str]:
        instance = json.loads(value) if isinstance(value, bytes) else value
        whole = {**schema, "components": self.document["components"]}
        return [
            f"{where}: {error.message[:200]}"
            for error in Draft202012Validator(whole).iter_errors(instance)
        ]


@cache
def described() -> Described:
    """The document of the service."""
    return Described(json.loads(json.dumps(openapi_document(table()))))


def _below(target: str) -> bool:
    return is_ours(target.partition("?")[0].encode())


def _address(target: str) -> str | None:
    raw_path = target.partition("?")[0].encode()
    if not is_ours(raw_path):
        return None
    try:
        parsed = parse(raw_path)
    except InvalidPath:
        return None
    shape = Target(parsed.kind, None if parsed.path is None else "{path}")
    assert render(shape).startswith(PREFIX)
    return render(shape)


def _read(text: str, schema: Any) -> object:
    return int(text) if schema.get("type") == "integer" and text.isdecimal() else text
