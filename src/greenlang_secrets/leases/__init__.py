"""Leases: what Vault hands out for a time, kept valid for as long as it is held."""

from __future__ import annotations

from greenlang_secrets.leases import certificate, database
from greenlang_secrets.leases.keeper import HeldLease, LeaseKeeper
from greenlang_secrets.leases.leased import Leased
from greenlang_secrets.lifetime import Step, Term, next_step

__all__ = [
    "HeldLease",
    "LeaseKeeper",
    "Leased",
    "Step",
    "Term",
    "certificate",
    "database",
    "next_step",
]
