"""The document's parameters and headers: of the path, the query, requests and answers."""

from __future__ import annotations

from typing import Final

from greenlang_secrets.paths import RESERVED_FIRST, RESERVED_LAST
from greenlang_secrets.rotation_model import RotationState
from greenlang_secrets_api.openapi_parts import Schema

__all__ = ["ANSWER_HEADERS", "PATH", "QUERY", "REQUEST_HEADERS", "query_parameter"]

_SEGMENT: Final = "[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_FIRST: Final = "|".join(sorted(RESERVED_FIRST))
_LAST: Final = "|".join(sorted(RESERVED_LAST))
_FOLDERS: Final = f"(?:{_SEGMENT}/){{0,16}}"
# RFC 9110, 8.8.3, without spaces inside: what the service reads.
_TAG: Final = r'(?:W/)?"[!#-~]*"'
_TAGS: Final = rf"^(?:\*|{_TAG}(?:, ?{_TAG})*)$"
_TAG_LIST: Final[Schema] = {"type": "string", "format": "entity-tags", "pattern": _TAGS}

PATH: Final[Schema] = {
    "name": "path",
    "in": "path",
    "required": True,
    "description": "The secret's path, relative to your scope: 1 to 16 segments joined by "
    "slashes, 512 octets at most. **Its slashes are sent as they are** (RFC 6570, `{+path}`); "
    "a percent-escape, `%2F` too, is refused.",
    # OpenAPI 3.1 has no word for a path parameter of several segments (`allowReserved` is for
    # queries), and clients made from the document escape its slashes.
    "x-multi-segment": True,
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 512,
        "pattern": rf"^(?!(?:{_FIRST})(?:/|$))(?!(?:.*/)?(?:{_LAST})$)"
        rf"{_SEGMENT}(?:/{_SEGMENT}){{0,15}}$",
    },
    "examples": {"nested": {"value": "api-keys/stripe"}, "flat": {"value": "stripe"}},
}

_VERSION: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 999_999_999}

QUERY: Final[dict[str, Schema]] = {
    "tenant": {
        "description": "The tenant in which a platform principal acts. From anyone else it is a "
        "403, your own tenant included.",
        "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"},
        "example": "acme",
    },
    "prefix": {
        "description": "What is listed: empty, or a folder with its final slash.",
        "schema": {"type": "string", "maxLength": 513, "pattern": f"^{_FOLDERS}$"},
        "example": "api-keys/",
    },
    "limit": {
        "description": "Entries of this page.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 100},
        "example": 50,
    },
    "after": {
        "description": "`next` of the page before. It belongs to one tenant and one listing.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 2048},
    },
    "deleted": {
        "description": "Whether secrets whose current version is deleted are listed too.",
        "schema": {"type": "boolean", "default": False},
    },
    "version": {
        "description": "One version instead of the newest.",
        "schema": _VERSION,
        "example": 1,
    },
    "fields": {
        "description": "Only these keys of the data. A key that the secret lacks is a 422.",
        "style": "form",
        "explode": False,
        "schema": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "pattern": "^[^,]+$"},
            "minItems": 1,
        },
        "example": ["key"],
    },
    "fresh": {
        "description": "Ask Vault now, and take nothing less. Counts tenfold against the limit.",
        "schema": {"type": "boolean", "default": False},
    },
    "versions": {
        "description": "These versions instead of the current one.",
        "style": "form",
        "explode": False,
        "schema": {"type": "array", "items": _VERSION, "minItems": 1, "maxItems": 100},
    },
    "destroy": {
        "description": "Remove the data for good; needs `versions` and `Audit-Reason`.",
        "schema": {"type": "boolean", "default": False},
    },
    "id": {
        "description": "The rotation of this id, if it is a secret's current or last one.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
    "path": {
        "description": "This secret alone.",
        "schema": PATH["schema"],
        "example": "database/postgresql",
    },
    "state": {
        "description": "Those that stand there.",
        "schema": {"enum": [str(each) for each in RotationState]},
    },
}
"""The query parameters, by name; `query_parameter` makes one of the document's."""


def query_parameter(name: str) -> Schema:
    """Return a query parameter.

    Raises:
        KeyError: an endpoint declares one that is not described here.
    """
    return {"name": name, "in": "query", "required": False, **QUERY[name]}


REQUEST_HEADERS: Final[dict[str, Schema]] = {
    "If-Match": {
        "name": "If-Match",
        "in": "header",
        "description": "Entity tags, of which one must be the current version, or `*` for any. "
        "A weak tag never matches.",
        "schema": _TAG_LIST,
        "examples": {"any": {"value": "*"}, "version": {"value": '"7"'}},
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The versions you have, weak or strong, or `*`.",
        "schema": _TAG_LIST,
        "example": '"7"',
    },
    "If-None-Match-Star": {
        "name": "If-None-Match",
        "in": "header",
        "description": "`*`: create only. Not together with `If-Match`.",
        "schema": {"type": "string", "format": "entity-tags", "pattern": r"^\*$"},
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=30`: hold a 304 back for so many seconds, 60 at most, or until "
        "there is another version. A preference that cannot be read is ignored (RFC 7240).",
        "schema": {"type": "string"},
        "example": "wait=1",
    },
    "Prefer-Promotion": {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=20`: answer when the new version is there, after so many seconds at "
        "the latest, 30 at most. A preference that cannot be read is ignored (RFC 7240).",
        "schema": {"type": "string"},
        "example": "wait=1",
    },
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "1 to 64 visible ASCII characters, new for each request you mean: sent "
        "again with the same request, it gets the same answer. It belongs to you alone.",
        "schema": {"type": "string", "format": "idempotency-key", "pattern": "^[!-~]{1,64}$"},
    },
    "Audit-Reason": {
        "name": "Audit-Reason",
        "in": "header",
        "description": "Why: 1 to 512 printable characters. Required with `destroy=true`.",
        "schema": {"type": "string"},
        "example": "leaked in ticket 42",
    },
}
"""The request headers, by the name that `operations` gives them."""

_QUOTED_VERSION: Final[Schema] = {"type": "string", "pattern": '^"[1-9][0-9]*"$'}

ANSWER_HEADERS: Final[dict[str, Schema]] = {
    "X-Request-ID": {
        "required": True,
        "description": "The request's id: yours if it was 1 to 64 of letters, digits, `.`, `_` "
        "and `-`, else a new one. The log has it too.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        "example": "7d44a1f2b0f94d0c8e6b6f7a1c2d3e4f",
    },
    "ETag": {
        "required": True,
        "description": "The version, quoted.",
        "schema": _QUOTED_VERSION,
        "example": '"7"',
    },
    "Age": {
        "required": True,
        "description": "Seconds since Vault was asked.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 3,
    },
    "X-Secret-Stale": {
        "description": "There while Vault cannot be asked and the value may be old.",
        "schema": {"const": "true", "type": "string"},
    },
    "Preference-Applied": {
        "description": "There where `Prefer: wait` was followed.",
        "schema": {"type": "string", "pattern": "^wait=[0-9]+$"},
        "example": "wait=30",
    },
    "Idempotent-Replay": {
        "description": "There where this is the answer of an earlier request with the same key.",
        "schema": {"const": "true", "type": "string"},
    },
    "Location": {
        "required": True,
        "description": "Where the new secret is, or where to see how the rotation goes on.",
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/api/v1/secrets/api-keys/stripe",
    },
    "Link": {
        "description": 'The next page, with `rel="next"`; absent on the last one.',
        "schema": {"type": "string"},
        "example": '</api/v1/secrets?after=WyJ0Il0>; rel="next"',
    },
    "Retry-After": {
        "required": True,
        "description": "Seconds until it is worth another try.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 5,
    },
    "WWW-Authenticate": {
        "required": True,
        "description": "The scheme, and whether a bearer was refused or missing (RFC 6750).",
        "schema": {"type": "string", "pattern": "^Bearer"},
        "example": 'Bearer error="invalid_token"',
    },
    "RateLimit-Policy": {
        "description": "The limit that this call counts against: `q` requests in `w` seconds.",
        "schema": {"type": "string"},
        "example": '"read";q=200;w=1',
    },
    "RateLimit": {
        "description": "What of it is left: `r` requests, and `t` seconds until there are more.",
        "schema": {"type": "string"},
        "example": '"read";r=173;t=1',
    },
}
"""The headers of answers, by name. All answers have `Cache-Control: no-store` besides."""
