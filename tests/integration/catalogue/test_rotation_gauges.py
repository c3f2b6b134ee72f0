"""What gauges are told of rotations under way, in both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from greenlang_secrets import PLATFORM, SecretType
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.rotation_model import (
    OpenRotation,
    RotatedCertificate,
    RotationKind,
    RotationPolicy,
    RotationState,
)
from support.rotation_rows import ACME, GLOBEX, put, report

SOON = datetime(2030, 1, 1, tzinfo=UTC)
OVERLAP = {"state": RotationState.OVERLAP, "phase": RotationState.OVERLAP, "version": 2}


async def test_rotations_under_way_are_told_of_all_scopes(catalogue: Catalogue) -> None:
    """With the phase a side state interrupted; those that are over, or never began, are not."""
    store = catalogue.rotations
    await put(store, ACME, "a", fence=1, wake_at=SOON, **OVERLAP)
    failed = {"state": RotationState.FAILED, "phase": RotationState.APPLIED, "attempts": 3}
    await put(store, GLOBEX, "b", fence=1, wake_at=SOON, **failed)
    await put(store, PLATFORM, "c", fence=1, state=RotationState.CONFLICT)
    await put(store, PLATFORM, "d")

    found = await store.open()

    database = {"secret_type": SecretType.DATABASE, "wake_at": SOON, "behind": 0}
    assert sorted(found, key=lambda row: row.attempts) == [
        OpenRotation(
            state=RotationState.OVERLAP, phase=RotationState.OVERLAP, attempts=0, **database
        ),
        OpenRotation(
            state=RotationState.FAILED, phase=RotationState.APPLIED, attempts=3, **database
        ),
    ]


async def test_consumers_behind_are_counted_in_their_own_scope(catalogue: Catalogue) -> None:
    """Live ones of an older version, of this secret and tenant alone."""
    store = catalogue.rotations
    await put(store, ACME, "a", fence=1, **OVERLAP)
    await store.report(
        [
            report(scope=ACME, consumer="pool:a"),
            report(scope=ACME, consumer="pool:b"),
            report(scope=ACME, consumer="pool:new", version=2),
            report(scope=ACME, consumer="pool:gone", lives_for=0.0),
            report(scope=ACME, path="other"),
            report(scope=GLOBEX),
        ]
    )

    [found] = await store.open()

    assert found.behind == 2


async def test_certificates_are_told_by_their_role(catalogue: Catalogue) -> None:
    """Those that were rotated at least once; other kinds have no role."""
    store = catalogue.rotations
    policy = RotationPolicy(
        kind=RotationKind.CERTIFICATE,
        interval=86_400.0,
        settings={"role": "web", "common_name": "a.example", "ttl": "72h"},
    )
    ends = datetime.now(UTC) + timedelta(days=3)
    for path, not_after in (("tls/a", ends), ("tls/never", None)):
        await put(store, PLATFORM, path, policy, fence=1, not_after=not_after)
    await put(store, PLATFORM, "c", fence=1)

    found = await store.certificates()

    assert found == [RotatedCertificate(role="web", ttl="72h", not_after=ends)]
