"""The record of a rotation, in a real OpenBao."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

import greenlang_secrets as gs
from greenlang_secrets.errors import RotationLost, SecretDeleted, SecretIncomplete
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath, Tenant, TenantId
from greenlang_secrets.rotation.record import Next, Record, Records
from greenlang_secrets.rotation_model import (
    RotationKind,
    RotationPolicy,
    RotationStanding,
    RotationState,
    RotationTrigger,
)

AT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
FULL = Record(
    scope=Tenant(TenantId("acme")),
    path=SecretPath.parse("a/b"),
    policy=RotationPolicy(
        kind=RotationKind.REDIS, interval=60.5, enabled=False, overlap=7.0, settings={"user": "u"}
    ),
    secret_type=SecretType.CACHE,
    standing=RotationStanding(
        state=RotationState.FAILED,
        phase=RotationState.APPLIED,
        rotation_id="0" * 32,
        fence=3,
        trigger=RotationTrigger.MANUAL,
        started_at=AT,
        base_version=4,
        version=5,
        promoted_at=AT,
        old_valid_until=AT,
        attempts=2,
        error_code="target_denied",
        error_at=AT,
        last_success=AT,
        next_due=AT,
        wake_at=AT,
        progress={"done": 1},
        not_after=AT,
    ),
    open=True,
    owner="me",
    lease_until=AT,
    principal="p",
    reason="r",
    last_promoted_at=AT,
    retire_now=True,
    following=Next(id="1" * 32, principal=None, reason="it leaked"),
    notes={"user": "app_a"},
    candidate=gs.SecretMap({"password": "hidden"}),
)


async def test_a_record_is_read_as_it_was_written(client, mount):
    """Everything whoever takes over needs is there, and two versions are kept."""
    records = Records(client, mount)
    assert await records.read(FULL.scope, FULL.path) is None

    written = await records.claim(FULL)
    await records.keep_two(FULL)

    assert written == replace(FULL, revision=1)
    assert await records.read(FULL.scope, FULL.path) == written
    place = KvPath.of_rotation(mount, KvPath.of(mount, FULL.scope, FULL.path))
    assert (await client.kv(PLATFORM).read_metadata(place)).max_versions == 2
    assert "hidden" not in repr(written)
    bare = Record(
        scope=PLATFORM,
        path=FULL.path,
        policy=FULL.policy,
        secret_type=SecretType.CACHE,
    )
    await records.claim(bare)
    assert await records.read(PLATFORM, FULL.path) == replace(bare, revision=1)


async def test_only_one_of_two_claims_stands(client, mount):
    """The second names a revision that is not the current one any more."""
    records = Records(client, mount)
    await records.claim(FULL)
    with pytest.raises(RotationLost):
        await records.claim(replace(FULL, owner="another"))
    with pytest.raises(RotationLost):
        await records.save(replace(FULL, owner="another"), within=1.0)


@pytest.mark.parametrize(
    "change",
    [
        {"fence": "three"},
        {"policy": "[]"},
        {"policy": "{}"},
        {"scope": "UPPER"},
        {"lease_until": "2026-01-01T00:00:00"},
        {"state": None},
    ],
)
async def test_an_entry_that_is_no_record_is_refused(client, mount, change):
    """It is named by its field, and nothing that it holds is shown."""
    records, kv = Records(client, mount), client.kv(PLATFORM)
    place = KvPath.of_rotation(mount, KvPath.of(mount, FULL.scope, FULL.path))
    await records.claim(FULL)
    await kv.patch(place, change)
    with pytest.raises(SecretIncomplete) as refused:
        await records.read(FULL.scope, FULL.path)
    assert "three" not in str(refused.value)


async def test_a_deleted_record_is_not_begun_anew(client, mount):
    """Its fence would go back, and the targets would refuse us."""
    records = Records(client, mount)
    await records.claim(FULL)
    place = KvPath.of_rotation(mount, KvPath.of(mount, FULL.scope, FULL.path))
    await client.kv(PLATFORM).delete(place, [1])
    with pytest.raises(SecretDeleted):
        await records.read(FULL.scope, FULL.path)
