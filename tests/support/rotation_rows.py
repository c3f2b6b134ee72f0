"""Policies, standings, runs and reports for tests: each with what it must have, and no more."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from greenlang_secrets import PLATFORM, SecretType, Tenant, TenantId
from greenlang_secrets.catalogue.rotations import RotationStore
from greenlang_secrets.paths import Scope
from greenlang_secrets.rotation_model import (
    ConsumerKind,
    ConsumerReport,
    RotationKind,
    RotationPolicy,
    RotationRow,
    RotationRunRow,
    RotationStanding,
    RotationTrigger,
)

ACME, GLOBEX = (Tenant(TenantId(name)) for name in ("acme", "globex"))
DAILY = RotationPolicy(kind=RotationKind.MANUAL, interval=86_400.0)
_RUN = RotationRunRow(
    rotation_id="a" * 32,
    scope=PLATFORM,
    path="a",
    kind=RotationKind.MANUAL,
    secret_type=SecretType.DATABASE,
    trigger=RotationTrigger.MANUAL,
    principal="bob",
    reason=None,
    started_at=datetime(2026, 11, 20, 12, tzinfo=UTC),
)
_REPORT = ConsumerReport(
    scope=PLATFORM,
    path="a",
    consumer="watch:here",
    kind=ConsumerKind.WATCH,
    principal="service",
    instance="here",
    version=1,
    lives_for=30.0,
)


def digest_of(scope: Scope, path: str) -> str:
    """Return something that tells a secret's place from others."""
    return hashlib.sha256(f"{scope.key}/{path}".encode()).hexdigest()


def ago(seconds: float) -> datetime:
    """Return a moment that is over."""
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def put(
    store: RotationStore,
    scope: Scope,
    path: str,
    policy: RotationPolicy = DAILY,
    **standing: Any,
) -> RotationRow:
    """Set a policy that stands so; without anything, a standing that is there stays."""
    return await store.put(
        scope,
        path,
        policy,
        digest=digest_of(scope, path),
        secret_type=SecretType.DATABASE,
        by="bob",
        standing=RotationStanding(**standing) if standing else None,
    )


async def note(store: RotationStore, scope: Scope, path: str, **standing: Any) -> None:
    """Mirror a standing."""
    await store.note(scope, path, digest_of(scope, path), RotationStanding(**standing))


def run(**values: Any) -> RotationRunRow:
    """Return one rotation."""
    return replace(_RUN, **values)


def report(**values: Any) -> ConsumerReport:
    """Return what a consumer says."""
    return replace(_REPORT, **values)
