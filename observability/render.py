"""Everything that is generated from what is written by hand here, and whether it is up to date.

``python -m observability.render`` writes every file of `OUTPUTS`; with ``--check`` it writes
nothing, names those that differ, and exits with 1. What is YAML is made by a YAML writer and
never by joining strings, so that no quote in a query can break it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from observability import alert_rules, routes
from observability.dashboards import dashboard
from observability.tools import ROOT

__all__ = ["OUTPUTS", "differing", "main", "write"]

OUTPUTS: Final[Mapping[str, Callable[[], str]]] = {
    "observability/dashboards/secrets.json": dashboard.text,
    "k8s/monitoring/grafana-dashboard.yaml": dashboard.config_map,
    "observability/prometheus/rules/alerts.rules.yaml": alert_rules.alerts_file,
    "observability/prometheus/rules/recording.rules.yaml": alert_rules.recording_file,
    "k8s/monitoring/prometheusrule.yaml": alert_rules.prometheus_rule,
    "k8s/monitoring/alertmanagerconfig.yaml": routes.alertmanager_config,
}
"""Each generated file, by its path in the repository, and what makes its text."""


def differing(
    outputs: Mapping[str, Callable[[], str]] = OUTPUTS, *, root: Path = ROOT
) -> Sequence[str]:
    """Return the files that are missing or not as they would be written now."""
    return [name for name, text in outputs.items() if _read(root / name) != text()]


def write(
    outputs: Mapping[str, Callable[[], str]] = OUTPUTS, *, root: Path = ROOT
) -> Sequence[str]:
    """Write the files that differ, and return which those were.

    One after the other: alerts link to the panels of the dashboard that was written before them.
    """
    changed = []
    for name, text in outputs.items():
        path = root / name
        made = text()
        if _read(path) != made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made, "utf-8")
            changed.append(name)
    return changed


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the generated files, or check them; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m observability.render", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a file differs")
    check = parser.parse_args(arguments).check
    names = differing() if check else write()
    for name in names:
        sys.stdout.write(f"{'differs' if check else 'written'}: {name}\n")
    if check and names:
        sys.stdout.write("Run python -m observability.render and commit what it writes.\n")
    return int(check and bool(names))


if __name__ == "__main__":
    sys.exit(main())
