"""What a kind of rotation asks of a secret and its policy, and how it is told what is wrong.

Each check raises `NotRotatable` with a text that says what to change. Texts name settings and
fields, and never show what a field holds.
"""

from __future__ import annotations

import re
from typing import Final

from greenlang_secrets.errors import NotRotatable, RotationFailed, SecretUnavailable
from greenlang_secrets.paths import KvPath
from greenlang_secrets.rotation.handler import Rotation, Subject
from greenlang_secrets.rotation.policy import check_fit
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.sensitive import SecretMap, SecretValue
from greenlang_secrets.vault.client import VaultClient

__all__ = [
    "candidate_of",
    "check_kind",
    "current_of",
    "duration",
    "field",
    "live_data",
    "seconds",
    "setting",
    "switch",
    "values_of",
]

_SECONDS: Final = re.compile(r"([1-9][0-9]{0,9})([smhd]?)\Z")
_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def check_kind(subject: Subject, kind: RotationKind, *settings: str) -> None:
    """Return if a secret of this type and scope is rotated so, with no settings but these.

    Raises:
        NotRotatable: it is not, or there is a setting that the kind does not know.
    """
    check_fit(kind, scope=subject.scope, declared=subject.type, path=subject.path)
    unknown = sorted(subject.policy.settings.keys() - set(settings))
    if unknown:
        known = f"it knows {', '.join(sorted(settings))}" if settings else "it knows none"
        raise NotRotatable(
            f"The kind {kind.value!r} has no setting {unknown[0]!r}; {known}.", path=subject.path
        )


def setting(subject: Subject, name: str, meaning: str) -> str:
    """Return a setting that must be there; `meaning` says what it is, for the error.

    Raises:
        NotRotatable: it is missing or empty.
    """
    text = subject.policy.settings.get(name, "")
    if not text:
        raise NotRotatable(f"Set {name!r}: {meaning}.", path=subject.path)
    return text


def seconds(subject: Subject, name: str, meaning: str) -> float:
    """Return a setting that must be there, a duration such as ``90``, ``30m``, ``72h`` or ``7d``.

    Raises:
        NotRotatable: it is missing, or is no duration.
    """
    try:
        return duration(setting(subject, name, meaning))
    except ValueError:
        raise NotRotatable(
            f"{name!r} is a duration such as 3600, 30m, 72h or 7d.", path=subject.path
        ) from None


def duration(text: str) -> float:
    """Return the seconds of a duration such as ``90``, ``30m``, ``72h`` or ``7d``.

    Raises:
        ValueError: it is none.
    """
    found = _SECONDS.match(text)
    if found is None:
        raise ValueError("no duration")
    return int(found[1]) * _UNITS[found[2]]


def switch(subject: Subject, name: str) -> bool:
    """Return a setting that is ``true`` or ``false``; False where it is missing.

    Raises:
        NotRotatable: it is another text.
    """
    text = subject.policy.settings.get(name, "false")
    if text not in {"true", "false"}:
        raise NotRotatable(f"{name!r} is true or false.", path=subject.path)
    return text == "true"


def field(subject: Subject, *names: str) -> str:
    """Return the name of the first of these fields that the secret has and that is not empty.

    Raises:
        NotRotatable: it has none.
    """
    for name in names:
        if subject.data.get(name):
            return name
    raise NotRotatable(
        f"The secret has no field {' or '.join(map(repr, names))}; write it first.",
        path=subject.path,
    )


def current_of(rotation: Rotation) -> SecretMap:
    """Return what the secret held when the rotation began.

    Raises:
        RotationFailed: that version is gone.
    """
    if rotation.current is None:
        raise RotationFailed("incomplete", path=rotation.path)
    return rotation.current


def candidate_of(rotation: Rotation) -> SecretMap:
    """Return the candidate.

    Raises:
        RotationFailed: there is none, though `prepare` or `apply` made one.
    """
    if rotation.candidate is None:
        raise RotationFailed("incomplete", path=rotation.path)
    return rotation.candidate


async def live_data(client: VaultClient, kv_mount: str, rotation: Rotation) -> SecretMap:
    """Return what the secret holds now; nothing if it is gone. Whoever retires the old credential
    asks, since an operator may have gone back to it since the promotion.
    """
    place = KvPath.of(kv_mount, rotation.scope, rotation.path)
    try:
        return (await client.kv(rotation.scope).read(place, consistent=True)).data
    except SecretUnavailable:
        return SecretMap({})


def values_of(data: SecretMap) -> dict[str, SecretValue]:
    """Return the fields of a secret, to make another version of."""
    return {name: data[name] for name in data.keys()}  # noqa: SIM118  # a SecretMap is not iterated
