"""The JSON Schemas of secrets, sent and answered, with examples that are valid against them.

Strict on both sides: a member that a schema does not name is not sent and not answered, so
that a test can tell an answer that the document does not describe.
"""

from __future__ import annotations

from typing import Final

from greenlang_secrets.content import MAX_KEYS
from greenlang_secrets.model import SecretType
from greenlang_secrets_api.openapi_parts import Schema, closed, moment, number, ref, text

__all__ = ["SECRET_SCHEMAS"]

_MAX_VERSION: Final = 2**31 - 1

# What is certainly not printable; unassigned and format characters make no short list.
_PRINTABLE: Final = r"[^\u0000-\u001f\u007f-\u00a0\u00ad\u2028\u2029]"
_PATH_EXAMPLE: Final = "api-keys/stripe"
_CURSOR: Final = "WyJ0ZW5hbnQgYWNtZSIsImFwaS1rZXlzLyIsInN0cmlwZSJd"


_PATH: Final = text("The secret's path, relative to the scope.")
_VERSION: Final = number("The version, which is also the entity tag.", least=1)
_CREATED: Final = moment("When this version was written.")
_EXPIRES: Final = moment("When Vault will delete this version by itself.", nullable=True)
_NEXT: Final[Schema] = {
    "type": ["string", "null"],
    "description": "`after` of the next page; null on the last one.",
}
_METADATA: Final[Schema] = {
    "type": "object",
    "description": "What was said about the secret; not secret itself.",
    "additionalProperties": {"type": "string"},
}

SECRET_SCHEMAS: Final[dict[str, Schema]] = {
    # ------------------------------------------------------------ bodies
    "SecretType": {
        "type": "string",
        "description": "What kind of secret it is: declared, never guessed from the path.",
        "enum": [str(each) for each in SecretType],
        "examples": ["api_key"],
    },
    "NewSecret": closed(
        "A secret to write. At most 768 KiB of JSON.",
        {
            "data": {
                "type": "object",
                "description": "The values, strings all: Vault changes numbers. A binary value is "
                "base64, and `custom_metadata` says so. A key has 1 to 256 octets.",
                "propertyNames": {"minLength": 1, "maxLength": 256},
                "additionalProperties": {"type": "string"},
                "maxProperties": MAX_KEYS,
            },
            "type": {
                **ref("SecretType"),
                "description": "Without it a new secret is `generic`, and an old one stays what "
                "it is.",
            },
            "custom_metadata": {
                "type": "object",
                "description": "Replaces what was set before; without it, that stays. A key has 1 "
                "to 128 octets, a value 1 to 512, all printable. It is not kept secret.",
                "propertyNames": {
                    "minLength": 1,
                    "maxLength": 128,
                    "pattern": f"^(?!type$)(?!gls_){_PRINTABLE}*$",
                },
                "additionalProperties": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 512,
                    "pattern": f"^{_PRINTABLE}*$",
                },
                "maxProperties": 63,
            },
        },
        optional=("type", "custom_metadata"),
        example={
            "data": {"key": "sk_live_4eC39HqL"},
            "type": "api_key",
            "custom_metadata": {"owner": "billing"},
        },
    ),
    "SecretPatch": closed(
        "What changes in a secret's values.",
        {
            "data": {
                "type": "object",
                "description": "A string sets a key, null removes it. A key has 1 to 256 octets.",
                "propertyNames": {"minLength": 1, "maxLength": 256},
                "additionalProperties": {"type": ["string", "null"]},
                "maxProperties": MAX_KEYS,
            }
        },
        example={"data": {"key": "sk_live_9dK2mQvX", "old_key": None}},
    ),
    "Undelete": {
        "description": "The versions to bring back: one, or several.",
        "oneOf": [
            closed("One.", {"version": number("The version.", least=1, maximum=_MAX_VERSION)}),
            closed(
                "Several.",
                {
                    "versions": {
                        "type": "array",
                        "items": number("One of them.", least=1, maximum=_MAX_VERSION),
                        "minItems": 1,
                        "maxItems": 100,
                    }
                },
            ),
        ],
        "examples": [{"version": 6}, {"versions": [5, 6]}],
    },
    # ------------------------------------------------------------ answers
    "Secret": closed(
        "One version of a secret with its values.",
        {
            "path": _PATH,
            "version": _VERSION,
            "type": ref("SecretType"),
            "data": {
                "type": "object",
                "description": "The values, or those that `fields` asks for.",
                "additionalProperties": {"type": "string"},
            },
            "created_at": _CREATED,
            "custom_metadata": _METADATA,
            "expires_at": _EXPIRES,
        },
        example={
            "path": _PATH_EXAMPLE,
            "version": 7,
            "type": "api_key",
            "data": {"key": "sk_live_4eC39HqL"},
            "created_at": "2026-11-20T08:00:00Z",
            "custom_metadata": {"owner": "billing"},
            "expires_at": None,
        },
    ),
    "SecretCreated": closed(
        "What was created; never its values.",
        {"path": _PATH, "version": _VERSION, "created_at": _CREATED},
        example={
            "path": _PATH_EXAMPLE,
            "version": 1,
            "created_at": "2026-11-20T08:00:00Z",
        },
    ),
    "SecretUpdated": closed(
        "What was written; never its values.",
        {
            "path": _PATH,
            "version": _VERSION,
            "created_at": _CREATED,
            "unchanged": {
                "type": "boolean",
                "description": "True if the data was equal, so that no new version was made.",
            },
        },
        example={
            "path": _PATH_EXAMPLE,
            "version": 8,
            "created_at": "2026-11-21T08:00:00Z",
            "unchanged": False,
        },
    ),
    "SecretPage": closed(
        "A part of a listing.",
        {
            "items": {
                "type": "array",
                "description": "Secrets and folders, by name.",
                "items": {"oneOf": [ref("SecretItem"), ref("FolderItem"), ref("ForeignItem")]},
                "maxItems": 100,
            },
            "next": _NEXT,
        },
        example={
            "items": [
                {
                    "path": _PATH_EXAMPLE,
                    "kind": "secret",
                    "version": 7,
                    "type": "api_key",
                    "created_at": "2026-11-01T08:00:00Z",
                    "updated_at": "2026-11-20T08:00:00Z",
                    "state": "live",
                    "custom_metadata": {"owner": "billing"},
                    "addressable": True,
                },
                {"path": "api-keys/partners/", "kind": "folder", "addressable": True},
            ],
            "next": _CURSOR,
        },
    ),
    "SecretItem": closed(
        "A secret in a listing.",
        {
            "path": _PATH,
            "kind": {"const": "secret"},
            "version": number("The current version; 0 if nothing was written yet."),
            "type": ref("SecretType"),
            "created_at": moment("When the secret was made."),
            "updated_at": moment("When it was changed last."),
            "state": {
                "enum": ["live", "deleted", "destroyed", "empty"],
                "description": "That of the current version.",
            },
            "custom_metadata": _METADATA,
            "addressable": {"const": True},
        },
    ),
    "FolderItem": closed(
        "A folder in a listing.",
        {
            "path": text("Ends with a slash; ask for it as `prefix`.", pattern="/$"),
            "kind": {"const": "folder"},
            "addressable": {"type": "boolean", "description": "False: this API cannot name it."},
        },
    ),
    "ForeignItem": closed(
        "A secret whose name other tools chose outside the grammar: this API cannot name it.",
        {
            "path": text("Its name as it is."),
            "kind": {"const": "secret"},
            "addressable": {"const": False},
        },
    ),
    "History": closed(
        "A secret's versions, newest first.",
        {
            "path": _PATH,
            "current_version": number("The newest version, deleted or not."),
            "oldest_version": number("The oldest that is kept; 0 if there is none."),
            "max_versions": number("How many are kept; 0 means the mount's setting."),
            "versions": {
                "type": "array",
                "description": "One page of them.",
                "items": {
                    "oneOf": [ref("LiveVersion"), ref("DeletedVersion"), ref("DestroyedVersion")]
                },
                "maxItems": 100,
            },
            "next": _NEXT,
        },
        example={
            "path": _PATH_EXAMPLE,
            "current_version": 7,
            "oldest_version": 5,
            "max_versions": 0,
            "versions": [
                {
                    "version": 7,
                    "created_at": "2026-11-20T08:00:00Z",
                    "state": "live",
                    "expires_at": None,
                },
                {
                    "version": 6,
                    "created_at": "2026-11-19T08:00:00Z",
                    "state": "deleted",
                    "deleted_at": "2026-11-20T08:00:00Z",
                },
                {"version": 5, "created_at": "2026-11-18T08:00:00Z", "state": "destroyed"},
            ],
            "next": None,
        },
    ),
    "LiveVersion": closed(
        "A version that can be read.",
        {
            "version": _VERSION,
            "created_at": _CREATED,
            "state": {"const": "live"},
            "expires_at": _EXPIRES,
        },
    ),
    "DeletedVersion": closed(
        "A version that undelete brings back.",
        {
            "version": _VERSION,
            "created_at": _CREATED,
            "state": {"const": "deleted"},
            "deleted_at": moment("When it was deleted."),
        },
    ),
    "DestroyedVersion": closed(
        "A version whose data is gone for good.",
        {"version": _VERSION, "created_at": _CREATED, "state": {"const": "destroyed"}},
    ),
    "Undeleted": closed(
        "What undelete did.",
        {
            "path": _PATH,
            "restored": {
                "type": "array",
                "description": "Versions brought back.",
                "items": {"type": "integer"},
            },
            "already_live": {
                "type": "array",
                "description": "Versions that were live before.",
                "items": {"type": "integer"},
            },
            "current_version": number("The newest version.", least=1),
        },
        example={
            "path": _PATH_EXAMPLE,
            "restored": [6],
            "already_live": [],
            "current_version": 7,
        },
    ),
}
"""The schemas of what is sent and answered about secrets, by name."""
