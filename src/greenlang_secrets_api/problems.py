"""From an error to its HTTP answer (RFC 9457), by the rows of `problem_table`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from greenlang_secrets.errors import SecretDeleted, SecretsError, VaultUnavailable
from greenlang_secrets_api.answers import Answer, Header, json_answer
from greenlang_secrets_api.problem_table import PROBLEMS, Problem

__all__ = ["ProblemError", "problem_answer", "problem_of"]

TYPE_PREFIX: Final = "https://greenlang.io/problems/"
RETRY_AFTER: Final = 5
"""Seconds in `Retry-After` where the error names none: an unseal or election takes about that."""

_MEDIA_TYPE: Final[Header] = (b"content-type", b"application/problem+json")


class ProblemError(Exception):
    """A request that the service refuses by itself, before or without the library.

    Attributes:
        code: a key of `PROBLEMS`.
        errors: what is wrong where: ``{"pointer": "#/data/x", "code": "not_a_string"}``.
        headers: further response headers, such as `Allow`.
    """

    def __init__(
        self,
        code: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: tuple[Header, ...] = (),
    ) -> None:
        super().__init__(code)
        self.code = code
        self.errors = tuple(errors)
        self.headers = headers


def problem_of(error: Exception) -> tuple[str, Problem]:
    """Return the code and the row for `error`; one that is nobody's own is `internal`."""
    match error:
        case ProblemError():
            code = error.code
        case SecretsError():
            code = _code(error)
        case _:
            code = "internal"
    return code, PROBLEMS.get(code, PROBLEMS["internal"])


def problem_answer(error: Exception, request_id: str) -> Answer:
    """Return the answer for `error`."""
    code, row = problem_of(error)
    match error:
        case ProblemError():
            facts, errors, headers = {}, error.errors, error.headers
        case SecretsError():
            facts, errors, headers = error.facts, _pointed(error), ()
        case _:
            facts, errors, headers = {}, (), ()
    body: dict[str, object] = {
        "type": TYPE_PREFIX + code.replace("_", "-"),
        "title": row.title,
        "status": row.status,
        "code": code,
        "detail": row.detail,
        "request_id": request_id,
        "retryable": row.retryable,
    }
    body.update((name, _shown(facts[name])) for name in row.facts if name in facts)
    if errors:
        body["errors"] = [dict(item) for item in errors]
    if row.status == 503:
        headers = (*headers, (b"retry-after", b"%d" % _retry_after(error)))
    return json_answer(row.status, body, *headers, media_type=_MEDIA_TYPE)


def _shown(fact: str | int) -> str | int:
    """Points in time end in Z wherever the service writes them."""
    return fact.replace("+00:00", "Z") if isinstance(fact, str) else fact


def _code(error: SecretsError) -> str:
    if isinstance(error, SecretDeleted) and error.destroyed:
        return "secret_destroyed"
    # A class added to the library before its row here is a fault of ours, not the caller's.
    return error.code if error.code in PROBLEMS else "internal"


def _pointed(error: SecretsError) -> tuple[Mapping[str, str], ...]:
    """The library points into a document; here it becomes a URI fragment (RFC 6901, 6)."""
    pointer = error.facts.get("pointer")
    return () if pointer is None else ({"pointer": f"#{pointer}", "code": "invalid"},)


def _retry_after(error: Exception) -> int:
    if isinstance(error, VaultUnavailable) and error.retry_after is not None:
        return max(1, math.ceil(error.retry_after))
    return RETRY_AFTER
