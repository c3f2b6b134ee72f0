"""Who uses which version, as the catalogue keeps it, in both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from greenlang_secrets import PLATFORM
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.rotation_model import ConsumerKind
from support.catalogues import Place
from support.rotation_rows import ACME, GLOBEX, report


async def test_who_uses_an_older_version_is_behind(catalogue: Catalogue) -> None:
    """Live consumers of an older version are named, and those of the version itself are not."""
    store = catalogue.rotations
    old = report(consumer="rest:b", kind=ConsumerKind.REST, principal="bob", lives_for=900.0)
    await store.report([old, report(consumer="pool:a"), report(consumer="watch:c", version=2)])

    behind = await store.behind(PLATFORM, "a", version=2)

    assert [(each.consumer, each.version) for each in behind] == [("pool:a", 1), ("rest:b", 1)]
    assert (behind[1].kind, behind[1].principal) == (ConsumerKind.REST, "bob")
    assert (behind[1].instance, behind[1].lives_for) == ("here", 900.0)
    assert behind[1].seen_at is not None
    assert abs(datetime.now(UTC) - behind[1].seen_at) < timedelta(minutes=1)


async def test_who_has_moved_is_behind_no_more(catalogue: Catalogue) -> None:
    """The last word of a consumer counts, in one report and in the next."""
    store = catalogue.rotations
    await store.report([report(version=2), report(version=1)])
    assert len(await store.behind(PLATFORM, "a", version=2)) == 1

    await store.report([report(version=2)])

    assert await store.behind(PLATFORM, "a", version=2) == []


async def test_who_does_not_report_again_is_gone(catalogue: Catalogue, place: Place) -> None:
    """By the database's clock: one whose time is over does not count, and is purged."""
    store = catalogue.rotations
    await store.report([report(), report(consumer="pool:x")])
    await place.rows(
        "UPDATE rotation_consumers SET expires_at = '2020-01-01 00:00:00' "
        "WHERE consumer = 'watch:here'"
    )

    assert [each.consumer for each in await store.behind(PLATFORM, "a", version=2)] == ["pool:x"]
    assert await store.purge() in {0, 1}  # the catalogue's own may have come first
    assert await place.rows("SELECT consumer FROM rotation_consumers") == [("pool:x",)]


async def test_who_leaves_says_so(catalogue: Catalogue) -> None:
    """One that has no time to live has left."""
    store = catalogue.rotations
    await store.report([report()])

    await store.report([report(lives_for=0.0)])

    assert await store.behind(PLATFORM, "a", version=2) == []


async def test_consumers_of_several_scopes_are_told_at_once(catalogue: Catalogue) -> None:
    """One call takes those of many scopes, each into its own."""
    store = catalogue.rotations
    await store.report([report(scope=scope) for scope in (GLOBEX, PLATFORM, ACME)])

    for scope in (ACME, GLOBEX, PLATFORM):
        assert [each.scope for each in await store.behind(scope, "a", version=2)] == [scope]


async def test_many_consumers_are_told_in_parts(catalogue: Catalogue) -> None:
    """More than fit into one transaction are all there, and an odd or a long name is no obstacle."""
    store = catalogue.rotations
    many = [report(consumer=f"rest:{number}") for number in range(1200)]

    await store.report([*many, report(consumer="\0" + "x" * 600, principal="\0")])

    behind = await store.behind(PLATFORM, "a", version=2)
    assert len(behind) == 1201
    assert behind[0].consumer == "\\u0000" + "x" * 506
    assert behind[0].principal == "\\u0000"


async def test_nothing_to_report_is_nothing(catalogue: Catalogue) -> None:
    """Without consumers nothing is asked of the database."""
    await catalogue.rotations.report([])

    assert await catalogue.rotations.behind(PLATFORM, "a", version=2) == []
