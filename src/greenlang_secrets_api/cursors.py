"""Cursors: where the next page begins, bound to the scope and the listing it came from.

Opaque to the caller, and checked when it comes back, so that a cursor of one tenant or
prefix is refused in another. It names only what that listing has already shown.
"""

from __future__ import annotations

import base64
import json
from typing import Final

from greenlang_secrets.paths import Scope
from greenlang_secrets_api.problems import ProblemError

__all__ = ["open_cursor", "seal_cursor"]

_MAX_LENGTH: Final = 2048  # two paths of 512 octets, a tenant and the base64 around them


def seal_cursor(scope: Scope, listing: str, after: str) -> str:
    """Return the cursor for what comes after `after` in `listing` of `scope`."""
    text = json.dumps([str(scope), listing, after], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def open_cursor(cursor: str, scope: Scope, listing: str) -> str:
    """Return what `seal_cursor` was given as `after`.

    Raises:
        ProblemError: ``invalid_cursor``, it is none of ours, or of another listing or scope.
    """
    after = _read(cursor) if len(cursor) <= _MAX_LENGTH else None
    # Made anew for this scope and listing it must be the same to the letter: that refuses
    # those of others and second spellings alike.
    if after is None or seal_cursor(scope, listing, after) != cursor:
        raise ProblemError("invalid_cursor")
    return after


def _read(cursor: str) -> str | None:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        _, _, after = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, TypeError, RecursionError):
        return None
    return after if isinstance(after, str) else None
