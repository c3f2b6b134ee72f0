"""Policies of rotation, how each stands, and when somebody must look, in both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from greenlang_secrets import PLATFORM, SecretType
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.catalogue.rotations import RotationStore, page_mark
from greenlang_secrets.rotation_model import (
    ClockRow,
    RotationKind,
    RotationPolicy,
    RotationStanding,
    RotationState,
    RotationTrigger,
)
from support.catalogues import Place
from support.rotation_rows import ACME, DAILY, GLOBEX, ago, digest_of, note, put

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)

FULL = RotationStanding(
    state=RotationState.FAILED,
    phase=RotationState.APPLIED,
    rotation_id="b" * 32,
    fence=3,
    trigger=RotationTrigger.FORCED,
    started_at=NOON,
    base_version=7,
    version=8,
    promoted_at=LATER,
    old_valid_until=LATER,
    attempts=2,
    error_code="rotation_failed",
    error_at=NOON,
    last_success=NOON,
    next_due=LATER,
    wake_at=LATER,
    progress={"rewrapped": 500},
    not_after=LATER,
)


@pytest.fixture
def store(catalogue: Catalogue) -> RotationStore:
    return catalogue.rotations


async def test_a_policy_is_kept_with_its_standing(store: RotationStore) -> None:
    """Everything a policy and a standing say comes back as it was, by path and by digest."""
    policy = RotationPolicy(
        kind=RotationKind.POSTGRESQL,
        interval=3600.5,
        enabled=False,
        overlap=900.0,
        consumers_wait=60.0,
        settings={"users": "app_a,app_b", "admin": "database/admin"},
    )

    put_ = await store.put(
        ACME,
        "db/main",
        policy,
        digest=digest_of(ACME, "db/main"),
        secret_type=SecretType.DATABASE,
        by="bob",
        standing=FULL,
    )

    assert (put_.scope, put_.path, put_.secret_type) == (ACME, "db/main", SecretType.DATABASE)
    assert (put_.policy, put_.standing, put_.updated_by) == (policy, FULL, "bob")
    assert put_.created_at <= put_.updated_at
    assert await store.find(ACME, "db/main") == put_
    assert await store.by_digest(ACME, digest_of(ACME, "db/main")) == put_


async def test_numbers_are_the_same_before_and_after(store: RotationStore) -> None:
    """What a change returns has seconds with a fraction, as what is read later has."""
    row = await put(store, ACME, "a", replace(DAILY, overlap=900.0))

    assert [type(each) for each in (row.policy.interval, row.policy.overlap)] == [float, float]


async def test_what_is_not_there_is_none(store: RotationStore) -> None:
    """A secret without a policy has no row, and is not removed."""
    assert await store.find(ACME, "a") is None
    assert await store.by_digest(ACME, "0" * 64) is None
    assert await store.remove(ACME, "a") is False


async def test_another_policy_leaves_the_standing(store: RotationStore) -> None:
    """A second `put` replaces the policy; the standing, the first time and the wake-up stay."""
    first = await put(store, ACME, "a", fence=2, wake_at=ago(5), next_due=NOON)

    second = await put(store, ACME, "a", replace(DAILY, interval=7200.0))

    assert (second.policy.interval, second.standing) == (7200.0, first.standing)
    assert second.created_at == first.created_at
    assert await store.due(most=9) == [(ACME, digest_of(ACME, "a"))]


async def test_a_policy_with_a_standing_moves_the_clock(store: RotationStore) -> None:
    """A `put` with a standing of the same fence replaces it, and when somebody looks."""
    await put(store, ACME, "a", fence=2, wake_at=LATER + timedelta(days=4000))

    row = await put(store, ACME, "a", fence=2, wake_at=ago(5), state=RotationState.OVERLAP)

    assert row.standing.state is RotationState.OVERLAP
    assert await store.due(most=9) == [(ACME, digest_of(ACME, "a"))]


async def test_a_policy_with_an_old_standing_leaves_what_is_there(store: RotationStore) -> None:
    """A `put` that read the record before somebody took it over changes the policy alone."""
    await put(store, ACME, "a", fence=3, wake_at=ago(5))

    row = await put(store, ACME, "a", replace(DAILY, interval=7200.0), fence=2)

    assert (row.policy.interval, row.standing.fence) == (7200.0, 3)
    assert await store.due(most=9) == [(ACME, digest_of(ACME, "a"))]


async def test_a_new_policy_without_a_standing_is_looked_at_by_nobody(store: RotationStore) -> None:
    """Without a time to wake at nothing is due, and what is idle is not overdue."""
    row = await put(store, ACME, "a")

    assert row.standing == RotationStanding()
    assert await store.due(most=9) == []


async def test_a_record_elsewhere_has_a_clock_of_its_own(
    store: RotationStore, place: Place
) -> None:
    """After the mount was changed the digest is another one; the clock of the old one is gone."""
    await put(store, ACME, "a", fence=1, wake_at=ago(5))

    await store.put(
        ACME,
        "a",
        DAILY,
        digest="e" * 64,
        secret_type=SecretType.DATABASE,
        by="bob",
        standing=RotationStanding(fence=1, wake_at=ago(5)),
    )
    await note(store, ACME, "a", fence=9)

    assert await store.due(most=9) == [(ACME, "e" * 64)]
    assert await place.rows("SELECT digest FROM rotation_clock") == [("e" * 64,)]
    row = await store.find(ACME, "a")
    assert row is not None
    assert row.standing.fence == 1


async def test_a_standing_is_mirrored_with_the_clock(store: RotationStore) -> None:
    """A `note` changes what is found, what gauges see and when somebody looks, together."""
    await put(store, ACME, "a", wake_at=ago(5))

    await store.note(ACME, "a", digest_of(ACME, "a"), FULL)

    row = await store.find(ACME, "a")
    assert row is not None
    assert row.standing == FULL
    assert await store.clock() == [
        ClockRow(
            secret_type=SecretType.DATABASE,
            state=RotationState.FAILED,
            next_due=LATER,
            last_success=NOON,
            not_after=LATER,
        )
    ]


async def test_a_dead_owners_mirror_is_not_taken(store: RotationStore) -> None:
    """A standing with a smaller fence changes neither the row nor the clock; one with the same
    fence changes both.
    """
    await put(store, ACME, "a", fence=5, state=RotationState.PROMOTED)

    await note(store, ACME, "a", fence=4, state=RotationState.PENDING, wake_at=ago(5))

    row = await store.find(ACME, "a")
    assert row is not None
    assert row.standing.state is RotationState.PROMOTED
    assert await store.due(most=9) == []

    await note(store, ACME, "a", fence=5, state=RotationState.OVERLAP, wake_at=ago(5))

    row = await store.find(ACME, "a")
    assert row is not None
    assert row.standing.state is RotationState.OVERLAP
    assert await store.due(most=9) == [(ACME, digest_of(ACME, "a"))]


async def test_a_mirror_brings_no_policy_back(store: RotationStore, place: Place) -> None:
    """After a policy was removed a late `note` leaves nothing, and nothing is looked at."""
    await put(store, ACME, "a", wake_at=ago(5))
    assert await store.remove(ACME, "a") is True

    await note(store, ACME, "a", fence=9, wake_at=ago(5))

    assert await store.find(ACME, "a") is None
    assert await store.due(most=9) == []
    assert await place.rows("SELECT * FROM rotation_clock") == []


async def test_who_waited_longest_is_looked_at_first(store: RotationStore) -> None:
    """What is due comes oldest first, of all scopes, and no more than asked for; what is due
    later, or never, does not come.
    """
    await put(store, ACME, "a", wake_at=ago(5))
    await put(store, GLOBEX, "a", wake_at=ago(50))
    await put(store, PLATFORM, "a", wake_at=ago(500))
    await put(store, PLATFORM, "later", wake_at=ago(-500))
    await put(store, PLATFORM, "never")

    assert await store.due(most=2) == [
        (PLATFORM, digest_of(PLATFORM, "a")),
        (GLOBEX, digest_of(GLOBEX, "a")),
    ]
    assert len(await store.due(most=9)) == 3


async def test_somebody_is_woken_later(store: RotationStore) -> None:
    """`wake` moves the time to look, and leaves what the record says."""
    await put(store, ACME, "a", wake_at=NOON, fence=2)

    await store.wake(digest_of(ACME, "a"), ago(-500))

    assert await store.due(most=9) == []
    row = await store.find(ACME, "a")
    assert row is not None
    assert row.standing.wake_at == NOON


async def test_a_mirror_does_not_put_off_a_wake_up(store: RotationStore) -> None:
    """Somebody is about to claim a record, and what the owner before had still to say comes after:
    should the claimer die, somebody looks all the same. Once the time has come it may be moved.
    """
    await put(store, ACME, "a", wake_at=None, fence=2)
    await store.wake(digest_of(ACME, "a"), ago(-0.3))

    for later in (ago(-500), None):
        await note(store, ACME, "a", fence=2, wake_at=later)
    while not await store.due(most=9):
        await asyncio.sleep(0.02)
    await note(store, ACME, "a", fence=2, wake_at=ago(-500))
    assert await store.due(most=9) == []
    await note(store, ACME, "a", fence=2, wake_at=ago(5))
    assert await store.due(most=9) == [(ACME, digest_of(ACME, "a"))]


async def test_the_search_for_what_is_due_reads_an_index(postgres_place: Place, supervisor) -> None:
    """PostgreSQL finds what is due in the index, without sorting, and does not walk the table."""
    async with Catalogue.open(postgres_place.config, supervisor) as catalogue:
        await put(catalogue.rotations, ACME, "a", wake_at=NOON)
    connection = await asyncpg.connect(postgres_place.admin_url)
    try:
        await connection.execute(
            "INSERT INTO rotation_clock (digest, tenant_id, wake_at, secret_type, state) "
            "SELECT md5(n::text), 'acme', now() + n * interval '1 minute', 'database', 'idle' "
            "FROM generate_series(1, 5000) AS n"
        )
        await connection.execute("ANALYZE rotation_clock")
        plan, walked = [
            "\n".join(
                row[0]
                for row in await connection.fetch(
                    "EXPLAIN SELECT tenant_id, digest FROM rotation_clock "
                    f"WHERE wake_at <= {clock}() ORDER BY wake_at LIMIT 4"
                )
            )
            for clock in ("statement_timestamp", "clock_timestamp")
        ]
    finally:
        await connection.close()

    assert "Index Cond: (wake_at <= statement_timestamp())" in plan
    assert "Sort" not in plan
    assert "Index Cond" not in walked  # the control: a clock that moves is no condition


async def test_pages_by_path(store: RotationStore) -> None:
    """Rows come by path, in pages that go on behind the last one."""
    for path in ("c", "a/b", "a", "b"):
        await put(store, ACME, path)
    await put(store, GLOBEX, "z")

    first = await store.page(ACME, order="path", after=None, limit=3)
    mark = page_mark(first[-1], "path")
    rest = await store.page(ACME, order="path", after=mark, limit=3)

    assert [row.path for row in (*first, *rest)] == ["a", "a/b", "b", "c"]


async def test_pages_by_when_they_are_due(store: RotationStore) -> None:
    """What is due first comes first, what is due together by path, what is never due last; a row
    that was rotated between two pages does not take the others with it.
    """
    due = {"d": NOON, "b": LATER, "a": LATER, "c": None, "e": None}
    for path, moment in due.items():
        await put(store, ACME, path, next_due=moment)

    first = await store.page(ACME, order="next_due", after=None, limit=2)
    await note(store, ACME, "a", next_due=LATER + timedelta(days=1))
    mark = page_mark(first[-1], "next_due")
    second = await store.page(ACME, order="next_due", after=mark, limit=3)
    mark = page_mark(second[-1], "next_due")
    third = await store.page(ACME, order="next_due", after=mark, limit=3)

    assert [row.path for row in first] == ["d", "a"]
    assert [row.path for row in second] == ["b", "a", "c"]
    assert [row.path for row in third] == ["e"]


async def test_pages_of_some_rows(store: RotationStore) -> None:
    """A page can be of one state, one rotation or one path; of two conditions both hold."""
    await put(store, ACME, "a", state=RotationState.FAILED, rotation_id="b" * 32)
    await put(store, ACME, "b", state=RotationState.OVERLAP)

    async def paths(**conditions) -> list[str]:
        rows = await store.page(ACME, order="path", after=None, limit=9, **conditions)
        return [row.path for row in rows]

    assert await paths(state=RotationState.FAILED) == ["a"]
    assert await paths(rotation_id="b" * 32) == ["a"]
    assert await paths(path="b") == ["b"]
    assert await paths(path="b", state=RotationState.FAILED) == []


async def test_the_summary_counts_states_and_what_is_overdue(store: RotationStore) -> None:
    """Overdue is what is enabled and due for more than a tenth of its interval, or 15 minutes."""
    minute = 60.0
    hourly = replace(DAILY, interval=60 * minute)
    await put(store, ACME, "overdue", hourly, next_due=ago(16 * minute))
    await put(store, ACME, "late", hourly, next_due=ago(14 * minute))
    await put(store, ACME, "a day's", DAILY, next_due=ago(140 * minute))
    await put(store, ACME, "off", replace(hourly, enabled=False), next_due=ago(9999))
    await put(store, ACME, "failed", state=RotationState.FAILED, next_due=ago(-9))
    await put(store, GLOBEX, "other", hourly, next_due=ago(9999))

    summary = await store.summary(ACME)

    assert summary.by_state == {RotationState.IDLE: 4, RotationState.FAILED: 1}
    assert summary.overdue == 1


async def test_what_is_rotated_is_told_by_digest_and_by_path(store: RotationStore) -> None:
    """All scopes' digests are told at once, and the paths of each scope in its own transaction."""
    await put(store, ACME, "a")
    await put(store, ACME, "b")
    await put(store, PLATFORM, "c")

    assert await store.rotated() == {
        ACME: {digest_of(ACME, "a"), digest_of(ACME, "b")},
        PLATFORM: {digest_of(PLATFORM, "c")},
    }
    assert await store.paths(ACME) == {"a", "b"}
    assert await store.paths(GLOBEX) == frozenset()


async def test_a_name_that_no_database_takes_is_spelled_out(store: RotationStore) -> None:
    """A NUL in who sets a policy does not keep it from being set."""
    row = await store.put(
        ACME, "a", DAILY, digest="d" * 64, secret_type=SecretType.API_KEY, by="b\0b"
    )

    assert row.updated_by == "b\\u0000b"
