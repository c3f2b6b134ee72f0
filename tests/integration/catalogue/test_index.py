from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from greenlang_secrets import PLATFORM, SecretMetadata, SecretType, SecretVersion, Tenant, TenantId
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.catalogue.index_rows import Seen

ACME, GLOBEX = (Tenant(TenantId(name)) for name in ("acme", "globex"))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def write(
    catalogue: Catalogue, path: str, version: int, *, at: datetime = NOON, state="live", scope=ACME
) -> None:
    await catalogue.index.wrote(
        scope, path, version=version, type=SecretType.API_KEY, state=state, at=at
    )


async def paths(catalogue: Catalogue, scope=ACME, **options) -> list[str]:
    page = await catalogue.index.page(scope, **options)
    return [item.path for item in page.items]


async def only(catalogue: Catalogue, scope=ACME):
    [item] = (await catalogue.index.page(scope)).items
    return item


def seen(path: str, version: int, at: datetime = NOON) -> Seen:
    return Seen(
        path=path,
        metadata=SecretMetadata(
            path=path,
            type=SecretType.DATABASE,
            current_version=version,
            oldest_version=0,
            max_versions=10,
            cas_required=False,
            created_at=NOON,
            updated_at=at,
            custom_metadata={},
            versions=(SecretVersion(version=version, state="live", created_at=at),),
        ),
    )


async def test_a_write_is_found_again(catalogue: Catalogue) -> None:
    """What was noted of a write comes back to the microsecond, in UTC."""
    at = datetime(2026, 11, 20, 13, 0, 0, 123456, tzinfo=UTC)

    await write(catalogue, "api-keys/stripe", 3, at=at)

    item = await only(catalogue)
    assert (item.path, item.version, item.type, item.state) == (
        "api-keys/stripe",
        3,
        SecretType.API_KEY,
        "live",
    )
    assert item.updated_at == at
    assert item.created_at == at
    assert item.indexed_at.tzinfo is UTC


async def test_scopes_do_not_see_each_other(catalogue: Catalogue) -> None:
    """The same path is another secret in each scope."""
    await write(catalogue, "a", 1)
    await write(catalogue, "a", 2, scope=GLOBEX)
    await write(catalogue, "a", 3, scope=PLATFORM)

    found = [(await only(catalogue, scope)).version for scope in (ACME, GLOBEX, PLATFORM)]

    assert found == [1, 2, 3]
    assert [await catalogue.index.count(scope) for scope in (ACME, GLOBEX, PLATFORM)] == [1, 1, 1]


async def test_pages_follow_each_other_in_the_order_of_octets(catalogue: Catalogue) -> None:
    """Pages hold each path once, sorted by its octets, whatever the database's own language."""
    names = ["B", "a", "a-b", "a.b", "a/b", "a/b/c", "a_b", "ab", "b"]
    for name in names:
        await write(catalogue, name, 1)

    found, after = [], None
    while True:
        page = await catalogue.index.page(ACME, limit=2, after=after)
        found += [item.path for item in page.items]
        after = page.next
        if after is None:
            break

    assert found == sorted(names)


async def test_a_prefix_holds_what_is_below_it(catalogue: Catalogue) -> None:
    """A prefix is a folder: a neighbour with the same beginning is not in it."""
    for name in ("a/b", "a/z/~".replace("~", "y"), "ab/c", "a"):
        await write(catalogue, name, 1)

    assert await paths(catalogue, prefix="a/") == ["a/b", "a/z/y"]
    assert await catalogue.index.count(ACME, prefix="a/") == 2


@pytest.mark.parametrize("limit", [0, 1001])
async def test_a_page_has_bounds(catalogue: Catalogue, limit: int) -> None:
    """A page of no rows, or of very many, is refused."""
    with pytest.raises(ValueError, match="1 to 1000"):
        await catalogue.index.page(ACME, limit=limit)


async def test_a_late_word_of_an_older_version_changes_nothing(catalogue: Catalogue) -> None:
    """Of two versions the newer one stays, in whichever order they are told."""
    await write(catalogue, "a", 8, at=NOON + timedelta(seconds=1))

    await write(catalogue, "a", 7, at=NOON)

    assert (await only(catalogue)).version == 8


async def test_of_one_version_the_later_word_counts(catalogue: Catalogue) -> None:
    """A deletion counts though a replica's clock is 3 s behind Vault's; one told a minute late
    does not undo what came after it.
    """
    await write(catalogue, "a", 7, at=NOON)

    await write(catalogue, "a", 7, at=NOON - timedelta(seconds=3), state="deleted")
    assert (await only(catalogue)).state == "deleted"
    await write(catalogue, "a", 7, at=NOON - timedelta(minutes=1), state="live")

    assert (await only(catalogue)).state == "deleted"


async def test_a_secret_made_anew_begins_at_version_one(catalogue: Catalogue) -> None:
    """After its metadata are gone a secret's numbers begin again, and the index follows."""
    await write(catalogue, "a", 7, at=NOON)

    await write(catalogue, "a", 1, at=NOON + timedelta(minutes=1))

    assert (await only(catalogue)).version == 1


async def test_an_unknown_type_leaves_what_is_there(catalogue: Catalogue) -> None:
    """A write that does not tell the type keeps it; a first one is generic."""
    await write(catalogue, "a", 1)

    for path in ("a", "b"):
        await catalogue.index.wrote(
            ACME, path, version=2, type=None, state="live", at=NOON + timedelta(seconds=1)
        )

    page = await catalogue.index.page(ACME)
    assert [item.type for item in page.items] == [SecretType.API_KEY, SecretType.GENERIC]


async def test_what_is_forgotten_is_not_brought_back_by_a_late_word(catalogue: Catalogue) -> None:
    """A secret that is gone is not shown or counted, and an older word does not revive it."""
    await write(catalogue, "a", 7, at=NOON)

    await catalogue.index.forget(ACME, "a", at=NOON + timedelta(seconds=10))
    await write(catalogue, "a", 7, at=NOON)

    assert await paths(catalogue) == []
    assert await catalogue.index.count(ACME) == 0


async def test_a_secret_lives_again_after_it_was_forgotten(catalogue: Catalogue) -> None:
    """The control: a later word does bring it back."""
    await write(catalogue, "a", 7, at=NOON)
    await catalogue.index.forget(ACME, "a", at=NOON + timedelta(seconds=10))

    await write(catalogue, "a", 1, at=NOON + timedelta(seconds=20))

    assert (await only(catalogue)).version == 1


async def test_a_late_forgetting_leaves_what_came_after(catalogue: Catalogue) -> None:
    """A secret that was made anew meanwhile stays."""
    await write(catalogue, "a", 1, at=NOON + timedelta(minutes=1))

    await catalogue.index.forget(ACME, "a", at=NOON)

    assert await paths(catalogue) == ["a"]


async def test_a_scan_replaces_what_is_older(catalogue: Catalogue) -> None:
    """What a scan finds is taken over, what it does not find goes, other scopes stay."""
    await write(catalogue, "wrong", 9)
    await write(catalogue, "gone", 1)
    await write(catalogue, "gone", 1, scope=GLOBEX)
    begun_at = await catalogue.index.clock()

    await catalogue.index.scanned(
        ACME, [seen("wrong", 2), seen("new", 1)], read_after=await catalogue.index.clock()
    )
    removed = await catalogue.index.sweep(ACME, begun_at=begun_at)

    page = await catalogue.index.page(ACME)
    assert [(item.path, item.version) for item in page.items] == [("new", 1), ("wrong", 2)]
    assert removed == 1
    assert await paths(catalogue, GLOBEX) == ["gone"]


async def test_a_scan_loses_no_write_that_happens_meanwhile(catalogue: Catalogue) -> None:
    """A write or a purge after the scan has read, and before it tells, is newer and stays; so
    does a secret made where the scan has been already.
    """
    for path in ("written", "purged"):
        await write(catalogue, path, 1)
    begun_at = await catalogue.index.clock()
    found = [seen("written", 1), seen("purged", 1)]

    await write(catalogue, "written", 2, at=NOON + timedelta(minutes=1))
    await catalogue.index.forget(ACME, "purged", at=NOON + timedelta(minutes=1))
    await write(catalogue, "made", 1)
    await catalogue.index.scanned(ACME, found, read_after=begun_at)
    await catalogue.index.sweep(ACME, begun_at=begun_at)

    page = await catalogue.index.page(ACME)
    assert [(item.path, item.version) for item in page.items] == [("made", 1), ("written", 2)]


async def test_a_scan_of_nothing_says_nothing(catalogue: Catalogue) -> None:
    """An empty part of a scan changes no row."""
    await write(catalogue, "a", 1)

    await catalogue.index.scanned(ACME, [], read_after=await catalogue.index.clock())

    assert await paths(catalogue) == ["a"]


async def test_what_is_gone_is_remembered_for_a_day(catalogue: Catalogue, place) -> None:
    """The trace of a purged secret goes with the first purge a day later."""
    await catalogue.index.forget(ACME, "old", at=NOON)
    assert len(await place.rows("SELECT path FROM secrets")) == 1
    await place.rows("UPDATE secrets SET indexed_at = '2026-01-01 00:00:00.000000'")

    await catalogue.index.forget(ACME, "new", at=NOON)

    assert await place.rows("SELECT path FROM secrets") == [("new",)]


async def test_a_gap_stays_until_its_scope_was_scanned(catalogue: Catalogue) -> None:
    """A scope that lacks writes is named until a scan that began later has ended."""
    early = await catalogue.index.clock()
    await catalogue.index.mark_gap(ACME)
    await catalogue.index.mark_gap(ACME)
    await catalogue.index.mark_gap(PLATFORM)
    assert await catalogue.index.gaps() == (PLATFORM, ACME)

    await catalogue.index.sweep(ACME, begun_at=early)
    assert await catalogue.index.gaps() == (PLATFORM, ACME)
    await catalogue.index.sweep(ACME, begun_at=await catalogue.index.clock())

    assert await catalogue.index.gaps() == (PLATFORM,)
