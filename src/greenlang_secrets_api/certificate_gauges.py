"""When certificates that are rotated end, by the PKI role that issues them: never by a path.

A point in time and not the time left, so that an alert goes on while the service is away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from opentelemetry.metrics import Observation

from greenlang_secrets.rotation.requirements import duration
from greenlang_secrets.rotation_model import RotatedCertificate

__all__ = ["MOST", "expiries", "lifetimes"]

MOST: Final = 20
"""Roles that are told by name; those after them, by the alphabet, are one, ``other``."""


def expiries(certificates: Sequence[RotatedCertificate]) -> Iterable[Observation]:
    """Return when the first certificate of each role ends, in seconds since 1970."""
    return [
        Observation(first.not_after.timestamp(), {"certificate": name})
        for name, first in _first_of(certificates).items()
    ]


def lifetimes(certificates: Sequence[RotatedCertificate]) -> Iterable[Observation]:
    """Return for how many seconds that certificate was issued, as its policy asks."""
    found = []
    for name, first in _first_of(certificates).items():
        try:
            found.append(Observation(duration(first.ttl), {"certificate": name}))
        except ValueError:  # a policy of another version of ours
            continue
    return found


def _first_of(certificates: Sequence[RotatedCertificate]) -> dict[str, RotatedCertificate]:
    told = sorted({each.role for each in certificates})[:MOST]
    found: dict[str, RotatedCertificate] = {}
    for each in sorted(certificates, key=lambda certificate: certificate.not_after):
        found.setdefault(each.role if each.role in told else "other", each)
    return found
