"""Query strings: each parameter known, once, and of its own shape.

An unknown one is refused, since a typo in `version` must not read the newest version.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, NoReturn, TypeVar
from urllib.parse import parse_qsl

from greenlang_secrets.errors import InvalidVersion
from greenlang_secrets_api.problems import ProblemError

__all__ = [
    "choice",
    "flag",
    "names",
    "number",
    "parse_query",
    "rotation_id",
    "version",
    "versions",
]

E = TypeVar("E", bound=StrEnum)

MAX_PARAMETERS: Final = 16
MAX_VERSIONS: Final = 100  # named at once
_NONE: Final[Mapping[str, str]] = {}
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}\Z")
_ROTATION: Final = re.compile(r"[0-9a-f]{32}\Z")
_NUMBER: Final = re.compile(r"[0-9]{1,9}\Z")
# What may be repeated to the caller: a parameter's name, not a value put in its place.
_NAME: Final = re.compile(r"[a-z_]{1,32}\Z")


def parse_query(raw: bytes, known: Collection[str]) -> Mapping[str, str]:
    """Return the parameters of a query string.

    Raises:
        ProblemError: ``invalid_request``: one is unknown or there twice, or it is not UTF-8.
    """
    if not raw:
        return _NONE
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError:
        raise ProblemError(
            "invalid_request", errors=[{"parameter": "", "code": "malformed"}]
        ) from None
    query: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            refuse(name if _NAME.match(name) else "", "unknown")
        if name in query:
            refuse(name, "duplicate")
        query[name] = value
    return query


def flag(query: Mapping[str, str], name: str) -> bool:
    """Return true or false; false where it is not given."""
    raw = query.get(name, "false")
    if raw not in {"true", "false"}:
        refuse(name, "not_true_or_false")
    return raw == "true"


def number(query: Mapping[str, str], name: str, *, default: int, most: int) -> int:
    """Return a whole number from 1 to `most`."""
    raw = query.get(name)
    if raw is None:
        return default
    value = int(raw) if _NUMBER.match(raw) else 0
    if not 1 <= value <= most:
        refuse(name, "out_of_range")
    return value


def choice(query: Mapping[str, str], name: str, words: type[E]) -> E | None:
    """Return one of a closed set of words, or None where it is not given."""
    raw = query.get(name)
    try:
        return None if raw is None else words(raw)
    except ValueError:
        refuse(name, "unknown_value")


def rotation_id(query: Mapping[str, str]) -> str | None:
    """Return `id`, a rotation's, or None where it is not given."""
    raw = query.get("id")
    if raw is not None and _ROTATION.match(raw) is None:
        refuse("id", "malformed")
    return raw


def version(query: Mapping[str, str]) -> int | None:
    """Return `version`, or None where it is not given.

    Raises:
        InvalidVersion: it is no whole number from 1 on; Vault would take -1 for the latest.
    """
    raw = query.get("version")
    return None if raw is None else _version(raw)


def versions(query: Mapping[str, str]) -> tuple[int, ...] | None:
    """Return `versions`, a list with commas, or None where it is not given.

    Raises:
        InvalidVersion: one is no whole number from 1 on, or there are over 100.
    """
    raw = query.get("versions")
    if raw is None:
        return None
    named = raw.split(",")
    if len(named) > MAX_VERSIONS:
        raise InvalidVersion
    return tuple(dict.fromkeys(map(_version, named)))


def names(query: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    """Return a list with commas of what is not empty, or None where it is not given."""
    raw = query.get(name)
    if raw is None:
        return None
    listed = tuple(dict.fromkeys(raw.split(",")))
    if not all(listed):
        refuse(name, "empty")
    return listed


def refuse(parameter: str, code: str) -> NoReturn:
    """Refuse the request for one of its parameters."""
    raise ProblemError("invalid_request", errors=[{"parameter": parameter, "code": code}])


def _version(raw: str) -> int:
    if _VERSION.match(raw) is None:
        raise InvalidVersion
    return int(raw)
