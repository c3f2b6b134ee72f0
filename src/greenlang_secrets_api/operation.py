"""What is said of an endpoint besides its declaration, and the problems that follow from both."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from greenlang_secrets_api.endpoints import Endpoint, Public
from greenlang_secrets_api.problem_table import PROBLEMS

__all__ = ["Link", "Operation", "Outcome", "Vault", "problems_of"]


class Vault(Enum):
    """What an endpoint does with Vault, which decides what can go wrong there."""

    UNTOUCHED = auto()
    READ = auto()
    CHANGED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One way an operation succeeds.

    Attributes:
        schema: the name of the answer's schema; None for an answer without a body.
        example: instead of the schema's own, as pairs.
        headers: names of the answer's own headers.
    """

    status: int
    text: str
    schema: str | None = None
    headers: tuple[str, ...] = ()
    example: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What may follow a success: another operation, and where its parameters come from.

    Attributes:
        parameters: runtime expressions by the parameter's name.
        body: a template of the body, runtime expressions in it.
    """

    status: int
    to: str
    text: str
    parameters: tuple[tuple[str, str], ...] = (("path", "$response.body#/path"),)
    body: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row: what an endpoint means.

    Attributes:
        id: the document's `operationId`, stable across versions.
        tag: the group it is shown in.
        body: the name of the body's schema.
        headers: the request headers it looks at.
        problems: codes that do not follow from the endpoint's declaration.
    """

    id: str
    tag: str
    summary: str
    text: str
    outcomes: tuple[Outcome, ...]
    body: str | None = None
    headers: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    vault: Vault = Vault.UNTOUCHED
    links: tuple[Link, ...] = ()


_ANYWHERE: Final = (
    *("invalid_request", "headers_too_large", "too_large", "internal", "overloaded"),
    "rate_limited",  # what is public is counted too, by address
)
_WITH_BEARER: Final = (
    *("invalid_token", "permission_denied", "not_acceptable"),
    *("keys_unavailable", "audit_unavailable"),
)
_WITH_BODY: Final = ("request_timeout", "unsupported_media_type", "invalid_json", "invalid_body")
_WITH_PARAMETER: Final = {
    "tenant": "invalid_tenant",
    "version": "invalid_version",
    "versions": "invalid_version",
    "after": "invalid_cursor",
    "prefix": "invalid_path",
    "path": "invalid_path",
}
_WITH_KEY: Final = ("idempotency_mismatch", "idempotency_in_progress", "catalogue_unavailable")
_WITH_VAULT: Final = (
    *("vault_unavailable", "authentication_lost", "configuration"),
    *("vault", "vault_protocol", "vault_refused"),
)


def problems_of(endpoint: Endpoint, operation: Operation, *, with_path: bool) -> tuple[str, ...]:
    """Return the codes that the endpoint can answer, each once, in the order of the table."""
    found = {*_ANYWHERE, *operation.problems}
    if not isinstance(endpoint.access, Public):
        found.update(_WITH_BEARER)
    if with_path:
        found.update(("invalid_path", "reserved_name"))
    if endpoint.takes_body:
        found.update(_WITH_BODY)
    if endpoint.takes_key:
        found.update(_WITH_KEY)
    if operation.vault is not Vault.UNTOUCHED:
        found.update(_WITH_VAULT)
    if operation.vault is Vault.CHANGED:
        found.add("outcome_unknown")
    found.update(code for name, code in _WITH_PARAMETER.items() if name in endpoint.parameters)
    return tuple(code for code in PROBLEMS if code in found)
