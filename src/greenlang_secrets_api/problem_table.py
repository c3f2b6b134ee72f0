"""Every problem the service answers with: one row for each code (RFC 9457).

Titles and details are fixed: never Vault's words, never an exception's own text. What an
error knows besides (`facts`) is shown only where its row names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["PROBLEMS", "Problem"]


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
    "not_acceptable": Problem(
        406, "No such media type", "Answers are `application/json`; let `Accept` allow that."
    ),
    "too_large": Problem(413, "Too large", "A secret holds at most 256 keys and 768 KiB of JSON."),
    "unsupported_media_type": Problem(
        415,
        "The media type is not supported",
        "Send the body as `application/json`, of a PATCH as `application/merge-patch+json`, "
        "and not compressed.",
    ),
    "invalid_body": Problem(422, "The body does not fit", "See `errors` for what is wrong where."),
    "idempotency_mismatch": Problem(
        422,
        "The key was used for another request",
        "This `Idempotency-Key` was sent with another request before; use a new one.",
    ),
    "precondition_required": Problem(
        428,
        "A version must be named",
        "This secret is only written with the version it replaces; send `If-Match`.",
    ),
    "rate_limited": Problem(
        429,
        "Too many requests",
        "The limit that `RateLimit-Policy` shows is used up; come back after `Retry-After`.",
        retryable=True,
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
    "idempotency_in_progress": Problem(
        409,
        "The request is under way",
        "A request with this `Idempotency-Key` is still running; ask again for its answer.",
        retryable=True,
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
    # ------------------------------------------------------------ rotation
    "not_rotatable": Problem(
        422,
        "Not rotatable",
        "The secret has no rotation policy, or the policy does not fit it.",
        facts=("advice",),
    ),
    "rotation_in_progress": Problem(
        409,
        "A rotation is under way",
        "This secret is being rotated.",
        facts=("rotation_id",),
    ),
    "overlap_in_progress": Problem(
        409,
        "The last rotation is not over",
        "Consumers may still use the credential before.",
        facts=("until",),
    ),
    "rotation_failed": Problem(
        503,
        "The rotation failed",
        "A step of the rotation failed and is tried again later.",
        retryable=True,
        facts=("failure",),
    ),
    "rotation_fenced": Problem(
        409,
        "The rotation has another owner",
        "Somebody else has taken this rotation over.",
    ),
    "rotation_lost": Problem(
        409,
        "The rotation has another owner",
        "Somebody else has taken this rotation over.",
    ),
    # ------------------------------------------------------------ the service and Vault
    "internal": Problem(500, "Internal error", "The service failed; its log has the request id."),
    "configuration": Problem(
        500, "Internal error", "The service is not set up for this; its log has the request id."
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
    "needs_unmet": Problem(
        500,
        "Declared needs are not met",
        "Secrets that the program declares to need are missing, denied or incomplete.",
    ),
    "needs_unavailable": Problem(
        503,
        "Declared needs cannot be loaded now",
        "Vault gives no answer about the secrets that the program declares to need.",
        retryable=True,
    ),
    "audit_unavailable": Problem(
        503,
        "The audit log cannot be written",
        "No value is given out, and no change begun, without a durable audit record.",
        retryable=True,
    ),
    "catalogue_unavailable": Problem(
        503,
        "The catalogue is not available",
        "The service's database gives no answer now; secrets themselves do not need it.",
        retryable=True,
    ),
    "overloaded": Problem(
        503,
        "Too much work",
        "As many requests as the service takes are under way; nothing was done for this one.",
        retryable=True,
    ),
    "outcome_unknown": Problem(
        504,
        "The outcome is not known",
        "The write may or may not have happened; read the secret and compare its version.",
    ),
}
"""Every code the service answers with."""
