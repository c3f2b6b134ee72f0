"""What the endpoints of rotation are sent, read as strictly as `bodies` reads secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from greenlang_secrets.rotation_model import RotationKind, RotationPolicy
from greenlang_secrets_api.bodies import not_strings, pointer, refuse, whole

__all__ = ["MAX_SECONDS", "MAX_SETTINGS", "PolicyBody", "RotateBody"]

MAX_REASON: Final = 512  # characters, as of an Audit-Reason
MAX_SECONDS: Final = 10 * 365 * 24 * 3600
"""Ten years: what is longer is a mistake in the unit."""
MAX_SETTINGS: Final = 32
MAX_SETTING: Final = 16 * 1024  # characters of one: a chain of certificates fits

_KINDS: Final = frozenset(str(kind) for kind in RotationKind)
_SECONDS: Final[Mapping[str, int]] = {
    "interval_seconds": 1,
    "overlap_seconds": 1,
    "consumers_wait_seconds": 0,
}
_POLICY: Final = frozenset({"kind", "enabled", "settings", *_SECONDS})


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateBody:
    """What a rotation is asked for with; both may be left out, and the body too.

    Attributes:
        reason: why, for the audit log and the history.
        force: whether to cut off who still uses the credential before; needs a reason.
    """

    reason: str | None = None
    force: bool = False

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> RotateBody:
        """Return the checked body.

        Raises:
            ProblemError: ``invalid_body``, naming each place.
        """
        known = {"reason", "force"}
        errors = [(pointer(name), "unknown_member") for name in document if name not in known]
        reason, force = document.get("reason"), document.get("force", False)
        if not isinstance(force, bool):
            errors.append(("#/force", "not_true_or_false"))
        if reason is None:
            if "reason" in document:
                errors.append(("#/reason", "not_a_string"))
            elif force is True:
                errors.append(("#/reason", "missing"))
        elif not isinstance(reason, str):
            errors.append(("#/reason", "not_a_string"))
        elif not (reason.strip() and len(reason) <= MAX_REASON and reason.isprintable()):
            errors.append(("#/reason", "malformed"))
        if errors:
            refuse(*errors)
        return cls(reason=reason, force=force)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyBody:
    """A policy as it is sent; what is None was left out, or is null."""

    kind: RotationKind
    interval: float | None = None
    enabled: bool = True
    overlap: float | None = None
    consumers_wait: float | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> PolicyBody:
        """Return the checked body.

        Raises:
            ProblemError: ``invalid_body``, naming each place.
        """
        errors = [(pointer(name), "unknown_member") for name in document if name not in _POLICY]
        kind, enabled = document.get("kind", ""), document.get("enabled", True)
        if "kind" not in document:
            errors.append(("#/kind", "missing"))
        elif not (isinstance(kind, str) and kind in _KINDS):
            errors.append(("#/kind", "unknown_kind"))
        if not isinstance(enabled, bool):
            errors.append(("#/enabled", "not_true_or_false"))
        seconds: dict[str, float | None] = {}
        for name, least in _SECONDS.items():
            given = document.get(name)
            number = whole(given, least=least, most=MAX_SECONDS)
            seconds[name] = None if number is None else float(number)
            if given is not None and number is None:
                errors.append((pointer(name), "not_seconds"))
        settings = document.get("settings", {})
        errors += _settings_errors(settings)
        if errors:
            refuse(*errors)
        return cls(
            kind=RotationKind(kind),
            interval=seconds["interval_seconds"],
            enabled=enabled,
            overlap=seconds["overlap_seconds"],
            consumers_wait=seconds["consumers_wait_seconds"],
            settings=settings,
        )

    def policy(self, *, default_interval: float) -> RotationPolicy:
        """Return the policy, with defaults for what was left out."""
        usual = RotationPolicy(kind=self.kind, interval=default_interval)
        return RotationPolicy(
            kind=self.kind,
            interval=usual.interval if self.interval is None else self.interval,
            enabled=self.enabled,
            overlap=self.overlap,
            consumers_wait=(
                usual.consumers_wait if self.consumers_wait is None else self.consumers_wait
            ),
            settings=dict(self.settings),
        )


def _settings_errors(settings: object) -> list[tuple[str, str]]:
    if settings is None:
        return [("#/settings", "not_an_object")]
    errors = not_strings("settings", settings)
    if errors or not isinstance(settings, dict):
        return errors
    if len(settings) > MAX_SETTINGS:
        return [("#/settings", "too_many")]
    return [
        (pointer("settings", name), "too_long")
        for name, text in settings.items()
        if len(name) > MAX_REASON or len(text) > MAX_SETTING
    ]
