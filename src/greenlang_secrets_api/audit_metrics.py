"""How auditing does, as metrics: what could not be written, what waits, and what was lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from greenlang_secrets.audit import AuditLog
from greenlang_secrets.catalogue.shipping import ShippingStats

__all__ = ["AuditMetrics"]


class _Ships(Protocol):
    """`AuditShipping`, or what a test has for it."""

    @property
    def stats(self) -> ShippingStats:
        """How far it is."""


class AuditMetrics:
    """Reads the numbers of an audit log and of its copy, once it is told of them.

    They are read at the scrape, on another thread; each is one word.
    """

    def __init__(self, provider: MeterProvider) -> None:
        self._log: AuditLog | None = None
        self._shipping: _Ships | None = None
        self._lost = 0
        meter = provider.get_meter("greenlang_secrets")
        meter.create_observable_counter(
            "gl_secrets_audit_write_failures",
            callbacks=[self._failures],
            unit="{failure}",
            description="Writes of audit records that failed, by where to.",
        )
        meter.create_observable_gauge(
            "gl_secrets_audit_queue_depth",
            callbacks=[self._waiting],
            unit="{record}",
            description="Audit records that wait for the disk.",
        )
        meter.create_observable_counter(
            "gl_secrets_audit_dropped",
            callbacks=[self._dropped],
            unit="{record}",
            description="Audit records that were lost; anything but 0 is to be looked into.",
        )

    def follow(self, log: AuditLog, shipping: _Ships) -> None:
        """Read these from here on."""
        self._log, self._shipping = log, shipping

    def lost(self) -> None:
        """Count a record of what went on without it: a bearer was refused, or a rotation's step was
        done, while the log could not be written.
        """
        self._lost += 1

    def _failures(self, _: CallbackOptions) -> Iterable[Observation]:
        of_log = 0 if self._log is None else self._log.failures
        of_copy = 0 if self._shipping is None else self._shipping.stats.failures
        return [
            Observation(of_log, {"sink": "log"}),
            Observation(of_copy, {"sink": "catalogue"}),
        ]

    def _waiting(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(0 if self._log is None else self._log.waiting)]

    def _dropped(self, _: CallbackOptions) -> Iterable[Observation]:
        lost = self._lost
        if self._shipping is not None:
            stats = self._shipping.stats
            lost += stats.missing + stats.damaged
        return [Observation(lost)]
