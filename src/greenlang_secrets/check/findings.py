"""What a check finds: where, of which object, what is wrong, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Finding", "Place", "Rule"]

Rule = Literal[
    "invalid_file",
    "needs_differ",
    "needs_unchecked",
    "secret_literal",
    "slow_refresh",
    "unexplained_wildcard",
    "unknown_metric",
    "unknown_path",
    "unknown_role",
    "unknown_store",
    "unpinned_image",
    "unreadable_path",
    "unused_grant",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands.

    Attributes:
        line: from 1.
        object: such as ``ExternalSecret greenlang/api-postgresql``; empty outside of objects.
    """

    file: Path
    line: int
    object: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong. Its texts name keys and paths, and never a secret's value."""

    rule: Rule
    place: Place
    what: str
    fix: str
