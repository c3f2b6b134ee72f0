"""The OpenAPI 3.1 document, made from the declarations that requests are answered by.

Addresses come from the parser, methods, permissions, rate classes and query parameters from
the endpoints, problems from the table of problems; what only a person can say comes from
`operations`. Nothing is written twice, so nothing can say two things.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from greenlang_secrets.access import Permission, Principal, TenantContext
from greenlang_secrets.errors import ConfigurationError, InvalidPath
from greenlang_secrets.paths import PLATFORM
from greenlang_secrets.version import __version__
from greenlang_secrets_api.endpoints import Endpoint, EndpointTable, Public
from greenlang_secrets_api.openapi_parameters import (
    ANSWER_HEADERS,
    PATH,
    REQUEST_HEADERS,
    query_parameter,
)
from greenlang_secrets_api.openapi_parts import Schema, ref
from greenlang_secrets_api.openapi_problems import problem_content, problem_schemas
from greenlang_secrets_api.openapi_rotation import ROTATION_SCHEMAS
from greenlang_secrets_api.openapi_secrets import SECRET_SCHEMAS
from greenlang_secrets_api.openapi_service import SERVICE_SCHEMAS
from greenlang_secrets_api.operation import Link, Operation, problems_of
from greenlang_secrets_api.operations import OPERATIONS
from greenlang_secrets_api.problem_table import PROBLEMS
from greenlang_secrets_api.targets import METHODS, Kind, Target, methods, parse, render

__all__ = ["openapi_document", "permissions_of"]

_JSON: Final = "application/json"
_SCHEME: Final = "bearer"
_NO_CONTENT: Final = frozenset({204, 304})
_ANYWHERE: Final = ("X-Request-ID", "RateLimit-Policy", "RateLimit")
_HEADERS_OF: Final[dict[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}

_ABOUT: Final = """\
Read and write secrets in HashiCorp Vault and OpenBao, with permissions, entity tags and \
problems that say what to do.

- **Who you are** is said by the bearer alone: a JWT of the configured issuer. Paths are \
relative to its scope, which is a tenant's or the platform's, so no request can name \
another tenant's secret.
- **Versions are entity tags**: send the `ETag` of a read as `If-Match` of the write, and \
nobody's change is lost.
- **Errors** are `application/problem+json` (RFC 9457): `code` is stable, `retryable` says \
whether the same request may succeed later.
- **Nothing may be kept**: every answer has `Cache-Control: no-store`, and an `X-Request-ID` \
to quote.

Beside this API, `/livez`, `/readyz` and `/metrics` tell how the process is.
"""

_TAGS: Final = {
    "Secrets": "Values and what is known of them.",
    "Versions": "History, and the way back.",
    "Rotation": "New credentials in place of old ones, by hand and by schedule.",
    "Service": "How the service itself is.",
}


def openapi_document(table: EndpointTable) -> Schema:
    """Return the document of these endpoints, the same for the same code.

    Raises:
        ConfigurationError: an endpoint has no row in `OPERATIONS`, or a row no endpoint.
    """
    declared = {(kind, method) for kind, names in METHODS.items() for method in names}
    for kind, method in sorted(declared ^ set(OPERATIONS)):
        raise ConfigurationError(
            f"{method} {kind} is either an endpoint or in OPERATIONS, but not both; add the other."
        )
    paths: dict[str, Schema] = {}
    for target in _targets():
        item: Schema = {} if target.path is None else {"parameters": [_parameter("path")]}
        for method in methods(target):
            item[method.lower()] = _operation(table.find(target, method), target)
        paths[render(target)] = item
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "greenlang-secrets",
            "version": __version__,
            "summary": "Secrets over HTTP.",
            "description": _ABOUT,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This service."}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "security": [{_SCHEME: []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                _SCHEME: {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A JWT of the configured issuer, with `tenant_id` or "
                    "`platform`, and `permissions`.",
                }
            },
            "parameters": {"path": PATH, **REQUEST_HEADERS},
            "headers": ANSWER_HEADERS,
            "schemas": {
                **SECRET_SCHEMAS,
                **ROTATION_SCHEMAS,
                **SERVICE_SCHEMAS,
                **problem_schemas(),
            },
        },
    }


def permissions_of(endpoint: Endpoint) -> tuple[Permission, ...]:
    """Return the permissions of which one is enough to call `endpoint`; none if it is public."""
    if isinstance(endpoint.access, Public):
        return ()
    return tuple(
        permission
        for permission in Permission
        if endpoint.allows(
            TenantContext(
                principal=Principal(subject="anyone", permissions=frozenset({permission})),
                scope=PLATFORM,
            )
        )
    )


def _targets() -> Iterator[Target]:
    """Every shape of address: what the parser reads back as it was rendered."""
    for kind in Kind:
        for path in (None, "a"):
            try:
                parsed = parse(render(Target(kind, path)).encode())
            except InvalidPath:
                continue
            if parsed == Target(kind, path):
                yield Target(kind, None if path is None else "{path}")


def _operation(endpoint: Endpoint, target: Target) -> Schema:
    row = OPERATIONS[endpoint.kind, endpoint.method]
    permissions = permissions_of(endpoint)
    needed = " or ".join(f"`{permission}`" for permission in permissions)
    operation: Schema = {
        "operationId": row.id,
        "tags": [row.tag],
        "summary": row.summary,
        "description": row.text + (f"\n\nNeeds {needed}." if needed else ""),
        "x-permissions": [str(permission) for permission in permissions],
        "x-rate-class": str(endpoint.rate),
        "parameters": [
            *(query_parameter(name) for name in sorted(endpoint.parameters)),
            *(_parameter(name) for name in row.headers),
            *([_parameter("Idempotency-Key")] if endpoint.takes_key else []),
        ],
    }
    if row.body is not None:
        operation["requestBody"] = {
            "required": endpoint.needs_body,
            "content": {(endpoint.takes_body or b"").decode(): {"schema": ref(row.body)}},
        }
    if not permissions:
        operation["security"] = [{}, {_SCHEME: []}]
    operation["responses"] = _answers(endpoint, row, with_path=target.path is not None)
    return operation


def _parameter(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def _answers(endpoint: Endpoint, row: Operation, *, with_path: bool) -> dict[str, Schema]:
    """The successes of the row, then every problem, by status."""
    answers: dict[str, Schema] = {}
    for outcome in row.outcomes:
        answer: Schema = {
            "description": outcome.text,
            "headers": _headers(*outcome.headers),
        }
        if outcome.schema is not None:
            example: Schema = {"example": dict(outcome.example)} if outcome.example else {}
            answer["content"] = {_JSON: {"schema": ref(outcome.schema), **example}}
        links = {link.to: _link(link) for link in row.links if link.status == outcome.status}
        if links:
            answer["links"] = links
        answers[str(outcome.status)] = answer
    by_status: dict[int, list[str]] = {}
    for code in problems_of(endpoint, row, with_path=with_path):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    for status, codes in sorted(by_status.items()):
        _add_problems(answers, status, codes, silent=endpoint.method == "HEAD")
    return answers


def _add_problems(
    answers: dict[str, Schema], status: int, codes: list[str], *, silent: bool
) -> None:
    """Add the problems of one status to what may be there already (503 of the health)."""
    said = " ".join(f"`{code}`: {PROBLEMS[code].title}." for code in codes)
    before = answers.get(str(status), {"description": "", "content": {}})
    headers = _headers(*_HEADERS_OF.get(status, ()))
    if str(status) in answers:  # a health of `down` is no problem, and says no `Retry-After`
        headers["Retry-After"] = {**ANSWER_HEADERS["Retry-After"], "required": False}
    answer: Schema = {
        "description": f"{before['description']} {said}".strip(),
        "headers": headers,
        "x-problems": codes,
    }
    if not silent:  # a HEAD is answered without a body, whatever comes of it
        content = before["content"]
        answer["content"] = {
            **(content if isinstance(content, dict) else {}),
            **problem_content(codes),
        }
    answers[str(status)] = answer


def _headers(*names: str) -> dict[str, Schema]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*_ANYWHERE, *names)}


def _link(link: Link) -> Schema:
    found: Schema = {
        "operationId": link.to,
        "description": link.text,
        "parameters": dict(link.parameters),
    }
    if link.body:
        found["requestBody"] = dict(link.body)
    return found
