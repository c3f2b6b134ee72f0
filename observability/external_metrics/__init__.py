"""Names of metrics that others export, one a line: what queries may ask for beside our own.

``openbao.txt`` is written by ``python -m observability.external_metrics.openbao`` from a real
server, ``external_secrets.txt`` follows what External Secrets Operator documents, and
``prometheus.txt`` has what Prometheus makes itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["FOLDER", "names"]

FOLDER: Final = Path(__file__).resolve().parent


def names(exporter: str) -> Sequence[str]:
    """Return the names that an exporter's file has: openbao, external_secrets or prometheus."""
    lines = (FOLDER / f"{exporter}.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
