"""The one table from an error's code to its HTTP answer (RFC 9457).

Titles and details are fixed: never Vault's words, never an exception's own text. What an
error knows besides (`facts`) is shown only where its row names it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from greenlang_secrets.errors import SecretDeleted, SecretsError, VaultUnavailable
from greenlang_secrets_api.answers import Answer, Header, json_answer

__all__ = ["PROBLEMS", "Problem", "ProblemError", "problem_answer"]

TYPE_PREFIX: Final = "https://greenlang.io/problems/"
RETRY_AFTER: Final = 5
"""Seconds in `Retry-After` where the error names none: an unseal or election takes about that."""

_MEDIA_TYPE: Final[Header] = (b"content-type", b"application/problem+json")


@dataclass(frozen=True, slots=True)
class Problem:
    """One row: what a code answers.

    Attributes:
        retryable: the same request may succeed later unchanged.
        facts: the members of an error's `facts` that may be shown.
    """

    status: int
    title: str
    detail: str
    retryable: bool = False
    facts: tuple[str, ...] = ()


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


PROBLEMS: Final[dict[str, Problem]] = {
    # ------------------------------------------------------------ the request
    "invalid_request": Problem(
        400,
        "The request is not valid",
        "The request line, a query parameter or a header is wrong; see `errors`.",
    ),
    "invalid_path": Problem(
        400,
        "The path is not valid",
        "A path is 1 to 16 segments of letters, digits, '.', '_' and '-', each beginning with "
        "a letter or digit, without percent-escapes and without a final slash.",
    ),
    "reserved_name": Problem(
        400,
        "The path uses a reserved name",
        "A secret's path may not begin with health, status, stats, rotate or rotation, "
        "nor end with versions or undelete.",
    ),
    "invalid_tenant": Problem(
        400,
        "The tenant id is not valid",
        "A tenant id is 1 to 63 of a-z, 0-9 and '-', not beginning with '-'.",
    ),
    "invalid_version": Problem(
        400, "The version is not valid", "A version is a whole number, 1 or greater."
    ),
    "invalid_cursor": Problem(
        400,
        "The cursor is not valid",
        "Use `next` of the page before, with the same prefix and tenant.",
    ),
    "invalid_json": Problem(400, "The body is not JSON", "The body must be JSON in UTF-8."),
    "invalid_token": Problem(
        401,
        "The bearer is not accepted",
        "Send a valid JWT of the configured issuer as `Authorization: Bearer`.",
    ),
    "permission_denied": Problem(
        403, "Not allowed", "The bearer's permissions do not allow this, or not in this scope."
    ),
    "not_found": Problem(404, "Nothing is here", "The service has no such address."),
    "method_not_allowed": Problem(
        405, "The method does not fit", "Use one of the methods that `Allow` names."
    ),
    "request_timeout": Problem(
        408, "The body came too late", "The body did not arrive in time.", retryable=True
    ),
    "too_large": Problem(413, "Too large", "A secret holds at most 256 keys and 768 KiB of JSON."),
    "unsupported_media_type": Problem(
        415, "The media type is not supported", "Send the body as `application/json`."
    ),
    "invalid_body": Problem(422, "The body does not fit", "See `errors` for what is wrong where."),
    "precondition_required": Problem(
        428,
        "A version must be named",
        "This secret is only written with the version it replaces; send `If-Match`.",
    ),
    "headers_too_large": Problem(
        431, "The headers are too large", "All header fields together hold at most 16 KiB."
    ),
    # ------------------------------------------------------------ nothing to give
    "secret_not_found": Problem(404, "No such secret", "There is no such secret."),
    "secret_deleted": Problem(
        404,
        "The version is deleted",
        "This version is deleted; undelete brings it back.",
        facts=("version", "deleted_at"),
    ),
    "secret_destroyed": Problem(
        404, "The version is destroyed", "This version was destroyed for good.", facts=("version",)
    ),
    "version_not_found": Problem(
        404, "No such version", "There is no such version of this secret.", facts=("version",)
    ),
    # ------------------------------------------------------------ conflicts
    "conflict": Problem(409, "Conflict", "The secret is not in the state this needs."),
    "secret_exists": Problem(
        409,
        "The secret exists",
        "A live secret is at this path already; PUT writes a new version of it.",
        facts=("current_version",),
    ),
    "version_destroyed": Problem(
        409,
        "The version is destroyed",
        "A destroyed version cannot be brought back.",
        facts=("version",),
    ),
    "path_is_folder": Problem(
        409,
        "The path is a folder",
        "Other secrets lie below this path; a secret is never also a folder.",
    ),
    "ancestor_is_secret": Problem(
        409,
        "A part of the path is a secret",
        "A part of this path is a secret itself; a secret is never also a folder.",
    ),
    "secret_type_mismatch": Problem(
        409,
        "The secret is of another type",
        "The secret is declared as another type than this needs.",
        facts=("declared", "expected"),
    ),
    "secret_incomplete": Problem(
        409,
        "The secret lacks a field",
        "A field of the secret is missing, or is not what its type needs.",
        facts=("field",),
    ),
    "version_conflict": Problem(
        412,
        "The secret has changed",
        "The version you named is not the current one.",
        facts=("current_version",),
    ),
    # ------------------------------------------------------------ engines
    "object_not_found": Problem(
        404,
        "Vault lacks an object",
        "Vault has no such role, key, certificate, policy, mount or token.",
        facts=("kind",),
    ),
    "object_exists": Problem(
        409,
        "The name is taken",
        "Something else in Vault has this name already.",
        facts=("kind",),
    ),
    "lease_expired": Problem(
        409,
        "The lease has ended",
        "The lease has ended or was revoked.",
    ),
    "not_renewable": Problem(
        409,
        "Not renewable",
        "This lease or token lives to its end and no longer.",
    ),
    "ciphertext_refused": Problem(
        422,
        "The ciphertext does not fit",
        "The ciphertext does not fit this key, context and associated data.",
    ),
    "ciphertext_too_old": Problem(
        422,
        "The ciphertext is too old",
        "The version of the key that made this is retired.",
    ),
    "wrapping_token_used": Problem(
        409,
        "The wrapping token was used",
        "The wrapping token was used already or has expired.",
    ),
    "wrapping_token_foreign": Problem(
        409,
        "The wrapping token is foreign",
        "The wrapping token was not made by the expected request.",
    ),
    # ------------------------------------------------------------ the service and Vault
    "internal": Problem(500, "Internal error", "The service failed; its log has the request id."),
    "configuration": Problem(
        500, "Internal error", "The service is not set up for this; its log has the request id."
    ),
    "not_implemented": Problem(
        501, "Not part of this version", "Rotation is not part of this version of the service."
    ),
    "vault": Problem(502, "Vault failed", "Vault did not do what was asked of it."),
    "vault_protocol": Problem(
        502, "Vault answered strangely", "The answer of Vault could not be understood."
    ),
    "vault_refused": Problem(
        502, "Vault refused", "Vault refused the request; its set-up may not fit this service."
    ),
    "vault_unavailable": Problem(
        503,
        "Vault is not available",
        "Vault gives no answer now; nothing was changed.",
        retryable=True,
        facts=("reason",),
    ),
    "authentication_lost": Problem(
        503,
        "Vault does not accept the service",
        "The service's own login to Vault is no longer accepted.",
        retryable=True,
    ),
    "keys_unavailable": Problem(
        503,
        "Bearers cannot be verified",
        "The issuer's public keys could not be fetched yet.",
        retryable=True,
    ),
    "outcome_unknown": Problem(
        504,
        "The outcome is not known",
        "The write may or may not have happened; read the secret and compare its version.",
    ),
}
"""Every code the service answers with."""


def problem_answer(error: Exception, request_id: str) -> Answer:
    """Return the answer for `error`; one that is nobody's own is `internal`."""
    match error:
        case ProblemError():
            code, facts, errors, headers = error.code, {}, error.errors, error.headers
        case SecretsError():
            code = _code(error)
            facts, errors, headers = error.facts, _pointed(error), ()
        case _:
            code, facts, errors, headers = "internal", {}, (), ()
    row = PROBLEMS.get(code, PROBLEMS["internal"])
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
