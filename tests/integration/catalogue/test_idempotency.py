from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

from greenlang_secrets import PLATFORM, Principal, Tenant, TenantId
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.catalogue.idempotency import Begun, InProgress, Mismatch, Replay

ACME = Tenant(TenantId("acme"))
BOB = Principal(subject="bob", tenant=TenantId("acme"))
LONG_AGO = "2020-01-01 00:00:00.000000"


async def begun(catalogue: Catalogue, key: str = "k", principal: Principal = BOB) -> Begun:
    begun = await catalogue.idempotency.begin(ACME, principal, key, b"f")
    assert isinstance(begun, Begun)
    return begun


async def finished(catalogue: Catalogue, key: str = "k") -> None:
    assert await catalogue.idempotency.finish(
        await begun(catalogue, key), status=201, headers=[(b"etag", b'"1"')], body=b'{"version":1}'
    )


async def test_an_answer_is_given_again(catalogue: Catalogue) -> None:
    """The same request gets the same status, headers and body."""
    await finished(catalogue)

    again = await catalogue.idempotency.begin(ACME, BOB, "k", b"f")

    assert again == Replay(status=201, headers=((b"etag", b'"1"'),), body=b'{"version":1}')


async def test_another_request_under_the_same_key_is_told(catalogue: Catalogue) -> None:
    """A key stands for one request, running or done."""
    await begun(catalogue, "running")
    await finished(catalogue, "done")

    found = [await catalogue.idempotency.begin(ACME, BOB, key, b"g") for key in ("running", "done")]

    assert found == [Mismatch(), Mismatch()]


async def test_of_fifty_at_once_one_begins(catalogue: Catalogue) -> None:
    """However many send the same request at once, one is to do it."""
    found = await asyncio.gather(
        *(catalogue.idempotency.begin(ACME, BOB, "k", b"f") for _ in range(50))
    )

    assert Counter(type(each) for each in found) == {Begun: 1, InProgress: 49}


async def test_keys_belong_to_a_principal_in_a_scope(catalogue: Catalogue) -> None:
    """The same key of another principal, of the platform's of the same name, or in another
    scope, is another key.
    """
    others = [
        (ACME, Principal(subject="eve", tenant=TenantId("acme"))),
        (ACME, Principal(subject="bob")),
        (PLATFORM, Principal(subject="bob")),
    ]
    await finished(catalogue)

    found = [
        await catalogue.idempotency.begin(scope, principal, "k", b"f")
        for scope, principal in others
    ]

    assert [type(each) for each in found] == [Begun, Begun, Begun]


async def test_what_was_abandoned_may_begin_at_once(catalogue: Catalogue) -> None:
    """A request that did nothing leaves nothing."""
    await catalogue.idempotency.abandon(await begun(catalogue))

    again = await begun(catalogue)

    assert not again.taken_over


async def test_who_died_over_a_request_loses_it(place, catalogue: Catalogue) -> None:
    """After the lease the same request is begun anew, knowing of the first; and the first, if it
    only slept, cannot end it any more.
    """
    first = await begun(catalogue)
    await place.rows(f"UPDATE idempotency_keys SET lease_until = '{LONG_AGO}'")

    assert await catalogue.idempotency.begin(ACME, BOB, "k", b"g") == Mismatch()
    second = await begun(catalogue)

    assert second.taken_over
    assert not await catalogue.idempotency.finish(first, status=500, headers=[], body=b"")
    await catalogue.idempotency.abandon(first)
    assert await catalogue.idempotency.finish(second, status=201, headers=[], body=b"")


async def test_a_lease_lasts_as_configured(place, supervisor: Supervisor) -> None:
    """The control: with the lease of 15 s nothing is taken over, with a tiny one it is."""
    async with Catalogue.open(place.config, supervisor) as patient:
        await begun(patient)
        assert await patient.idempotency.begin(ACME, BOB, "k", b"f") == InProgress()
    hasty_config = replace(place.config, lease=0.000001)
    async with Catalogue.open(hasty_config, supervisor) as hasty:
        await begun(hasty, "other")
        assert (await begun(hasty, "other")).taken_over


async def test_an_answer_is_kept_for_a_day(place, catalogue: Catalogue) -> None:
    """An answer whose day is over is not given any more, and another request may have the key."""
    await finished(catalogue)
    await place.rows(f"UPDATE idempotency_keys SET expires_at = '{LONG_AGO}'")

    again = await catalogue.idempotency.begin(ACME, BOB, "k", b"g")

    assert isinstance(again, Begun)
    assert not again.taken_over


async def test_purging_removes_what_is_over_and_nothing_else(place, catalogue: Catalogue) -> None:
    """Old answers of every tenant go; the others stay."""
    for key in ("old", "new"):
        await finished(catalogue, key)
    await catalogue.idempotency.begin(PLATFORM, Principal(subject="p"), "old", b"f")
    await place.rows(f"UPDATE idempotency_keys SET expires_at = '{LONG_AGO}' WHERE key = 'old'")

    removed = await catalogue.idempotency.purge()

    assert removed == 2
    assert await place.rows("SELECT key FROM idempotency_keys") == [("new",)]


async def test_many_batches_are_purged(place, catalogue: Catalogue) -> None:
    """More than fit into one transaction go in several."""
    await finished(catalogue)
    columns = (
        "tenant_id, principal_tenant, principal, fingerprint, state, owner, takeovers, "
        "lease_until, created_at"
    )
    numbers = (
        "SELECT CAST(n AS text) AS n FROM generate_series(1, 1500) AS n"
        if place.is_postgresql
        else "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1500) "
        "SELECT n FROM s"
    )
    await place.rows(
        f"INSERT INTO idempotency_keys ({columns}, key, expires_at) "
        f"SELECT {columns}, s.n, '{LONG_AGO}' FROM idempotency_keys, ({numbers}) AS s"
    )

    assert await catalogue.idempotency.purge() == 1500
