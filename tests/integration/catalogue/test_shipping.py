from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from greenlang_secrets import Tenant, TenantId
from greenlang_secrets.audit import AuditLog
from greenlang_secrets.audit.head import read_head
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from support.audit_records import audit_log, event, lines

ACME = Tenant(TenantId("acme"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "log" / "audit.jsonl"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[AuditLog]:
    """The service's log."""
    async with audit_log(path) as log:
        yield log


async def copied(catalogue: Catalogue) -> list[str]:
    """Return the paths of what was copied, oldest first."""
    items = (await catalogue.audit.events(ACME, limit=1000)).items
    return [item.event.path or "" for item in reversed(items)]


async def arrive(catalogue: Catalogue, most: int) -> list[str]:
    """Wait until so many events were copied, and return them."""
    while len(found := await copied(catalogue)) < most:
        await asyncio.sleep(0.02)
    return found


def names(*numbers: int) -> list[str]:
    return [f"secret-{number}" for number in numbers]


async def test_what_is_written_is_copied(catalogue: Catalogue, log: AuditLog, path: Path) -> None:
    """Records before and after the shipping's start arrive, in order, and the lag goes to 0."""
    await log.write(event(1), event(2))
    shipping = catalogue.ship(path)

    await arrive(catalogue, 2)
    await log.write(event(3))

    assert await arrive(catalogue, 3) == names(1, 2, 3)
    while shipping.stats.lag_records != 0:
        await asyncio.sleep(0.02)
    assert shipping.stats.shipped == 3
    assert shipping.stats.lag_seconds == 0
    assert (await catalogue.health()).shipping == shipping.stats


async def test_shipping_goes_on_where_it_was(
    place, log: AuditLog, path: Path, supervisor: Supervisor
) -> None:
    """A process that comes after reads on from the catalogue's own note, and sends nothing twice."""
    await log.write(event(1), event(2))
    async with Catalogue.open(place.config, supervisor) as first:
        first.ship(path)
        await arrive(first, 2)
    await log.write(event(3))

    async with Catalogue.open(place.config, supervisor) as second:
        shipping = second.ship(path)

        assert await arrive(second, 3) == names(1, 2, 3)
        assert (shipping.stats.shipped, shipping.stats.again) == (1, 0)


async def test_rotation_loses_nothing(catalogue: Catalogue, log: AuditLog, path: Path) -> None:
    """Records written between the renaming and the reopening are in the old file, and arrive
    before those of the new one.
    """
    catalogue.ship(path)
    await log.write(event(1))
    await arrive(catalogue, 1)

    path.rename(path.with_name("audit.jsonl.1"))
    await log.write(event(2))
    log.reopen()
    await log.write(event(3))

    assert await arrive(catalogue, 3) == names(1, 2, 3)


async def test_rotated_files_are_found_after_a_restart(
    place, log: AuditLog, path: Path, supervisor: Supervisor
) -> None:
    """Three rotations while nothing was shipped, one of them compressed: all records arrive."""
    await log.write(event(1), event(2))
    async with Catalogue.open(place.config, supervisor) as first:
        first.ship(path)
        await arrive(first, 2)
    await log.write(event(3))
    for number in (4, 5, 6):
        for old in (3, 2, 1):
            rotated = path.with_name(f"audit.jsonl.{old}")
            if rotated.exists():
                rotated.rename(path.with_name(f"audit.jsonl.{old + 1}"))
        path.rename(path.with_name("audit.jsonl.1"))
        log.reopen()
        await log.write(event(number))
    oldest = path.with_name("audit.jsonl.3")
    oldest.with_name("audit.jsonl.3.gz").write_bytes(gzip.compress(oldest.read_bytes()))
    oldest.unlink()

    async with Catalogue.open(place.config, supervisor) as second:
        shipping = second.ship(path)

        assert await arrive(second, 6) == names(1, 2, 3, 4, 5, 6)
        assert shipping.stats.missing == 0


async def test_records_that_no_file_has_are_counted(
    place, log: AuditLog, path: Path, supervisor: Supervisor
) -> None:
    """A rotated file that was removed unread is told, and does not hold up the rest."""
    await log.write(event(1))
    async with Catalogue.open(place.config, supervisor) as first:
        first.ship(path)
        await arrive(first, 1)
    await log.write(event(2), event(3))
    path.unlink()
    log.reopen()
    await log.write(event(4))

    async with Catalogue.open(place.config, supervisor) as second:
        shipping = second.ship(path)

        assert await arrive(second, 2) == names(1, 4)
        assert shipping.stats.missing == 2


async def test_a_damaged_line_is_passed_over_and_counted(catalogue: Catalogue, path: Path) -> None:
    """What is no record holds up nothing; `audit verify` is who names it."""
    async with audit_log(path) as log:
        await log.write(event(1))
    with path.open("ab") as file:
        file.write(b"no record\n")
    async with audit_log(path) as log:
        await log.write(event(2))
        shipping = catalogue.ship(path)

        found = await arrive(catalogue, 2)

    assert found == names(1, 2)
    assert shipping.stats.damaged == 1


async def test_only_what_is_durable_is_copied(catalogue: Catalogue, path: Path) -> None:
    """A line that the sidecar does not vouch for may yet be cut off and its number given to
    another record, so it waits.
    """
    async with audit_log(path) as log:
        await log.write(event(1))
    head = (await asyncio.to_thread(read_head, path))[0]
    assert head is not None
    [ahead], _ = lines(event(2), after=head.position)
    whole = path.read_bytes()
    path.write_bytes(whole + ahead)
    catalogue.ship(path)
    await arrive(catalogue, 1)

    path.write_bytes(whole)
    async with audit_log(path) as log:
        await log.write(event(3))

        assert await arrive(catalogue, 2) == names(1, 3)


async def test_a_log_that_is_not_there_yet_is_waited_for(catalogue: Catalogue, path: Path) -> None:
    """Shipping begins when there is a log."""
    shipping = catalogue.ship(path)
    while shipping.stats.failing != "no_log":
        await asyncio.sleep(0.02)

    async with audit_log(path) as log:
        await log.write(event(1))

        assert await arrive(catalogue, 1) == names(1)
    assert shipping.stats.failing is None
