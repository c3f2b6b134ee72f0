"""Queries that may rightly have no data, and why: the same list stands in the reference page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["EXCEPTIONS"]

_NO_CLUSTER: Final = "No Kubernetes, and so no watch, without `GREENLANG_SECRETS_ESO_WATCH`."
_NO_OPERATOR: Final = "External Secrets Operator is not scraped, or has no objects yet."

EXCEPTIONS: Final[Mapping[tuple[int, str], str]] = {
    (701, "A"): _NO_CLUSTER,
    (701, "B"): _NO_CLUSTER,
    (702, "A"): _NO_CLUSTER,
    (703, "A"): _NO_CLUSTER,
    (704, "A"): _NO_CLUSTER,
    (704, "B"): _NO_CLUSTER,
    (705, "A"): _NO_OPERATOR,
    (705, "B"): _NO_OPERATOR,
}
"""By the panel's id and the query's letter."""
