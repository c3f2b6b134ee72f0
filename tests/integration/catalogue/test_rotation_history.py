"""The history of rotations, in both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from greenlang_secrets import PLATFORM
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.rotation_model import RotationOutcome
from support.catalogues import Place
from support.rotation_rows import ACME, GLOBEX, run

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def test_a_rotation_is_remembered_from_begin_to_end(catalogue: Catalogue) -> None:
    """It is there while it goes on, without an outcome, and with one afterwards."""
    store = catalogue.rotations
    begun = run(scope=ACME, reason="leaked", base_version=7)
    await store.begin_run(begun)
    assert await store.history(ACME, "a", limit=9) == [begun]

    await store.end_run(ACME, "a" * 32, outcome=RotationOutcome.SUCCESS, version=8, error_code=None)

    [ended] = await store.history(ACME, "a", limit=9)
    assert (ended.outcome, ended.version, ended.error_code) == (RotationOutcome.SUCCESS, 8, None)
    assert ended.ended_at is not None
    assert abs(datetime.now(UTC) - ended.ended_at) < timedelta(minutes=1)
    assert ended.reason == "leaked"


async def test_said_twice_is_noted_once(catalogue: Catalogue) -> None:
    """A second begin or end of one rotation changes nothing: whoever took it over says it again."""
    store = catalogue.rotations
    await store.begin_run(run(principal="bob"))
    await store.begin_run(run(principal="eve"))
    for outcome in (RotationOutcome.FAILURE, RotationOutcome.SUCCESS):
        await store.end_run(
            PLATFORM, "a" * 32, outcome=outcome, version=None, error_code="rotation_failed"
        )

    [row] = await store.history(PLATFORM, "a", limit=9)

    assert (row.principal, row.outcome) == ("bob", RotationOutcome.FAILURE)


async def test_an_end_without_a_begin_is_nothing(catalogue: Catalogue) -> None:
    """There is no row of a rotation that was never begun."""
    await catalogue.rotations.end_run(
        PLATFORM, "a" * 32, outcome=RotationOutcome.SUCCESS, version=1, error_code=None
    )

    assert await catalogue.rotations.history(PLATFORM, "a", limit=9) == []


async def test_the_newest_come_first(catalogue: Catalogue) -> None:
    """The last rotations of one secret come newest first, and no more than asked for."""
    store = catalogue.rotations
    for number in range(4):
        await store.begin_run(
            run(rotation_id=f"{number:032}", started_at=NOON + timedelta(hours=number))
        )
    await store.begin_run(run(rotation_id="b" * 32, path="b"))
    await store.begin_run(run(scope=GLOBEX))

    rows = await store.history(PLATFORM, "a", limit=3)

    assert [row.rotation_id[-1] for row in rows] == ["3", "2", "1"]


async def test_the_history_is_kept_for_a_year(catalogue: Catalogue, place: Place) -> None:
    """What is over is purged, of all scopes, and nothing else; a run that is spelled strangely
    is kept like the others.
    """
    store = catalogue.rotations
    await store.begin_run(run(scope=ACME, reason="\0\ud800", principal=None))
    await store.begin_run(run(scope=GLOBEX))
    assert await store.purge() == 0
    [(expires_at,)] = await place.rows(
        "SELECT expires_at FROM rotation_history WHERE tenant_id = 'acme'"
    )
    at = datetime.fromisoformat(str(expires_at))
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    assert timedelta(days=364) < at - datetime.now(UTC) < timedelta(days=366)
    await place.rows(
        "UPDATE rotation_history SET expires_at = '2020-01-01 00:00:00' WHERE tenant_id = 'globex'"
    )

    assert await store.purge() in {0, 1}  # the catalogue's own may have come first

    assert await store.history(GLOBEX, "a", limit=9) == []
    [kept] = await store.history(ACME, "a", limit=9)
    assert (kept.reason, kept.principal) == ("\\u0000\\ud800", None)
