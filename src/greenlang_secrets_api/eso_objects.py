"""What the Kubernetes API says of ExternalSecrets and PushSecrets, parsed: of each object its
name, when it last synced, and whether it is ready; never what is in a Secret.

Field names are those of the CustomResourceDefinitions of External Secrets Operator 2.9; the
protocol is "Efficient detection of changes" of the Kubernetes documentation ("API Concepts").
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

__all__ = [
    "EXTERNAL_SECRETS",
    "PUSH_SECRETS",
    "Bookmark",
    "Event",
    "Kind",
    "Listed",
    "MalformedError",
    "Refused",
    "Removed",
    "Seen",
    "SyncStatus",
    "Unreadable",
    "parse_event",
    "parse_page",
]

_A_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")  # RFC 1123's subdomain
_LONGEST_TEXT: Final = 1024  # characters of a reason, a uid or a version
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h))+")  # Go's
_PART: Final = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_MOST_READ: Final = 100  # keys of one object that are remembered
_REFRESHED_EVERY: Final = "1h"  # the definitions' default


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of objects.

    Attributes:
        resource: its name in the API and in RBAC.
        versions: of the group, the one tried first in front, the last resort at the end.
        mark: what stands between namespace and name in the label. A name has no slash, so a
            PushSecret is never taken for an ExternalSecret.
        optional: whether a cluster may do without, as one does that never pushes.
    """

    resource: str
    versions: tuple[str, ...]
    mark: str
    optional: bool


EXTERNAL_SECRETS: Final = Kind(
    resource="externalsecrets", versions=("v1", "v1beta1"), mark="", optional=False
)
PUSH_SECRETS: Final = Kind(
    resource="pushsecrets", versions=("v1alpha1", "v1"), mark="push/", optional=True
)


class MalformedError(ValueError):
    """It is not what the protocol has in this place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStatus:
    """One object as it stands.

    Attributes:
        label: ``namespace/name``, or ``namespace/push/name``.
        uid: another one under the same name is another object.
        refreshed_at: when it last synced, in seconds since 1970; None if never.
        ready: whether the condition Ready is True.
        failure: reason and time of a condition Ready that is False, else None.
        refreshed_every: seconds between two syncs; None where none comes by itself.
        reads: the keys that an ExternalSecret reads, as they are written; 100 at most.
    """

    label: str
    uid: str
    refreshed_at: float | None
    ready: bool
    failure: tuple[str, str] | None
    refreshed_every: float | None = None
    reads: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One page of a list.

    Attributes:
        resource_version: from where to watch, once the last page is there.
        next_page: the token of the next page; empty on the last.
        unreadable: objects that could not be parsed, and are left out.
    """

    statuses: tuple[SyncStatus, ...]
    resource_version: str
    next_page: str
    unreadable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An object is new, or has changed."""

    status: SyncStatus
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """An object is gone."""

    label: str
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """Nothing has happened up to here."""

    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An object has changed that could not be parsed."""

    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The server ends the watch with an HTTP status: 410 if our version is too old."""

    code: int


Event = Seen | Removed | Bookmark | Unreadable | Refused


def parse_page(raw: bytes, kind: Kind) -> Listed:
    """Return a page of a list.

    Raises:
        MalformedError: it is no list, or one without a version.
    """
    document = _object(raw)
    items, metadata = document.get("items"), document.get("metadata")
    if not isinstance(items, list) or not isinstance(metadata, dict):
        raise MalformedError
    next_page = metadata.get("continue", "")
    if not isinstance(next_page, str):
        raise MalformedError
    statuses: list[SyncStatus] = []
    for item in items:
        try:
            statuses.append(_status(item, kind))
        except MalformedError:
            continue
    return Listed(
        statuses=tuple(statuses),
        resource_version=_text(metadata, "resourceVersion"),
        next_page=next_page,
        unreadable=len(items) - len(statuses),
    )


def parse_event(line: bytes, kind: Kind) -> Event:
    """Return what one line of a watch says.

    Raises:
        MalformedError: it is no event; what came with it is not known.
    """
    document = _object(line)
    item = document.get("object")
    if not isinstance(item, dict):
        raise MalformedError
    match document.get("type"):
        case "ERROR":
            code = item.get("code")
            return Refused(code=code if isinstance(code, int) else 500)
        case "BOOKMARK":
            return Bookmark(resource_version=_version(item))
        case "DELETED":
            return Removed(label=_label(item, kind), resource_version=_version(item))
        case "ADDED" | "MODIFIED":
            version = _version(item)
            try:
                return Seen(status=_status(item, kind), resource_version=version)
            except MalformedError:
                return Unreadable(resource_version=version)
        case _:
            raise MalformedError


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise MalformedError from None
    if not isinstance(document, dict):
        raise MalformedError
    return document


def _status(item: Any, kind: Kind) -> SyncStatus:
    if not isinstance(item, dict):
        raise MalformedError
    status = item.get("status") or {}
    if not isinstance(status, dict):
        raise MalformedError
    ready, failure = _readiness(status.get("conditions") or [])
    return SyncStatus(
        label=_label(item, kind),
        uid=_text(_metadata(item), "uid"),
        refreshed_at=_seconds(status.get("refreshTime")),
        ready=ready,
        failure=failure,
        refreshed_every=_refreshed_every(item.get("spec")),
        reads=_reads(item.get("spec")),
    )


def _reads(spec: Any) -> frozenset[str]:
    """Return the keys of `data` and of `dataFrom`'s extracts, whatever else is wrong with it."""
    wanted = spec if isinstance(spec, dict) else {}
    keys: set[str] = set()
    for members, reference in (("data", "remoteRef"), ("dataFrom", "extract")):
        entries = wanted.get(members)
        for entry in entries if isinstance(entries, list) else ():
            read = entry.get(reference) if isinstance(entry, dict) else None
            key = read.get("key") if isinstance(read, dict) else None
            if isinstance(key, str) and len(key) <= _LONGEST_TEXT and len(keys) < _MOST_READ:
                keys.add(key)
    return frozenset(keys)


def _refreshed_every(spec: Any) -> float | None:
    """Return the interval, whatever else is wrong with it: an object is told of all the same."""
    wanted = spec if isinstance(spec, dict) else {}
    if wanted.get("refreshPolicy", "Periodic") != "Periodic":
        return None
    text = wanted.get("refreshInterval", _REFRESHED_EVERY)
    if not isinstance(text, str) or len(text) > 64 or _DURATION.fullmatch(text) is None:
        return None  # 0 among them, which is "never again"
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)) or None


def _readiness(conditions: Any) -> tuple[bool, tuple[str, str] | None]:
    if not isinstance(conditions, list) or not all(isinstance(each, dict) for each in conditions):
        raise MalformedError
    for condition in conditions:
        if condition.get("type") == "Ready":
            if condition.get("status") != "False":
                return condition.get("status") == "True", None
            at = condition.get("lastTransitionTime")
            return False, (_shown(condition.get("reason")), _shown(at))
    return False, None


def _shown(value: Any) -> str:
    return value[:_LONGEST_TEXT] if isinstance(value, str) else ""


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedError
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise MalformedError from None
    if at.tzinfo is None:
        raise MalformedError
    return at.timestamp()


def _label(item: Mapping[str, Any], kind: Kind) -> str:
    metadata = _metadata(item)
    namespace, name = _text(metadata, "namespace"), _text(metadata, "name")
    if _A_NAME.fullmatch(namespace) is None or _A_NAME.fullmatch(name) is None:
        raise MalformedError
    return f"{namespace}/{kind.mark}{name}"


def _version(item: Mapping[str, Any]) -> str:
    return _text(_metadata(item), "resourceVersion")


def _metadata(item: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = item.get("metadata")
    if not isinstance(metadata, dict):
        raise MalformedError
    return metadata


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT:
        raise MalformedError
    return value
