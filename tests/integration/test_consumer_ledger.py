"""Two processes of ours follow a rotated secret: who lags is named, until it moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import greenlang_secrets as gs
from greenlang_secrets import PLATFORM
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.errors import CatalogueUnavailable
from greenlang_secrets.paths import Scope
from greenlang_secrets.rotation.consumers import ConsumerLedger
from greenlang_secrets.rotation_model import ConsumerKind
from support.catalogues import Place, in_postgres, of_file
from support.rotation_rows import ACME, put

GAP = 900.0


@dataclass(frozen=True)
class Replica:
    """One process of ours, as far as consumers are concerned: a service and its ledger."""

    service: gs.SecretsService
    catalogue: Catalogue
    supervisor: Supervisor
    ledger: ConsumerLedger

    async def behind(self, version: int, *, scope: Scope = PLATFORM) -> list[str]:
        """Return the instances of who is behind, as this process sees it."""
        rows = await self.ledger.behind(scope, "x", version=version)
        return [row.instance for row in rows]


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Any:
    """PostgreSQL, or None for SQLite: once each."""
    return request.getfixturevalue("postgres_server") if request.param == "postgresql" else None


@pytest.fixture
async def place(server: Any, tmp_path: Path) -> AsyncIterator[Place]:
    """A catalogue's database with the tables."""
    if server is None:
        place = of_file(tmp_path)
        await place.migrate()
        yield place
        return
    async with in_postgres(server) as place:
        await place.migrate()
        yield place


Open = Callable[[], Awaitable[Replica]]


@pytest.fixture
async def replica(config: gs.SecretsServiceConfig, place: Place) -> AsyncIterator[Open]:
    """Open one more replica: what it caches is fresh for a minute, so that it lags when it is told
    nothing.
    """
    async with AsyncExitStack() as stack:

        async def opened() -> Replica:
            supervisor = await stack.enter_async_context(Supervisor())
            catalogue = await stack.enter_async_context(Catalogue.open(place.config, supervisor))
            cache = replace(config.cache, fresh_for=60.0)
            service = await stack.enter_async_context(
                gs.SecretsService.open(replace(config, cache=cache))
            )
            ledger = ConsumerLedger(service.consumers, catalogue, gap=GAP, every=0.05)
            return Replica(service, catalogue, supervisor, ledger)

        yield opened


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_who_lags_is_named_until_it_moves(replica: Open) -> None:
    """Two replicas follow a secret; one does not hear of the new version, and is named in both
    until it has it. A replica that follows nothing is never named.
    """
    writer, lagging, idle = [await replica() for _ in range(3)]
    replicas = (writer, lagging, idle)
    await writer.service.create("x", {"k": "one"})
    await put(writer.catalogue.rotations, PLATFORM, "x")
    held = await lagging.service.hold("x")
    async with await writer.service.hold("x"):
        for each in replicas:
            await each.ledger.beat()
        assert sorted(await writer.behind(2)) == sorted(
            [writer.service.consumers.instance, lagging.service.consumers.instance]
        )

        await writer.service.put("x", {"k": "two"})
        for each in replicas:
            await each.ledger.beat()
        assert [await each.behind(2) for each in replicas] == [
            [lagging.service.consumers.instance]
        ] * 3

        lagging.service.followers.revalidate("", "x")

        async def moved() -> bool:
            return held.current.version == 2

        await until(moved)
        await lagging.ledger.beat()
        assert await writer.behind(2) == []
    await held.release()


async def test_a_callback_that_takes_its_time_is_behind(replica: Open) -> None:
    """A follower that has not taken the new value yet keeps its process behind, though the value
    is here.
    """
    one = await replica()
    await one.service.create("x", {"k": "one"})
    await put(one.catalogue.rotations, PLATFORM, "x")
    watch = one.service.watch("x")
    assert (await anext(watch)).version == 1

    await one.service.put("x", {"k": "two"})
    await one.ledger.beat()
    assert await one.behind(2) == [one.service.consumers.instance]

    assert (await anext(watch)).version == 2
    await one.ledger.beat()
    assert await one.behind(2) == []
    await watch.aclose()


async def test_the_loop_tells_by_itself(replica: Open) -> None:
    """A ledger that runs learns of a policy and of a pool, and the pool's end and the ledger's own
    are told at once; what somebody read stays until its time is over.
    """
    one, other = await replica(), await replica()
    task = one.supervisor.spawn(one.ledger.run(), name="ledger")
    await put(one.catalogue.rotations, ACME, "x")
    registered = one.service.consumers.add(
        ACME, "x", kind=ConsumerKind.POOL, name="main", principal="service", version=lambda: 1
    )
    one.service.consumers.add(
        ACME, "x", kind=ConsumerKind.POOL, name="second", principal="service", version=lambda: 1
    )

    async def kinds() -> list[str]:
        rows = await other.ledger.behind(ACME, "x", version=2)
        return [row.consumer.replace(row.instance, "*") for row in rows]

    async def both() -> bool:
        return await kinds() == ["pool:*:main", "pool:*:second"]

    await until(both)
    one.service.consumers.read(ACME, "x", principal="bob", version=1)

    async def three() -> bool:
        return "rest:*:bob" in await kinds()

    await until(three)
    registered.close()

    async def left() -> bool:
        return await kinds() == ["pool:*:second", "rest:*:bob"]

    await until(left)

    task.cancel()
    await asyncio.wait([task])
    await one.ledger.close()
    await one.ledger.close()

    assert await kinds() == ["rest:*:bob"]


async def test_a_reader_is_written_when_it_has_read(replica: Open, place: Place) -> None:
    """A reader's row is written once for each read, and not at every beat."""
    one = await replica()
    await put(one.catalogue.rotations, PLATFORM, "x")
    await one.ledger.beat()
    one.service.consumers.read(PLATFORM, "x", principal="bob", version=1)
    await one.ledger.beat()
    [first] = await place.rows("SELECT seen_at, version FROM rotation_consumers")

    await one.ledger.beat()
    assert await place.rows("SELECT seen_at, version FROM rotation_consumers") == [first]
    one.service.consumers.read(PLATFORM, "x", principal="bob", version=2)
    await one.ledger.beat()

    [second] = await place.rows("SELECT seen_at, version FROM rotation_consumers")
    assert second[0] > first[0]
    assert second[1] == 2


async def test_a_removed_policy_ends_the_counting(replica: Open) -> None:
    """The registry learns of each policy in its scope, and that it is gone."""
    one = await replica()
    await put(one.catalogue.rotations, ACME, "x")
    await put(one.catalogue.rotations, PLATFORM, "y")
    await one.ledger.beat()
    assert one.service.consumers.rotated == {("acme", "x"), ("", "y")}

    await one.catalogue.rotations.remove(ACME, "x")
    await one.ledger.beat()

    assert one.service.consumers.rotated == {("", "y")}


async def test_a_catalogue_that_is_away_is_told_later(replica: Open) -> None:
    """While it is away the loop goes on, what is rotated stays known, and closing raises nothing;
    when it is back, it is told.
    """
    one = await replica()
    await put(one.catalogue.rotations, PLATFORM, "x")
    one.service.consumers.add(
        PLATFORM, "x", kind=ConsumerKind.POOL, name="main", principal="service", version=lambda: 1
    )
    await one.ledger.beat()
    gate = one.catalogue._database.gate
    look, gate._look = gate._look, _unreachable
    gate.close("unreachable")
    with pytest.raises(CatalogueUnavailable):
        await one.ledger.beat()
    task = one.supervisor.spawn(one.ledger.run(), name="ledger")
    await one.ledger.close()
    assert one.service.consumers.rotated == {("", "x")}
    assert not task.done()

    gate._look = look

    async def told() -> bool:
        try:
            return await one.behind(2) == [one.service.consumers.instance]
        except CatalogueUnavailable:
            return False

    await until(told)
    task.cancel()
    await asyncio.wait([task])


async def _unreachable() -> str:
    return "unreachable"
