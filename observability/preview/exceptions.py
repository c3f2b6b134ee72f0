"""Queries that may rightly have no data, and why: the same list stands in the reference page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["EXCEPTIONS", "WITHOUT_WATCH"]

_NO_WATCH: Final = "The service watches no cluster (`GREENLANG_SECRETS_ESO_WATCH`)."
_NO_OPERATOR: Final = "External Secrets Operator is not scraped, or has no objects yet."

EXCEPTIONS: Final[Mapping[tuple[int, str], str]] = {
    (705, "A"): _NO_OPERATOR,
    (705, "B"): _NO_OPERATOR,
}
"""What no stack of ours can have, by the panel's id and the query's letter."""

WITHOUT_WATCH: Final[Mapping[tuple[int, str], str]] = {
    (701, "A"): _NO_WATCH,
    (701, "B"): _NO_WATCH,
    (702, "A"): _NO_WATCH,
    (703, "A"): _NO_WATCH,
    (704, "A"): _NO_WATCH,
    (704, "B"): _NO_WATCH,
}
"""What a service may do without; the preview's own has a played cluster to watch."""
