"""Metrics of the audit log, over the real one: failures, what waits, what was lost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from greenlang_secrets.audit import AuditEvent, AuditLog, AuditPhase, AuditResult
from greenlang_secrets.catalogue.shipping import ShippingStats
from greenlang_secrets.errors import AuditUnavailable
from greenlang_secrets_api.metrics import Metrics
from support.scrapes import value

EVENT = AuditEvent(action="read", phase=AuditPhase.OUTCOME, result=AuditResult.OK)


@dataclass
class Ships:
    """A copy that stands so; the real one is in the catalogue's tests."""

    stats: ShippingStats


async def scrape(metrics: Metrics) -> str:
    return (await metrics.render(""))[0].decode()


async def test_failures_are_told_by_where_to(tmp_path: Path) -> None:
    """A record that the log could not take, and tries of its copy that failed."""
    metrics = Metrics()
    async with AuditLog.open(tmp_path / "audit.jsonl") as log:
        metrics.audit.follow(log, Ships(ShippingStats(failures=3)))
        with pytest.raises(AuditUnavailable):
            await log.write(EVENT)  # it has no key yet

        text = await scrape(metrics)
    await metrics.close()

    assert value(text, "gl_secrets_audit_write_failures_total", sink="log") == 1
    assert value(text, "gl_secrets_audit_write_failures_total", sink="catalogue") == 3
    assert value(text, "gl_secrets_audit_queue_depth") == 0
    assert value(text, "gl_secrets_audit_dropped_total") == 0


async def test_what_was_lost_is_told(tmp_path: Path) -> None:
    """What went on without its record, and what no file of the log has any more."""
    metrics = Metrics()
    async with AuditLog.open(tmp_path / "audit.jsonl") as log:
        metrics.audit.follow(log, Ships(ShippingStats(missing=2, damaged=1)))
        metrics.audit.lost()

        text = await scrape(metrics)
    await metrics.close()

    assert value(text, "gl_secrets_audit_dropped_total") == 4
