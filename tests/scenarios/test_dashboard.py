"""What panels, rules and runbooks ask for is there: real servers, a real Prometheus, real work.

A Kubernetes API is played, for there is none to be had; what the External Secrets Operator exports
itself is the one thing that is not there.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contracts.promql import selected
from contracts.rules import FOLDER, expressions
from greenlang_secrets.check import Options, check
from observability.dashboards.reading import document, panels, put_in
from observability.external_metrics import names as external
from observability.preview.__main__ import missing, preview
from observability.preview.asking import Span
from observability.preview.cluster import played_cluster
from observability.preview.stack import development_stack, scraping
from observability.servers import Prometheus
from observability.workload import SECONDS, work

MANIFESTS = Path(__file__).resolve().parents[2] / "k8s" / "monitoring"

_METRIC = re.compile(r"\b(?:gl|vault)_[a-z0-9_:]+\b")


@asynccontextmanager
async def worked_on() -> AsyncIterator[tuple[Prometheus, float]]:
    """A Prometheus over servers that were worked on for 90 s, and when that began."""
    async with (
        played_cluster() as cluster,
        development_stack({**os.environ, **cluster}) as stack,
        scraping(stack) as prometheus,
    ):
        began = time.time()
        await work(stack, seconds=SECONDS)
        yield prometheus, began


def of_runbooks() -> set[str]:
    """The metrics that runbooks name."""
    return {
        name
        for page in FOLDER.glob("runbooks/*.md")
        for name in _METRIC.findall(page.read_text("utf-8"))
    }


def of_queries() -> set[str]:
    """The metrics that panels and rules ask for."""
    queries = [expression for _, expression in expressions()]
    queries += [
        put_in(target.expression, rate_interval="1m")
        for panel in panels(document())
        for target in panel.targets
    ]
    return {each.name for query in queries for each in selected(query)}


@pytest.mark.timeout(600)
async def test_everything_that_is_asked_for_is_there(tmp_path: Path) -> None:
    """Each panel's queries have data, but the operator's own; each metric of a panel, a rule or a
    runbook is in Prometheus, or in the lists of what OpenBao and the operator export, for some
    come with their first event.
    """
    async with worked_on() as (prometheus, began):
        span = Span(start=began, end=time.time(), rate_interval="10s")
        answers = await preview(prometheus.url, tmp_path / "preview.png", span)
        there = await prometheus.names()

    assert [(panel.title, letter) for panel, letter in missing(answers)] == []
    silent = {(each.panel.title, letter) for each in answers for letter in each.silent}
    assert silent == {("Operator's own view", "A"), ("Operator's own view", "B")}
    known = there | set(external("external_secrets")) | set(external("openbao"))
    assert of_queries() - known == set()
    checked = await check(Options(paths=[MANIFESTS], metrics=frozenset(known)))
    assert checked.findings == ()
    assert checked.files > 1
    assert {name for name in of_runbooks() if not _is_part_of(name, known)} == set()
    # The control: what is not there would be seen.
    assert selected("gl_secrets_operations")[0].name not in there


def _is_part_of(name: str, known: frozenset[str]) -> bool:
    """Whether a name is one of these, or of their families: a page may leave out ``_bucket``."""
    return name in known or any(each.startswith(f"{name}_") for each in known)
