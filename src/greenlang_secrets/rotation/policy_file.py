"""`rotation.yaml`: the policies of an installation, as a file that is applied at each deployment.

Read strictly: an unknown member, a number where a text is meant, or a key that is there twice
is refused, and the refusal says where: YAML itself would pass over each of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from greenlang_secrets.errors import ConfigurationError, InvalidPath, InvalidTenant
from greenlang_secrets.paths import PLATFORM, Scope, SecretPath, Tenant, TenantId
from greenlang_secrets.rotation_model import RotationKind, RotationPolicy, RotationRow
from greenlang_secrets.strict_yaml import load_strictly

__all__ = [
    "FilePolicy",
    "PolicyChange",
    "changes",
    "parse_policies",
    "read_policies",
    "seconds_of",
]

MAX_SIZE: Final = 1024 * 1024  # characters of the file
MAX_SECONDS: Final = 10 * 365 * 24 * 3600

_ROOT: Final = frozenset({"version", "policies"})
_MEMBERS: Final = frozenset(
    {
        *("path", "tenant", "kind", "interval", "enabled", "overlap", "consumers_wait"),
        "settings",
    }
)
_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})(s|m|h|d)\Z")
_UNITS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePolicy:
    """One policy of the file.

    Attributes:
        place: where it stands, such as ``policies[2]``.
    """

    place: str
    scope: Scope
    path: str
    policy: RotationPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """What differs between the file and what is there.

    Attributes:
        settings: the members that differ; empty where there is no policy yet.
    """

    wanted: FilePolicy
    new: bool
    settings: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"{self.wanted.scope} {self.wanted.path}"
        if self.new:
            return f"create rotation policy of {where}"
        return f"update rotation policy of {where} ({', '.join(self.settings)})"


def read_policies(file: Path, *, default_interval: float) -> tuple[FilePolicy, ...]:
    """Return the policies of a file. Blocks.

    Args:
        file: YAML; see docs/how-to/rotate-a-secret.md.
        default_interval: seconds, for policies that name none: the environment's.

    Raises:
        ConfigurationError: it cannot be read, PyYAML is not installed, or something in it is
            wrong; the text says where.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(
            f"The file {str(file)!r} cannot be read as text in UTF-8; name another."
        ) from None
    if len(text) > MAX_SIZE:
        raise ConfigurationError(f"The file {str(file)!r} is over 1 MiB; divide it.")
    return parse_policies(text, name=file.name, default_interval=default_interval)


def parse_policies(text: str, *, name: str, default_interval: float) -> tuple[FilePolicy, ...]:
    """Return the policies of a file's text.

    Raises:
        ConfigurationError: as `read_policies`.
    """
    document = _members(load_strictly(text, name), _ROOT, name)
    if document.get("version") != 1:
        _refuse(f"{name}: version", "is missing or another; write `version: 1`")
    listed = document.get("policies")
    if not isinstance(listed, list):
        _refuse(f"{name}: policies", "is no list; begin each policy with a dash")
    found = tuple(
        _policy(raw, f"{name}: policies[{number}]", default_interval)
        for number, raw in enumerate(listed)
    )
    places: dict[tuple[str, str], str] = {}
    for each in found:
        first = places.setdefault((each.scope.key, each.path), each.place)
        if first != each.place:
            _refuse(f"{each.place}.path", f"is that of {first} too; a secret has one policy")
    return found


def changes(
    wanted: Iterable[FilePolicy], there: Mapping[tuple[str, str], RotationRow]
) -> list[PolicyChange]:
    """Return what must be set so that each wanted policy is there.

    Args:
        wanted: the file's policies.
        there: the rows of the catalogue, by the scope's key and the path; others may be among
            them.
    """
    found = []
    for each in wanted:
        row = there.get((each.scope.key, each.path))
        if row is None:
            found.append(PolicyChange(wanted=each, new=True))
            continue
        differing = _differing(each.policy, row.policy)
        if differing:
            found.append(PolicyChange(wanted=each, new=False, settings=differing))
    return found


def seconds_of(text: str) -> float | None:
    """Return the seconds that ``90s``, ``15m``, ``12h`` or ``7d`` says; None if it says none."""
    found = _DURATION.match(text)
    seconds = 0 if found is None else int(found[1]) * _UNITS[found[2]]
    return float(seconds) if 0 < seconds <= MAX_SECONDS else None


def _differing(wanted: RotationPolicy, there: RotationPolicy) -> tuple[str, ...]:
    plain = ("kind", "interval", "enabled", "overlap", "consumers_wait")
    names = [name for name in plain if getattr(wanted, name) != getattr(there, name)]
    keys = sorted({*wanted.settings, *there.settings})
    names += [
        f"settings.{key}" for key in keys if wanted.settings.get(key) != there.settings.get(key)
    ]
    return tuple(names)


def _policy(raw: object, place: str, default_interval: float) -> FilePolicy:
    members = _members(raw, _MEMBERS, place)
    kind = members.get("kind")
    if not (isinstance(kind, str) and kind in set(RotationKind)):
        kinds = ", ".join(RotationKind)
        _refuse(f"{place}.kind", f"is missing or none of {kinds}")
    enabled = members.get("enabled", True)
    if not isinstance(enabled, bool):
        _refuse(f"{place}.enabled", "is neither true nor false")
    usual = RotationPolicy(kind=RotationKind(kind), interval=default_interval)
    interval = _seconds(members, "interval", place)
    wait = _seconds(members, "consumers_wait", place)
    return FilePolicy(
        place=place,
        scope=_scope(members, place),
        path=_path(members, place),
        policy=replace(
            usual,
            interval=usual.interval if interval is None else interval,
            enabled=enabled,
            overlap=_seconds(members, "overlap", place),
            consumers_wait=usual.consumers_wait if wait is None else wait,
            settings=_settings(members.get("settings", {}), f"{place}.settings"),
        ),
    )


def _scope(members: Mapping[str, object], place: str) -> Scope:
    tenant = members.get("tenant")
    if tenant is None:
        return PLATFORM
    try:
        return Tenant(TenantId(_text(tenant, f"{place}.tenant")))
    except InvalidTenant:
        _refuse(f"{place}.tenant", "is no tenant's id")


def _path(members: Mapping[str, object], place: str) -> str:
    path = _text(members.get("path"), f"{place}.path")
    try:
        SecretPath.parse(path)
    except InvalidPath:
        _refuse(f"{place}.path", "is no path of a secret")
    return path


def _settings(raw: object, place: str) -> dict[str, str]:
    if not isinstance(raw, dict):
        _refuse(place, "is no mapping of names to texts")
    settings = {}
    for key, value in raw.items():
        name = _text(key, place)
        settings[name] = _text(value, f"{place}.{name}")
    return settings


def _seconds(members: Mapping[str, object], name: str, place: str) -> float | None:
    if name not in members:
        return None
    given = members[name]
    seconds = seconds_of(given) if isinstance(given, str) else None
    if seconds is None:
        _refuse(
            f"{place}.{name}", "is no time; write a number and a unit, such as 90s, 15m, 12h, 7d"
        )
    return seconds


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        _refuse(place, "is missing, or no text; put it in quotes")
    return value


def _members(raw: object, known: frozenset[str], place: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        _refuse(place, "is no mapping")
    for name in raw:
        if name not in known:
            shown = name if isinstance(name, str) and name.isidentifier() else "?"
            where = f"{place}.{shown}" if ": " in place else f"{place}: {shown}"
            _refuse(where, f"is unknown; there are {', '.join(sorted(known))}")
    return raw


def _refuse(place: str, what: str) -> NoReturn:
    raise ConfigurationError(f"{place} {what}.")
