from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from greenlang_secrets import Tenant, TenantId
from greenlang_secrets.audit import AuditLog
from greenlang_secrets.audit.head import read_head
from greenlang_secrets.audit.records import parse
from greenlang_secrets.audit.verify import verify
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.errors import CatalogueUnavailable
from support.audit_records import KEY, audit_log, event, lines

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


def cut(path: Path, left: int, *, sidecar: bool = False) -> None:
    """Leave so many lines of a log, and its sidecar if that is said."""
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:left]))
    if not sidecar:
        path.with_name("audit.jsonl.head").unlink()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the errors that were logged of the shipping."""
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    return [record.message for record in errors if record.message != "audit.notice"]


async def shipped(place, supervisor: Supervisor, path: Path, *numbers: int) -> None:
    """Write events and ship them all, as a service does that ends then."""
    async with (
        audit_log(path) as log,
        Catalogue.open(place.config, supervisor) as catalogue,
    ):
        before = len(await copied(catalogue))
        catalogue.ship(path)
        await log.write(*(event(number) for number in numbers))
        await arrive(catalogue, before + len(numbers))


async def test_a_log_that_was_cut_and_went_on_is_told_and_copied_whole(
    place, supervisor: Supervisor, path: Path, caplog
) -> None:
    """Cut to 5 of 10 lines, its sidecar removed, and started again: the log says that a sidecar
    is missing, the fork is told once, and the copy holds the old 10 and the new 4 under numbers
    that are there twice.
    """
    await shipped(place, supervisor, path, *range(1, 11))
    cut(path, 5)

    async with (
        audit_log(path) as log,
        Catalogue.open(place.config, supervisor) as catalogue,
    ):
        await log.write(*(event(number) for number in range(11, 15)))
        shipping = catalogue.ship(path)
        found = await arrive(catalogue, 14)
        while shipping.stats.lag_records != 0:
            await asyncio.sleep(0.02)

    assert found == names(*range(1, 15))
    assert (shipping.stats.forked, shipping.stats.shipped, shipping.stats.again) == (1, 5, 5)
    assert shipping.stats.missing == 0
    assert told(caplog) == ["audit.forked"]
    seqs = await place.rows("SELECT seq FROM audit_events ORDER BY seq")
    assert [seq for (seq,) in seqs] == [1, 2, 3, 4, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10]
    report = await asyncio.to_thread(verify, [path], {1: KEY})
    assert (report.good, report.records) == (True, 10)
    assert report.notices == (f"{path}:6 says of the log: head_missing.",)


async def test_a_fork_is_told_once_and_not_by_the_next_process(
    place, supervisor: Supervisor, path: Path, caplog
) -> None:
    """The copy goes on in the new branch: who starts after finds its place there."""
    await shipped(place, supervisor, path, 1, 2, 3)
    cut(path, 1)
    await shipped(place, supervisor, path, 4, 5)

    async with Catalogue.open(place.config, supervisor) as catalogue, audit_log(path) as log:
        shipping = catalogue.ship(path)
        await log.write(event(6))
        found = await arrive(catalogue, 6)

    assert found == names(1, 2, 3, 4, 5, 6)
    assert told(caplog) == ["audit.forked"]
    assert (shipping.stats.forked, shipping.stats.shipped, shipping.stats.again) == (0, 1, 0)


async def test_a_log_that_ends_before_what_was_shipped_is_told(
    place, supervisor: Supervisor, path: Path, caplog
) -> None:
    """A log and sidecar of an older state are a fork before anything new is written, and what
    comes then is copied under numbers that are there already.
    """
    await shipped(place, supervisor, path, 1, 2)
    older = {file: file.read_bytes() for file in (path, path.with_name("audit.jsonl.head"))}
    await shipped(place, supervisor, path, 3, 4)
    for file, octets in older.items():
        file.write_bytes(octets)

    async with Catalogue.open(place.config, supervisor) as catalogue, audit_log(path) as log:
        shipping = catalogue.ship(path)
        while not shipping.stats.forked:
            await asyncio.sleep(0.02)
        await log.write(event(5))
        found = await arrive(catalogue, 5)

    assert found == names(1, 2, 3, 4, 5)
    assert told(caplog) == ["audit.forked"]
    assert (await asyncio.to_thread(verify, [path], {1: KEY})).notices == ()


@pytest.mark.parametrize("name", ["audit.jsonl.1", "audit.jsonl.1.gz"])
async def test_a_log_that_was_moved_and_not_changed_is_no_fork(
    place, supervisor: Supervisor, path: Path, name: str, caplog
) -> None:
    """The control: in another file, rotated or compressed, the record that was reached is found."""
    await shipped(place, supervisor, path, 1, 2, 3)
    rotated = path.with_name(name)
    octets = path.read_bytes()
    rotated.write_bytes(gzip.compress(octets) if rotated.suffix == ".gz" else octets)
    rotated.chmod(0o600)
    path.unlink()

    async with Catalogue.open(place.config, supervisor) as catalogue, audit_log(path) as log:
        shipping = catalogue.ship(path)
        await log.write(event(4))
        found = await arrive(catalogue, 4)

    assert found == names(1, 2, 3, 4)
    assert (shipping.stats.forked, shipping.stats.again, told(caplog)) == (0, 0, [])


async def test_a_fork_after_the_old_files_are_gone_is_told_by_what_it_followed(
    place, supervisor: Supervisor, path: Path, caplog
) -> None:
    """The record after the one reached carries the HMAC of the one it followed, which is another:
    the files before it need not be there.
    """
    await shipped(place, supervisor, path, 1, 2, 3)
    cut(path, 2)
    async with audit_log(path) as log:
        await log.write()
    async with audit_log(path) as log:  # head_missing is record 3, of the other branch
        path.rename(path.with_name("audit.jsonl.1"))
        log.reopen()
        await log.write(event(4))
    path.with_name("audit.jsonl.1").unlink()

    async with Catalogue.open(place.config, supervisor) as catalogue:
        shipping = catalogue.ship(path)
        found = await arrive(catalogue, 4)

    assert found == names(1, 2, 3, 4)
    assert (shipping.stats.forked, told(caplog)) == (1, ["audit.forked"])


async def test_a_fork_in_files_of_one_first_number_is_read_in_both(
    place, supervisor: Supervisor, path: Path
) -> None:
    """A rotated file of the old branch may begin with the number that the new one begins with."""
    both, _ = lines(event(1), event(2))
    after = parse(both[1]).position
    old, new = (lines(*events, after=after)[0] for events in ([event(3)], [event(4), event(5)]))
    rotated = path.with_name("audit.jsonl.1")
    path.parent.mkdir()
    path.write_bytes(b"".join([*both, *old]))
    async with Catalogue.open(place.config, supervisor) as catalogue:
        catalogue.ship(path)
        await arrive(catalogue, 3)
    path.with_name("audit.jsonl.2").write_bytes(b"".join(both))
    rotated.write_bytes(old[0])
    path.write_bytes(b"".join(new))
    for age, file in enumerate((path, rotated, path.with_name("audit.jsonl.2"))):
        os.utime(file, (1000 - age, 1000 - age))

    async with Catalogue.open(place.config, supervisor) as catalogue:
        shipping = catalogue.ship(path)

        assert await arrive(catalogue, 5) == names(1, 2, 3, 4, 5)
        assert shipping.stats.forked == 1


async def test_a_chain_that_ends_early_before_another_begins_is_told(
    place, supervisor: Supervisor, path: Path, caplog
) -> None:
    """A log that was cut and followed by one of another chain is no way around it."""
    await shipped(place, supervisor, path, 1, 2, 3)
    cut(path, 2)
    path.rename(path.with_name("audit.jsonl.1"))
    other, _ = lines(event(4))
    path.write_bytes(other[0])

    async with Catalogue.open(place.config, supervisor) as catalogue:
        shipping = catalogue.ship(path)
        found = await arrive(catalogue, 4)

    assert found == names(1, 2, 3, 4)
    assert (shipping.stats.forked, told(caplog)) == (1, ["audit.forked"])


async def test_a_fork_that_could_not_be_copied_is_counted_once(
    place, supervisor: Supervisor, path: Path, caplog, monkeypatch
) -> None:
    """A try that fails finds the fork again, which is the same one."""
    await shipped(place, supervisor, path, 1, 2, 3)
    cut(path, 1)
    async with (
        audit_log(path) as log,
        Catalogue.open(place.config, supervisor) as catalogue,
    ):
        await log.write(event(4))
        insert, tries = catalogue.audit.insert, iter((CatalogueUnavailable(), None))

        async def failing_once(*arguments, **named):
            if (error := next(tries, None)) is not None:
                raise error
            return await insert(*arguments, **named)

        monkeypatch.setattr(catalogue.audit, "insert", failing_once)
        shipping = catalogue.ship(path)

        assert await arrive(catalogue, 4) == names(1, 2, 3, 4)
    assert (shipping.stats.forked, told(caplog)) == (1, ["audit.forked"])
