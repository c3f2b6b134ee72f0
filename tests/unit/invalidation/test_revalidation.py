from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import cast

import pytest

from greenlang_secrets.background import Supervisor
from greenlang_secrets.following import Followers
from greenlang_secrets.invalidation import Revalidation

WRITTEN = (3, datetime(2030, 1, 1, tzinfo=UTC))


@dataclass
class Seen:
    """What is asked of the followers."""

    paths: list[tuple[str, str]] = field(default_factory=list)
    everything: int = 0
    known: set[int] = field(default_factory=set)

    def revalidate(self, scope: str, path: str) -> None:
        self.paths.append((scope, path))

    def revalidate_all(self) -> None:
        self.everything += 1

    def knows(self, _scope: str, _path: str, version: int, _created_at: datetime) -> bool:
        return version in self.known


@dataclass
class Time:
    """Seconds that pass when told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


Make = Callable[..., Revalidation]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    async with Supervisor() as supervisor:
        yield supervisor


@pytest.fixture
def make(seen, supervisor) -> Make:
    def make(clock: Callable[[], float] | None = None, **settings: float) -> Revalidation:
        return Revalidation(
            cast("Followers", seen),
            supervisor,
            **{"revalidate_every": 5.0, "settle_after": 0.0, **settings},
            clock=clock or monotonic,
        )

    return make


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_path_is_read_anew_at_once(make, seen):
    """The first message about a path is acted on before `path` returns."""
    revalidation = make()

    revalidation.path("acme", "a")

    assert seen.paths == [("acme", "a")]
    assert revalidation.stats().paths == 1


async def test_many_messages_about_one_path_are_two_reads(make, seen):
    """What comes within a tenth of a second is done once, when that is over, and not left out."""
    revalidation = make()

    for _ in range(1000):
        revalidation.path("acme", "a")

    assert seen.paths == [("acme", "a")]
    await until(lambda: len(seen.paths) == 2)
    assert seen.everything == 0


async def test_message_after_a_tenth_of_a_second_is_acted_on_at_once(make, seen, time):
    """One path may change ten times a second, and each change is seen at once."""
    revalidation = make(time)
    revalidation.path("acme", "a")
    time.now += 0.1

    revalidation.path("acme", "a")

    assert len(seen.paths) == 2


async def test_path_is_read_once_more_after_it_has_settled(make, seen):
    """A standby may have answered the first time that had not applied the change."""
    revalidation = make(settle_after=0.05)

    revalidation.path("acme", "a")

    await until(lambda: len(seen.paths) == 2)
    await until(lambda: not revalidation._due)
    assert seen.paths == [("acme", "a")] * 2


async def test_what_came_too_soon_settles_as_well(make, seen):
    """A message that was put off is followed by its second read, as any other."""
    revalidation = make(settle_after=0.15)
    revalidation.path("acme", "a")

    revalidation.path("acme", "a")

    await until(lambda: len(seen.paths) == 3)
    await until(lambda: not revalidation._due)
    assert len(seen.paths) == 3


async def test_flood_of_paths_is_everything_once(make, seen, time):
    """Ten thousand paths at once are a thousand reads at most, and everything once."""
    revalidation = make(time)

    for number in range(10_000):
        revalidation.path("acme", f"p/{number}")

    assert len(seen.paths) == 1000
    assert seen.everything == 1
    assert len(revalidation._done) <= 1000


async def test_allowance_comes_back(make, seen, time):
    """After a second 500 paths are read anew again, one by one."""
    revalidation = make(time)
    for number in range(1000):
        revalidation.path("acme", f"p/{number}")
    time.now += 1.0

    for number in range(501):
        revalidation.path("acme", f"q/{number}")

    assert len(seen.paths) == 1500
    assert seen.everything == 1


async def test_everything_is_read_anew_once_in_a_while(make, seen, time):
    """However many reasons there are, the first is acted on at once and the rest together."""
    revalidation = make(time, revalidate_every=5.0)

    for _ in range(1000):
        revalidation.everything("gap")
    assert seen.everything == 1
    time.now += 5.0
    revalidation.everything("gap")

    await until(lambda: seen.everything == 2)
    assert revalidation.stats().everything == 2


async def test_what_was_put_off_is_done_when_it_is_time(make, seen):
    """No reason is left out, though none follows it."""
    revalidation = make(revalidate_every=0.1)
    revalidation.everything("gap")

    revalidation.everything("gap")

    assert seen.everything == 1
    await until(lambda: seen.everything == 2)


async def test_version_that_was_read_already_costs_nothing(make, seen):
    """A message of just the version that is held fresh is counted, and that is all."""
    revalidation = make()
    seen.known = {3}

    revalidation.path("acme", "a", written=WRITTEN)
    assert seen.paths == []
    revalidation.path("acme", "a", written=(4, WRITTEN[1]))

    assert seen.paths == [("acme", "a")]
    assert revalidation.stats().known == 1
