"""Request bodies: read with a bound, parsed strictly, and said exactly what is wrong where.

Strict means: no member is unknown or there twice, and a value is a string, because
Vault changes numbers. How long and how many they may be is the library's to say
(`greenlang_secrets.content`). The texts of a body never appear in what is answered;
names of members do, which the caller wrote as such.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import anyio
from starlette.types import Receive

from greenlang_secrets.model import SecretType
from greenlang_secrets_api.answers import Header
from greenlang_secrets_api.problems import ProblemError

__all__ = [
    "JSON",
    "MERGE_PATCH",
    "PatchBody",
    "UndeleteBody",
    "WriteBody",
    "not_strings",
    "pointer",
    "read_document",
    "refuse",
    "whole",
]

JSON: Final = b"application/json"
MERGE_PATCH: Final = b"application/merge-patch+json"
"""RFC 7396: a member of null is removed."""

MAX_ERRORS: Final = 20  # reported at once
MAX_POINTER: Final = 300  # characters; what points further is not repeated
MAX_VERSION: Final = 2**31 - 1
MAX_VERSIONS: Final = 100  # named at once
_MEMBERS: Final = frozenset({"data", "type", "custom_metadata"})
_TYPES: Final = frozenset(str(known) for known in SecretType)


async def read_document(
    receive: Receive,
    headers: Sequence[Header],
    *,
    media_type: bytes = JSON,
    limit: int,
    within: float,
    optional: bool = False,
) -> dict[str, Any]:
    """Return the JSON object of a body of `media_type`, read `within` seconds.

    Where it is `optional`, an empty body is an empty object, of whatever media type.

    Raises:
        ProblemError: ``unsupported_media_type``, ``request_timeout``, ``too_large``,
            ``invalid_json``, or ``invalid_body`` if it is no object or names a member twice.
    """
    if not optional:
        _check_media_type(headers, media_type)
    body = bytearray()
    with anyio.move_on_after(within):
        while True:
            message = await receive()
            if message["type"] != "http.request":
                break
            body += message.get("body", b"")
            if len(body) > limit:
                raise ProblemError("too_large")
            if not message.get("more_body", False):
                if optional and not body:
                    return {}
                _check_media_type(headers, media_type)
                return _parse(bytes(body))
    raise ProblemError("request_timeout")


def _check_media_type(headers: Sequence[Header], wanted: bytes) -> None:
    found = [value for name, value in headers if name == b"content-type"]
    media_type, _, parameters = (found[0] if len(found) == 1 else b"").lower().partition(b";")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    if media_type.strip() != wanted or charset not in {b"", b"charset=utf-8"}:
        raise ProblemError("unsupported_media_type")
    # A coding that nobody undoes must not be passed over: what is stored would be another text.
    codings = b",".join(value for name, value in headers if name == b"content-encoding")
    if codings.strip().lower() not in {b"", b"identity"}:
        raise ProblemError("unsupported_media_type")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(
            body.decode(), object_pairs_hook=_without_twins, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        # Without the cause: a JSONDecodeError carries the whole text.
        raise ProblemError("invalid_json") from None
    if not isinstance(document, dict):
        refuse(("#", "not_an_object"))
    return document


def _without_twins(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        refuse(("#", "duplicate_member"))
    return value


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError  # NaN and Infinity are not JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBody:
    """What POST and PUT of a secret carry; what is None was not sent."""

    data: Mapping[str, str] = field(repr=False)
    type: SecretType | None
    custom_metadata: Mapping[str, str] | None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> WriteBody:
        """Return the checked body.

        Raises:
            ProblemError: ``invalid_body``, naming each place.
        """
        errors = [(pointer(name), "unknown_member") for name in document if name not in _MEMBERS]
        data, metadata = document.get("data"), document.get("custom_metadata")
        errors += not_strings("data", data)
        # A member of null is not one that was left out: nobody knows what it would mean.
        if metadata is not None:
            errors += not_strings("custom_metadata", metadata)
        elif "custom_metadata" in document:
            errors.append(("#/custom_metadata", "not_an_object"))
        declared = document.get("type")
        if "type" in document and not (isinstance(declared, str) and declared in _TYPES):
            errors.append(("#/type", "unknown_type"))
        if errors or not isinstance(data, dict):
            refuse(*errors)
        return cls(
            data=data,
            type=None if declared is None else SecretType(declared),
            custom_metadata=metadata,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchBody:
    """What PATCH of a secret carries: keys to set, and keys to remove, which are None."""

    data: Mapping[str, str | None] = field(repr=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> PatchBody:
        """Return what ``{"data": {"changed": "…", "removed": null}}`` changes.

        Raises:
            ProblemError: ``invalid_body``, naming each place.
        """
        errors = [(pointer(name), "unknown_member") for name in document if name != "data"]
        data = document.get("data")
        if isinstance(data, dict):
            set_ = {key: text for key, text in data.items() if text is not None}
            errors += not_strings("data", set_)
        else:
            errors += not_strings("data", data)
        if errors or not isinstance(data, dict):
            refuse(*errors)
        return cls(data=data)


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeleteBody:
    """What an undelete carries: versions, each once."""

    versions: tuple[int, ...]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> UndeleteBody:
        """Return the versions named by ``{"version": N}`` or ``{"versions": [N, …]}``.

        Raises:
            ProblemError: ``invalid_body``, naming each place.
        """
        match dict(document):
            case {"version": one, **rest} if not rest:
                pointed = [("#/version", one)]
            case {"versions": list(several), **rest} if several and not rest:
                pointed = [(f"#/versions/{index}", item) for index, item in enumerate(several)]
            case _:
                refuse(("#", "needs_version_or_versions"))
        if len(pointed) > MAX_VERSIONS:
            refuse(("#/versions", "too_many"))
        named = [(where, whole(item)) for where, item in pointed]
        wrong = [(where, "not_a_version") for where, version in named if version is None]
        if wrong:
            refuse(*wrong)
        versions = (version for _, version in named if version is not None)
        return cls(versions=tuple(dict.fromkeys(versions)))


def whole(item: object, *, least: int = 1, most: int = MAX_VERSION) -> int | None:
    """Return the whole number that a number means, or None; JSON has none of its own: 6.0 is 6."""
    if isinstance(item, float) and item.is_integer():
        item = int(item)
    if isinstance(item, bool) or not isinstance(item, int) or not least <= item <= most:
        return None
    return item


def not_strings(member: str, value: object) -> list[tuple[str, str]]:
    """Return what keeps `value` from being an object of strings, as pointers and codes."""
    if value is None:
        return [(pointer(member), "missing")]
    if not isinstance(value, dict):
        return [(pointer(member), "not_an_object")]
    return [
        (pointer(member, key), "not_a_string")
        for key, text in value.items()
        if not isinstance(text, str)
    ]


def pointer(*names: str) -> str:
    """Return RFC 6901's pointer as a URI fragment; one too long or odd to repeat ends at what is
    known.
    """
    shown = "/".join(["#", *(name.replace("~", "~0").replace("/", "~1") for name in names)])
    if shown.isprintable() and len(shown) <= MAX_POINTER:
        return shown
    return "#" if len(names) == 1 else pointer(*names[:-1])


def refuse(*errors: tuple[str, str]) -> NoReturn:
    """Refuse the body for what is wrong where, up to 20 of them."""
    raise ProblemError(
        "invalid_body",
        errors=[{"pointer": where, "code": code} for where, code in errors[:MAX_ERRORS]],
    ) from None
