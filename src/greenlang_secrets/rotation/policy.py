"""When to rotate, when to try again, what a policy must be like: decided purely."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from greenlang_secrets.errors import NotRotatable
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import Platform, Scope
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation_model import RotationKind, RotationPolicy

__all__ = [
    "AFTER_CONFLICT",
    "LONGEST",
    "backoff",
    "check_fit",
    "check_policy",
    "due_at",
    "missed",
    "overlap_of",
]

AFTER_CONFLICT: Final = 3600.0
"""Seconds after which a rotation begins anew whose secret somebody else wrote meanwhile."""

_SPREAD: Final = 0.05

LONGEST: Final = 1 + _SPREAD
"""What an interval is multiplied by at most: see `due_at`."""


def due_at(since: datetime, interval: float, digest: str) -> datetime:
    """Return when the next rotation is due, `interval` seconds after `since`, give or take 5 %.

    The same secret is always moved the same way, by its `digest`, so that every replica agrees;
    different ones drift apart, so that what was set up together is not rotated together.
    """
    drawn = int.from_bytes(hashlib.sha256(digest.encode()).digest()[:8]) / 2**64
    return since + timedelta(seconds=interval * (1 - _SPREAD + 2 * _SPREAD * drawn))


def missed(due: datetime, interval: float, now: datetime) -> int:
    """Return how many further rotations would have been due since `due`: they collapse to one."""
    return max(0, int((now - due).total_seconds() // interval))


def backoff(attempts: int, jitter: float, config: RotationConfig) -> float:
    """Return the seconds to wait after so many failed attempts in a row.

    `jitter` is 0 to 1: the wait is between three quarters of the doubled time and the whole of it.
    """
    doubled = config.first_backoff * 2.0 ** min(max(0, attempts - 1), 20)
    return min(config.longest_backoff, doubled) * (0.75 + 0.25 * jitter)


def overlap_of(policy: RotationPolicy, gap: float) -> float:
    """Return the seconds for which the old credential stays valid: never less than the gap."""
    return gap if policy.overlap is None else max(gap, policy.overlap)


def check_fit(kind: RotationKind, *, scope: Scope, declared: SecretType, path: object) -> None:
    """Return if a secret of that scope and type may be rotated so.

    Raises:
        NotRotatable: the kind is not for tenants, or not for this type.
    """
    if kind.platform_only and not isinstance(scope, Platform):
        raise NotRotatable(
            f"The kind {kind.value} is for the platform's own secrets; use another kind.",
            path=path,
        )
    if kind.secret_types and declared not in kind.secret_types:
        wanted = ", ".join(sorted(kind.secret_types))
        raise NotRotatable(
            f"The secret is declared as {declared.value}, and {kind.value} rotates {wanted}; "
            "declare its type, or use another kind.",
            path=path,
        )


def check_policy(
    policy: RotationPolicy, *, scope: Scope, declared: SecretType, gap: float, path: object
) -> None:
    """Return if a secret of that scope and type may have this policy.

    Raises:
        NotRotatable: the kind is not for tenants or not for this type, or a time is less than
            the promotion gap, so that a consumer could still use a credential that is retired.
    """
    check_fit(policy.kind, scope=scope, declared=declared, path=path)
    if not gap <= policy.interval < float("inf"):
        raise NotRotatable(
            f"The interval is less than the promotion gap of {gap:g} s; make it longer.", path=path
        )
    if policy.overlap is not None and not gap <= policy.overlap < float("inf"):
        raise NotRotatable(
            f"The overlap is less than the promotion gap of {gap:g} s; make it longer, or leave "
            "it out.",
            path=path,
        )
    if not 0 <= policy.consumers_wait < float("inf"):
        raise NotRotatable("The wait for consumers is 0 seconds or more.", path=path)
