from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from greenlang_secrets import PLATFORM, SecretType, Tenant, TenantId
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.catalogue.updates import IndexUpdates

ACME = Tenant(TenantId("acme"))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def wrote(updates: IndexUpdates, path: str, version: int, *, type_=None, scope=ACME) -> None:
    updates.wrote(scope, path, version=version, type=type_, state="live", at=NOON)


@asynccontextmanager
async def away(catalogue: Catalogue) -> AsyncIterator[None]:
    """The database is away, as far as the catalogue can tell, until the end."""
    gate = catalogue._database.gate
    keep, gate.close = gate.close, lambda obstacle: None
    gate.obstacle = "unreachable"
    try:
        yield
    finally:
        gate.obstacle, gate.close = None, keep


async def test_a_change_is_in_the_index_soon(catalogue: Catalogue) -> None:
    """What is told is written behind the caller's back, for every scope."""
    wrote(catalogue.updates, "a", 1, type_=SecretType.API_KEY)
    wrote(catalogue.updates, "a", 2, scope=PLATFORM)
    await catalogue.updates.written()

    assert [item.version for item in (await catalogue.index.page(ACME)).items] == [1]
    assert [item.version for item in (await catalogue.index.page(PLATFORM)).items] == [2]

    catalogue.updates.forget(ACME, "a", at=datetime.now(UTC))
    await catalogue.updates.written()

    assert await catalogue.index.count(ACME) == 0


async def test_changes_wait_while_the_database_is_away(catalogue: Catalogue) -> None:
    """A change told meanwhile raises nothing; of each secret the newest word is written when the
    database is back, with the type that an earlier one told.
    """
    async with away(catalogue):
        wrote(catalogue.updates, "a", 1, type_=SecretType.DATABASE)
        wrote(catalogue.updates, "a", 2)
        wrote(catalogue.updates, "b", 1)
        assert catalogue.updates.waiting == 2
        assert (await catalogue.health()).waiting == 2

    await catalogue.updates.written()

    page = await catalogue.index.page(ACME)
    assert [(item.path, item.version, item.type) for item in page.items] == [
        ("a", 2, SecretType.DATABASE),
        ("b", 1, SecretType.GENERIC),
    ]


async def test_what_there_is_no_room_for_wants_a_rebuild(catalogue: Catalogue) -> None:
    """Beyond the bound a change is dropped, and its scope is marked until it is rebuilt; another
    word for a secret that waits takes no room.
    """
    updates = IndexUpdates(catalogue.index, most=2)
    for path in ("a", "b", "c", "a"):
        wrote(updates, path, 1)
    wrote(updates, "d", 1, scope=PLATFORM)
    assert (updates.waiting, updates.dropped) == (2, 2)

    await updates.close()

    assert await catalogue.index.gaps() == (PLATFORM, ACME)
    assert [item.path for item in (await catalogue.index.page(ACME)).items] == ["a", "b"]
    assert (await catalogue.health()).gaps == ("platform", "tenant acme")


async def test_the_end_says_what_was_not_written(catalogue: Catalogue, caplog) -> None:
    """At the end with the database away, the log says that the index lacks changes."""
    updates = IndexUpdates(catalogue.index)
    async with away(catalogue):
        wrote(updates, "a", 1)

        await updates.close()

    assert [record.message for record in caplog.records] == ["catalogue.index_incomplete"]


async def test_a_change_during_the_writing_is_not_lost(catalogue: Catalogue) -> None:
    """Words that come while earlier ones are being written are written after them."""
    for version in range(1, 40):
        wrote(catalogue.updates, f"a{version % 3}", version)
        await asyncio.sleep(0)
    await catalogue.updates.written()

    page = await catalogue.index.page(ACME)
    assert [item.version for item in page.items] == [39, 37, 38]


async def test_the_end_waits_for_what_is_on_its_way(place, supervisor: Supervisor) -> None:
    """Changes told just before the end are in the index."""
    async with Catalogue.open(place.config, supervisor) as catalogue:
        for number in range(150):
            wrote(catalogue.updates, f"a{number:03}", 1)

    async with Catalogue.open(place.config, supervisor) as catalogue:
        assert await catalogue.index.count(ACME) == 150
