"""What the caller would take: `Accept` (RFC 9110, 12.5.1) and `Prefer: wait` (RFC 7240)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from greenlang_secrets_api.answers import Header
from greenlang_secrets_api.problems import ProblemError

__all__ = ["MAX_WAIT", "check_accept", "preferred_wait"]

MAX_WAIT: Final = 60
"""Seconds a caller may have us wait: less than what proxies give a connection that is quiet."""

_RANGES: Final = frozenset({b"*/*", b"application/*", b"application/json"})
_REFUSED: Final = re.compile(rb"[ \t]*q=0(?:\.0{0,3})?[ \t]*\Z", re.IGNORECASE)
_WAIT: Final = re.compile(
    rb"(?:^|[,;])[ \t]*wait[ \t]*=[ \t]*([0-9]{1,5})[ \t]*(?=[,;]|\Z)", re.IGNORECASE
)


def check_accept(headers: Iterable[Header]) -> None:
    """Refuse a caller who will not take JSON.

    A range that is narrower decides over a wider one: ``*/*, application/json;q=0`` refuses.

    Raises:
        ProblemError: ``not_acceptable``.
    """
    found = [value for name, value in headers if name == b"accept"]
    if not found:
        return
    accepted: dict[bytes, bool] = {}
    for item in b",".join(found).split(b","):
        media_range, *parameters = item.split(b";")
        name = media_range.strip().lower()
        if name in _RANGES:
            accepted[name] = not any(map(_REFUSED.match, parameters))
    for name in (b"application/json", b"application/*", b"*/*"):
        if name in accepted:
            if accepted[name]:
                return
            break
    else:
        if not b"".join(found).strip():
            return  # an empty list states no preference
    raise ProblemError("not_acceptable")


def preferred_wait(headers: Iterable[Header]) -> int:
    """Return the seconds of `Prefer: wait`, `MAX_WAIT` at most; 0 where none is preferred.

    A preference that cannot be read is not one (RFC 7240, 2), so it is not refused.
    """
    found = [value for name, value in headers if name == b"prefer"]
    match = _WAIT.search(b",".join(found)) if found else None
    return 0 if match is None else min(int(match[1]), MAX_WAIT)
