from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from greenlang_secrets import PLATFORM, Tenant, TenantId
from greenlang_secrets.audit import AuditPhase, AuditResult
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.catalogue.audit_copy import Reached
from greenlang_secrets.config import Environment
from support.audit_records import NOON, event, records

ACME, GLOBEX = (Tenant(TenantId(name)) for name in ("acme", "globex"))


async def test_a_record_comes_back_whole(catalogue: Catalogue) -> None:
    """Every member of an event is kept, to the microsecond."""
    full = event(
        phase=AuditPhase.INTENT,
        result=AuditResult.PENDING,
        at=datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC),
        principal_tenant="acme",
        version=7,
        status=200,
        code="secret_not_found",
        seconds=0.25,
        cache="hit",
        request_id="r-1",
        trace_id="f" * 32,
        source_address="192.0.2.1",
        reason="why not",
    )
    [record] = records(full)

    assert await catalogue.audit.insert([record]) == 1

    [item] = (await catalogue.audit.events(ACME)).items
    assert item.event == full
    assert (item.chain, item.seq) == (record.chain, 1)


async def test_a_record_that_comes_again_is_not_doubled(catalogue: Catalogue) -> None:
    """A batch may come twice, in part or whole; what is new is counted."""
    first, second, third = records(event(1), event(2), event(3))

    counts = [
        await catalogue.audit.insert(batch)
        for batch in ([first, second], [second, third], [first, second, third])
    ]

    assert counts == [2, 1, 0]
    assert len((await catalogue.audit.events(ACME)).items) == 3


async def test_two_events_of_one_number_are_both_kept(catalogue: Catalogue) -> None:
    """A log that was cut and went on gives numbers twice, and both events are evidence; pages
    give each once although they are of one moment.
    """
    [first] = records(event(1))
    twins = [replace(first, event=event(number, at=NOON)) for number in (2, 3, 4)]

    assert await catalogue.audit.insert([first, *twins]) == 4
    assert await catalogue.audit.insert(twins) == 0

    found, after = [], None
    while len(found) < 4:
        page = await catalogue.audit.events(ACME, limit=1, after=after)
        found += [(item.seq, item.event.path) for item in page.items]
        after = page.next
    assert after is None
    assert sorted(found) == [(1, f"secret-{number}") for number in (1, 2, 3, 4)]


async def test_a_batch_of_several_tenants_is_kept_apart(catalogue: Catalogue) -> None:
    """Each tenant sees its own events and no other's; the platform its own, and those of nobody."""
    batch = records(
        event(1, tenant="globex"),
        event(2),
        event(3, tenant=None),
        event(4, tenant="globex"),
        event(5, tenant="NOT A TENANT"),
    )

    assert await catalogue.audit.insert(batch) == 5

    seen = {
        str(scope): [item.event.path for item in (await catalogue.audit.events(scope)).items]
        for scope in (ACME, GLOBEX, PLATFORM)
    }
    assert seen == {
        "tenant acme": ["secret-2"],
        "tenant globex": ["secret-4", "secret-1"],
        "platform": ["secret-5", "secret-3"],
    }


async def test_pages_of_events_follow_each_other(catalogue: Catalogue) -> None:
    """Events come newest first and once each, also those of one moment."""
    same = [event(number, at=NOON) for number in range(1, 8)]
    await catalogue.audit.insert(records(*same, event(8)))

    found, after = [], None
    while True:
        page = await catalogue.audit.events(ACME, limit=3, after=after)
        found += [item.event.path for item in page.items]
        after = page.next
        if after is None:
            break

    assert found == [f"secret-{number}" for number in (8, 7, 6, 5, 4, 3, 2, 1)]


@pytest.mark.parametrize("limit", [0, 1001])
async def test_a_page_of_events_has_bounds(catalogue: Catalogue, limit: int) -> None:
    """A page of no events, or of very many, is refused."""
    with pytest.raises(ValueError, match="1 to 1000"):
        await catalogue.audit.events(ACME, limit=limit)


async def test_what_a_database_has_no_room_for_is_kept_in_another_spelling(
    catalogue: Catalogue,
) -> None:
    """A NUL, a lone surrogate or an endless code does not hold up the records after it."""
    odd = event(1, path="a\0b\ud800", code="c" * 200)

    assert await catalogue.audit.insert(records(odd, event(2))) == 2

    found = (await catalogue.audit.events(ACME)).items[1].event
    assert (found.path, found.code) == ("a\\u0000b\\ud800", "c" * 64)


async def test_a_large_batch_is_one_transaction(catalogue: Catalogue) -> None:
    """A batch of 500 records is kept whole."""
    batch = records(*(event(number) for number in range(1, 501)))

    assert await catalogue.audit.insert(batch) == 500


async def test_how_far_a_log_was_shipped_is_kept_with_its_records(catalogue: Catalogue) -> None:
    """The newest note of each chain comes back as it was given."""
    first, second = records(event(1), event(2))
    places = [
        Reached(position=record.position, file="audit.jsonl", device=1, inode=2, offset=offset)
        for record, offset in ((first, 100), (second, 200))
    ]

    for record, place in zip((first, second), places, strict=True):
        await catalogue.audit.insert([record], reached=place)

    assert await catalogue.audit.reached() == {first.chain: places[1]}


@pytest.mark.parametrize(
    ("environment", "days"),
    [
        (Environment.DEVELOPMENT, 7),
        (Environment.STAGING, 30),
        (Environment.PRODUCTION, 365),
    ],
)
async def test_records_are_kept_as_long_as_the_environment_says(
    place, supervisor: Supervisor, environment: Environment, days: int
) -> None:
    """A purge takes what is older than the environment's retention, of every tenant, and leaves
    what is an hour younger.
    """
    config = replace(place.config, environment=environment, password=place.config.password)
    now = datetime.now(UTC)
    over = now - timedelta(days=days)
    batch = records(
        event(1, at=over - timedelta(hours=1)),
        event(2, tenant="globex", at=over - timedelta(hours=1)),
        event(3, at=over + timedelta(hours=1)),
    )
    async with Catalogue.open(config, supervisor) as catalogue:
        await catalogue.audit.insert(batch)

        await catalogue.audit.purge()

        [left] = (await catalogue.audit.events(ACME)).items
        assert left.event.path == "secret-3"
        assert (await catalogue.audit.events(GLOBEX)).items == ()


async def test_what_is_over_goes_by_itself(place, supervisor: Supervisor) -> None:
    """A catalogue purges when it opens, and every hour from then on."""
    async with Catalogue.open(place.config, supervisor) as catalogue:
        await catalogue.audit.insert(records(event(1, at=datetime(2020, 1, 1, tzinfo=UTC))))

    async with Catalogue.open(place.config, supervisor) as catalogue:
        while (await catalogue.audit.events(ACME)).items:
            pass
