"""What a request's target means: one parser of the raw path, and the methods of each kind.

Nothing is routed by order. Percent-escapes are refused altogether: what they could spell
is either outside the grammar (``%2F``, ``%2e``, ``%00``) or a second spelling of a name
that has one already (``%61``). The grammar itself is `greenlang_secrets.paths`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from greenlang_secrets.errors import InvalidPath, ReservedName
from greenlang_secrets.paths import RESERVED_FIRST, RESERVED_LAST, SecretPath

__all__ = [
    "METHODS",
    "PREFIX",
    "ROUTES",
    "Kind",
    "Target",
    "is_ours",
    "is_plain",
    "methods",
    "parse",
    "render",
]

PREFIX: Final = "/api/v1/secrets"

_PREFIX: Final = PREFIX.encode()
# The other routes (/livez, /metrics) need nothing more; \Z and not $: no final newline.
_PLAIN: Final = re.compile(rb"(/[A-Za-z0-9][A-Za-z0-9._-]*)*/?\Z")


class Kind(StrEnum):
    """What a target is."""

    LIST = "list"
    SECRET = "secret"  # noqa: S105  # a kind's name
    VERSIONS = "versions"
    UNDELETE = "undelete"
    ROTATE = "rotate"
    ROTATION_STATUS = "rotation_status"
    ROTATION_SCHEDULE = "rotation_schedule"
    HEALTH = "health"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed target: its kind, and the secret's path where the kind has one."""

    kind: Kind
    path: str | None = None


METHODS: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.LIST: ("GET",),
    Kind.SECRET: ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
    Kind.VERSIONS: ("GET",),
    Kind.UNDELETE: ("POST",),
    Kind.ROTATE: ("POST",),
    Kind.ROTATION_STATUS: ("GET",),
    Kind.ROTATION_SCHEDULE: ("GET", "PUT", "DELETE"),
    Kind.HEALTH: ("GET", "HEAD"),
    Kind.STATUS: ("GET",),
}
"""The methods of each kind; `methods` narrows the schedule's to those of one target."""

ROUTES: Final[dict[Kind, str]] = {
    Kind.LIST: PREFIX,
    Kind.SECRET: PREFIX + "/{path}",
    Kind.VERSIONS: PREFIX + "/{path}/versions",
    Kind.UNDELETE: PREFIX + "/{path}/undelete",
    Kind.ROTATE: PREFIX + "/rotate/{path}",
    Kind.ROTATION_STATUS: PREFIX + "/rotation/status",
    Kind.ROTATION_SCHEDULE: PREFIX + "/rotation/schedule",
    Kind.HEALTH: PREFIX + "/health",
    Kind.STATUS: PREFIX + "/status",
}
"""What logs show of a target: its template, never the path."""

_SCHEDULE_LISTED: Final = ("GET",)
_SCHEDULE_OF_ONE: Final = ("PUT", "DELETE")


def methods(target: Target) -> tuple[str, ...]:
    """Return what `target` may be asked, as the `Allow` of a 405 shows it."""
    if target.kind is Kind.ROTATION_SCHEDULE:
        return _SCHEDULE_LISTED if target.path is None else _SCHEDULE_OF_ONE
    return METHODS[target.kind]


def is_ours(raw_path: bytes) -> bool:
    """Return whether `raw_path` lies under `PREFIX`, written exactly so."""
    return raw_path.startswith(_PREFIX) and raw_path[len(_PREFIX) : len(_PREFIX) + 1] in b"/"


def is_plain(raw_path: bytes) -> bool:
    """Return whether a path outside `PREFIX` has one spelling only.

    One that does not (``//api/…``, ``/api/v1/%73ecrets``, ``*``) could mean our prefix to
    a proxy in front of us, so it is refused instead of not being found.
    """
    return _PLAIN.match(raw_path) is not None


@lru_cache(maxsize=4096)
def parse(raw_path: bytes) -> Target:
    """Return what `raw_path`, which `is_ours`, means; memoised for the 4,096 used last.

    Raises:
        InvalidPath: it is outside the grammar, or holds a percent-escape.
        ReservedName: it uses a reserved word where that word means nothing.
    """
    rest = raw_path[len(_PREFIX) + 1 :]
    if not rest:
        return Target(Kind.LIST)
    try:
        text = rest.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidPath from None
    first, _, below = text.partition("/")
    if first in RESERVED_FIRST:
        return _fixed(first, below, text)
    above, _, last = text.rpartition("/")
    if last in RESERVED_LAST:
        return Target(Kind(last), _secret(above, lone=last))
    return Target(Kind.SECRET, _secret(text))


def render(target: Target) -> str:
    """Return the path that `parse` reads back as `target`.

    The list is the one kind with two spellings: ``/api/v1/secrets/`` renders without the
    final slash.
    """
    match target.kind:
        case Kind.LIST:
            parts = []
        case Kind.SECRET:
            parts = [target.path]
        case Kind.VERSIONS | Kind.UNDELETE as kind:
            parts = [target.path, kind]
        case Kind.ROTATE | Kind.HEALTH | Kind.STATUS as kind:
            parts = [kind, target.path]
        case Kind.ROTATION_STATUS:
            parts = ["rotation", "status"]
        case Kind.ROTATION_SCHEDULE:
            parts = ["rotation", "schedule", target.path]
    return "/".join([PREFIX, *(part for part in parts if part is not None)])


def _fixed(first: str, below: str, text: str) -> Target:
    """The targets that begin with a reserved word."""
    if first == "rotate" and below:
        return Target(Kind.ROTATE, _secret(below))
    if text == "rotation/status":
        return Target(Kind.ROTATION_STATUS)
    if text == "rotation/schedule":
        return Target(Kind.ROTATION_SCHEDULE)
    if text.startswith("rotation/schedule/"):
        return Target(Kind.ROTATION_SCHEDULE, _secret(text.removeprefix("rotation/schedule/")))
    if text == "health":
        return Target(Kind.HEALTH)
    if text == "status":
        return Target(Kind.STATUS)
    # Raises InvalidPath for what is malformed, ReservedName for the rest.
    SecretPath.parse(text)
    raise ReservedName


def _secret(raw_path: str, *, lone: str = "") -> str:
    """Check a secret's path by the one grammar, and return it unchanged."""
    if not raw_path and lone:
        raise ReservedName
    SecretPath.parse(raw_path)
    return raw_path
