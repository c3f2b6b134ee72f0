from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from greenlang_secrets.background import Supervisor
from greenlang_secrets.cache import SecretCache
from greenlang_secrets.config import CacheConfig
from greenlang_secrets.errors import (
    AccessDenied,
    AuthenticationLost,
    SecretDeleted,
    SecretNotFound,
    SecretsError,
    VaultProtocolError,
    VaultUnavailable,
)

KEY = ("", "database/postgresql", None)


@dataclass
class Clock:
    """Seconds that pass when told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Source:
    """What is cached: answers `value`, or raises `error`, once `gate` is open."""

    value: str = "v1"
    error: SecretsError | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    loads: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    async def __call__(self) -> str:
        self.loads += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.value


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    async with Supervisor() as supervisor:
        yield supervisor


Make = Callable[..., SecretCache[str]]


@pytest.fixture
def make(clock: Clock, supervisor: Supervisor) -> Make:
    def make(**settings: float) -> SecretCache[str]:
        lives = settings.pop("lives", float("inf"))
        return SecretCache(
            CacheConfig(**{"fresh_for": 30.0, "stale_for": 300.0, **settings}),  # type: ignore[arg-type]
            supervisor,
            size_of=len,
            as_stale=lambda value: value + " (stale)",
            lives_for=lambda _: lives,
            clock=clock,
        )

    return make


@pytest.fixture
def cache(make: Make) -> SecretCache[str]:
    return make()


@pytest.fixture
def source() -> Source:
    return Source()


async def settle() -> None:
    """Let background loads run to their end or to their gate."""
    for _ in range(10):
        await asyncio.sleep(0)


# ---------------------------------------------------------------- fresh


async def test_fresh_value_is_returned_without_a_second_load(cache, source):
    """A value is loaded once and then answered from memory."""
    await cache.get(KEY, source)

    assert await cache.get(KEY, source) == "v1"
    assert cache.fresh(KEY) == "v1"
    assert source.loads == 1


async def test_unknown_key_has_no_fresh_value(cache):
    """The hot path answers None where `get` must go on."""
    assert cache.fresh(KEY) is None


async def test_fresh_hit_does_not_switch_tasks(cache, source):
    """A fresh `get` finishes in its first step: it never gives up the loop."""
    await cache.get(KEY, source)

    step = cache.get(KEY, source)

    with pytest.raises(StopIteration) as done:
        step.send(None)
    assert done.value.value == "v1"


async def test_hit_near_the_end_of_freshness_refreshes_behind(cache, source, clock):
    """In the last fifth of the fresh time a hit is answered at once and starts one load."""
    await cache.get(KEY, source)
    source.value = "v2"
    clock.now += 25

    first = await cache.get(KEY, source)
    again = await cache.get(KEY, source)
    await settle()

    assert (first, again) == ("v1", "v1")
    assert cache.fresh(KEY) == "v2"
    assert source.loads == 2


async def test_refresh_ahead_that_fails_is_tried_once_a_second(cache, source, clock):
    """While a value is fresh, an unavailable Vault is not asked with every hit."""
    await cache.get(KEY, source)
    source.error = VaultUnavailable("network")
    clock.now += 25

    for _ in range(50):
        assert await cache.get(KEY, source) == "v1"
        await settle()

    assert source.loads == 2


async def test_expired_value_is_waited_for(cache, source, clock):
    """After the fresh time a caller gets what Vault says now, not the old value."""
    await cache.get(KEY, source)
    source.value = "v2"
    clock.now += 31

    assert await cache.get(KEY, source) == "v2"


async def test_max_age_is_younger_than_the_value(cache, source, clock):
    """`max_age` makes a fresh but older value be loaded anew."""
    await cache.get(KEY, source)
    source.value = "v2"
    clock.now += 6

    assert await cache.get(KEY, source, max_age=10) == "v1"
    assert await cache.get(KEY, source, max_age=5) == "v2"


async def test_max_age_bounds_stale_values_too(cache, source, clock):
    """During an outage a value older than `max_age` is not given."""
    await cache.get(KEY, source)
    source.error = VaultUnavailable("sealed")
    clock.now += 60

    with pytest.raises(VaultUnavailable):
        await cache.get(KEY, source, max_age=30)
    assert await cache.get(KEY, source, max_age=100) == "v1 (stale)"


async def test_value_that_expires_by_itself_is_not_outlived(make, source, clock):
    """A version that Vault will delete in 5 s is fresh and stale for 5 s at most."""
    cache = make(lives=5.0)
    await cache.get(KEY, source)
    source.error = VaultUnavailable("sealed")
    clock.now += 6

    with pytest.raises(VaultUnavailable):
        await cache.get(KEY, source)


# ---------------------------------------------------------------- single flight


async def test_200_callers_of_a_cold_key_share_one_load(cache, source):
    """Concurrent misses of one key make one load."""
    source.gate.clear()

    callers = [asyncio.ensure_future(cache.get(KEY, source)) for _ in range(200)]
    await settle()
    source.gate.set()

    assert await asyncio.gather(*callers) == ["v1"] * 200
    assert source.loads == 1
    assert cache.stats().coalesced == 199


async def test_load_under_way_is_joined_while_nothing_is_held(cache, source):
    """Who comes meanwhile may wait for it without more ado, and is counted as who goes through
    `get`; not where there is nothing to wait for.
    """
    assert cache.under_way(KEY) is None
    source.gate.clear()
    first = asyncio.ensure_future(cache.get(KEY, source))
    await settle()

    landing = cache.under_way(KEY)
    assert landing is not None
    source.gate.set()

    assert await landing == await first == "v1"
    assert source.loads == 1
    assert (cache.stats().misses, cache.stats().coalesced) == (2, 1)
    assert cache.under_way(KEY) is None


async def test_load_under_way_is_not_joined_past_what_is_held(cache, source, clock):
    """A stale value at hand, or a load that an invalidation has overtaken, is `get`'s to weigh."""
    await cache.get(KEY, source)
    clock.now += 31
    source.gate.clear()
    waiting = asyncio.ensure_future(cache.get(KEY, source))
    await settle()
    assert source.loads == 2

    assert cache.under_way(KEY) is None
    cache.invalidate(*KEY[:2])
    assert cache.under_way(KEY) is None

    source.gate.set()
    await waiting


async def test_task_of_a_load_has_ended_when_its_waiters_go_on(cache, source, supervisor):
    """Nothing runs any more that a caller could take for its own."""
    source.gate.clear()
    waiting = asyncio.ensure_future(cache.get(KEY, source))
    await settle()
    assert supervisor.running == 1
    source.gate.set()

    await waiting

    assert supervisor.running == 0


async def test_cancelled_caller_leaves_the_load_to_the_others(cache, source):
    """Cancelling the caller that began a load does not cancel the load."""
    source.gate.clear()
    first = asyncio.ensure_future(cache.get(KEY, source))
    second = asyncio.ensure_future(cache.get(KEY, source))
    await settle()

    first.cancel()
    await settle()
    source.gate.set()

    assert await second == "v1"
    assert first.cancelled()
    assert source.loads == 1


async def test_load_whose_only_caller_was_cancelled_fills_the_cache(cache, source):
    """The work of a load is kept though nobody waits for it any more."""
    source.gate.clear()
    caller = asyncio.ensure_future(cache.get(KEY, source))
    await settle()

    caller.cancel()
    source.gate.set()
    await settle()

    assert cache.fresh(KEY) == "v1"


async def test_failed_load_raises_an_error_of_its_own_for_each_caller(cache, source):
    """Waiters do not share one exception object, whose traceback would grow with each."""
    source.error = SecretNotFound(path="x")
    source.gate.clear()
    callers = [asyncio.ensure_future(cache.get(KEY, source)) for _ in range(3)]
    await settle()
    source.gate.set()

    errors = await asyncio.gather(*callers, return_exceptions=True)

    assert [type(error) for error in errors] == [SecretNotFound] * 3
    assert len({id(error) for error in errors}) == 3


async def test_unexpected_exception_of_a_load_reaches_the_caller(cache):
    """A bug in a loader is not hidden, and the next call loads again."""

    async def broken() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cache.get(KEY, broken)

    assert await cache.get(KEY, Source()) == "v1"


async def test_caller_of_a_load_that_ends_with_the_service_is_told(cache, source, supervisor):
    """Closing the service is an error for who waits, and does not look like his own cancelling."""
    source.gate.clear()
    caller = asyncio.ensure_future(cache.get(KEY, source))
    await settle()

    await supervisor.close()

    with pytest.raises(RuntimeError, match="closed"):
        await caller


# ---------------------------------------------------------------- refresh


async def test_refresh_does_not_join_a_load_that_began_before(cache, source):
    """`refresh` sees a state at or after its call: an older load is let go and not stored."""
    old = Source(value="old")
    old.gate.clear()
    early = asyncio.ensure_future(cache.get(KEY, old))
    await settle()

    assert await cache.refresh(KEY, source) == "v1"
    old.gate.set()

    assert await early == "old"
    assert cache.fresh(KEY) == "v1"


async def test_refreshes_of_one_moment_share_a_load(cache, source):
    """Concurrent refreshes join a load that has not begun yet."""
    answers = await asyncio.gather(*(cache.refresh(KEY, source) for _ in range(200)))

    assert answers == ["v1"] * 200
    assert source.loads == 1


async def test_refresh_takes_nothing_stale(cache, source, clock):
    """`refresh` raises while Vault is away, and leaves the held value for `get`."""
    await cache.get(KEY, source)
    source.error = VaultUnavailable("sealed")
    clock.now += 31

    with pytest.raises(VaultUnavailable):
        await cache.refresh(KEY, source)

    assert await cache.get(KEY, source) == "v1 (stale)"


# ---------------------------------------------------------------- stale


@pytest.mark.parametrize("error", [VaultUnavailable("sealed"), AuthenticationLost()])
async def test_outage_is_answered_with_the_stale_value(cache, source, clock, error):
    """While Vault cannot be asked, the last value is given, marked stale."""
    await cache.get(KEY, source)
    source.error = error
    clock.now += 31

    assert await cache.get(KEY, source) == "v1 (stale)"
    assert cache.stats().stale_serves == 1


async def test_stale_value_ends_at_its_limit(cache, source, clock):
    """After `stale_for` seconds the outage is told, whatever is held."""
    await cache.get(KEY, source)
    source.error = VaultUnavailable("sealed")

    clock.now += 299
    assert await cache.get(KEY, source) == "v1 (stale)"
    clock.now += 2

    with pytest.raises(VaultUnavailable):
        await cache.get(KEY, source)


async def test_stale_for_zero_serves_nothing_stale(make, source, clock):
    """`stale_for=0` turns stale answers off."""
    cache = make(stale_for=0)
    await cache.get(KEY, source)
    source.error = VaultUnavailable("sealed")
    clock.now += 31

    with pytest.raises(VaultUnavailable):
        await cache.get(KEY, source)


@pytest.mark.parametrize(
    "error",
    [AccessDenied(), SecretNotFound(), SecretDeleted(path="x", version=1, destroyed=False)],
)
async def test_no_is_never_answered_with_a_stale_value(cache, source, clock, error):
    """After denied, missing or deleted the held value is gone, in an outage too."""
    await cache.get(KEY, source)
    source.error = error
    clock.now += 31

    with pytest.raises(type(error)):
        await cache.get(KEY, source)
    source.error = VaultUnavailable("sealed")
    clock.now += 10

    with pytest.raises(VaultUnavailable):
        await cache.get(KEY, source)


async def test_answer_that_is_not_vaults_is_told_and_the_value_kept(cache, source, clock):
    """A protocol error is neither hidden by a stale value nor a reason to forget it."""
    await cache.get(KEY, source)
    source.error = VaultProtocolError()
    clock.now += 31

    with pytest.raises(VaultProtocolError):
        await cache.get(KEY, source)
    source.error = VaultUnavailable("sealed")

    assert await cache.get(KEY, source) == "v1 (stale)"


async def test_nobody_waits_during_a_known_outage(cache, source, clock):
    """Once an outage is known, stale values are answered in one step, with a load every
    half second asking whether it is over.
    """
    await cache.get(KEY, source)
    source.error = VaultUnavailable("sealed")
    clock.now += 31
    await cache.get(KEY, source)
    loads = source.loads

    for _ in range(100):
        with pytest.raises(StopIteration):
            cache.get(KEY, source).send(None)
    await settle()
    assert source.loads == loads
    clock.now += 0.6
    assert await cache.get(KEY, source) == "v1 (stale)"
    await settle()

    assert source.loads == loads + 1


async def test_refresh_ahead_keeps_to_the_probes_of_an_outage(cache, source, clock):
    """Keys that are still fresh in an outage do not add loads beyond the probes."""
    other = ("", "other", None)
    await cache.get(KEY, source)
    clock.now += 10
    await cache.get(other, source)
    source.error = VaultUnavailable("sealed")
    clock.now += 21.5  # KEY is stale; `other` is due for its refresh in 2.5 s
    await cache.get(KEY, source)
    clock.now += 2.6
    await cache.get(KEY, source)
    await settle()
    loads = source.loads

    assert await cache.get(other, source) == "v1"
    await settle()

    assert source.loads == loads


async def test_first_good_answer_ends_the_outage(cache, source, clock):
    """When a probe succeeds, the next calls are fresh again."""
    await cache.get(KEY, source)
    source.error = VaultUnavailable("sealed")
    clock.now += 31
    await cache.get(KEY, source)
    source.error = None
    source.value = "v2"
    clock.now += 0.6

    await cache.get(KEY, source)
    await settle()

    assert await cache.get(KEY, source) == "v2"


async def test_silent_vault_is_waited_for_a_quarter_second_once(cache, source, clock):
    """A Vault that accepts and says nothing costs the first caller 0.25 s, the others nothing."""
    await cache.get(KEY, source)
    source.gate.clear()
    clock.now += 31
    loop = asyncio.get_running_loop()

    begun = loop.time()
    assert await cache.get(KEY, source) == "v1 (stale)"
    waited = loop.time() - begun
    with pytest.raises(StopIteration) as done:
        cache.get(KEY, source).send(None)

    clock.now += 0.6  # time for a probe, but the first load still runs
    assert await cache.get(KEY, source) == "v1 (stale)"

    assert waited >= 0.24
    assert done.value.value == "v1 (stale)"
    assert source.loads == 2


async def test_lost_login_of_one_scope_is_no_outage_for_others(cache, source, clock):
    """AuthenticationLost does not make other keys be answered stale."""
    other = ("globex", "x", None)
    good = Source()
    await cache.get(KEY, source)
    await cache.get(other, good)
    source.error = AuthenticationLost()
    good.value = "v2"
    clock.now += 31

    assert await cache.get(KEY, source) == "v1 (stale)"
    assert await cache.get(other, good) == "v2"


# ---------------------------------------------------------------- remembered errors


async def test_missing_is_remembered_for_a_second(cache, source, clock):
    """A loop over a wrong path does not load Vault; a second later it is asked again."""
    source.error = SecretNotFound(path="x")

    for _ in range(10):
        with pytest.raises(SecretNotFound):
            await cache.get(KEY, source)
    assert source.loads == 1
    source.error = None
    clock.now += 1.1

    assert await cache.get(KEY, source) == "v1"


async def test_denial_is_remembered_for_five_seconds(cache, source, clock):
    """A denied read is not sent again at once."""
    source.error = AccessDenied()
    for seconds in (0, 4):
        clock.now += seconds
        with pytest.raises(AccessDenied):
            await cache.get(KEY, source)
    assert source.loads == 1
    clock.now += 2

    with pytest.raises(AccessDenied):
        await cache.get(KEY, source)

    assert source.loads == 2


async def test_remembering_errors_can_be_turned_off(make, source):
    """With `missing_for=0` each call asks Vault."""
    cache = make(missing_for=0)
    source.error = SecretNotFound(path="x")

    for _ in range(2):
        with pytest.raises(SecretNotFound):
            await cache.get(KEY, source)

    assert source.loads == 2


# ---------------------------------------------------------------- invalidation


async def test_invalidation_forgets_every_version_of_a_path_and_nothing_else(cache, source):
    """Own writes drop the path in that scope; other paths and scopes stay."""
    pinned = ("", "database/postgresql", 3)
    elsewhere = ("acme", "database/postgresql", None)
    for key in (KEY, pinned, elsewhere):
        await cache.get(key, source)

    cache.invalidate("", "database/postgresql")

    assert cache.fresh(KEY) is None
    assert cache.fresh(pinned) is None
    assert cache.fresh(elsewhere) == "v1"


async def test_load_under_way_at_invalidation_is_not_stored(cache, source):
    """A read that began before a write may be of the state before: it is not kept."""
    source.gate.clear()
    caller = asyncio.ensure_future(cache.get(KEY, source))
    await settle()

    cache.invalidate("", "database/postgresql")
    source.gate.set()

    assert await caller == "v1"
    assert cache.fresh(KEY) is None


async def test_error_of_a_load_under_way_at_invalidation_is_not_remembered(cache, source):
    """A "not found" from before a create does not hide the new secret."""
    source.error = SecretNotFound(path="x")
    source.gate.clear()
    caller = asyncio.ensure_future(cache.get(KEY, source))
    await settle()

    cache.invalidate("", "database/postgresql")
    source.gate.set()
    with pytest.raises(SecretNotFound):
        await caller

    assert await cache.get(KEY, Source()) == "v1"


async def test_clear_forgets_everything_and_lets_loads_go(cache, source):
    """After `clear` nothing is held, and a load under way does not come back."""
    await cache.get(KEY, source)
    slow = Source()
    slow.gate.clear()
    caller = asyncio.ensure_future(cache.get(("", "slow", None), slow))
    await settle()

    cache.clear()
    slow.gate.set()
    await caller

    assert (cache.stats().entries, cache.stats().bytes) == (0, 0)


# ---------------------------------------------------------------- overtaken, as others say


@pytest.fixture(params=["the path", "everything"])
def overtake(request) -> Callable[[SecretCache[str]], None]:
    """The two ways to say that what is held may be old."""
    if request.param == "the path":
        return lambda cache: cache.revalidate("", "database/postgresql")
    return lambda cache: cache.revalidate_all()


async def test_what_was_overtaken_is_loaded_before_it_is_given(cache, source, overtake):
    """The next caller waits for a load, and gets what that brings."""
    await cache.get(KEY, source)
    overtake(cache)
    source.value = "v2"

    assert cache.fresh(KEY) is None
    assert cache.held_fresh(KEY) is None
    assert await cache.get(KEY, source) == "v2"
    assert cache.held_fresh(KEY) == cache.fresh(KEY) == "v2"
    assert source.loads == 2


async def test_what_was_overtaken_is_still_given_as_stale(cache, source, overtake):
    """Marking takes nothing away: while loading is impossible the old value is the answer."""
    await cache.get(KEY, source)
    source.error = VaultUnavailable("sealed")

    overtake(cache)

    assert await cache.get(KEY, source) == "v1 (stale)"
    assert await cache.get(KEY, source) == "v1 (stale)"


async def test_what_was_invalidated_is_not_given_as_stale(cache, source):
    """The control: what is known to have changed is gone."""
    await cache.get(KEY, source)
    source.error = VaultUnavailable("sealed")

    cache.invalidate("", "database/postgresql")

    with pytest.raises(VaultUnavailable):
        await cache.get(KEY, source)


async def test_overtaken_value_ends_with_its_stale_time(cache, source, clock, overtake):
    """Being overtaken does not make a value live longer."""
    await cache.get(KEY, source)
    source.error = VaultUnavailable("sealed")
    overtake(cache)
    clock.now += 300

    with pytest.raises(VaultUnavailable):
        await cache.get(KEY, source)


async def test_load_under_way_is_overtaken_too(cache, source, overtake):
    """Who waits gets what the load brings, which may be the state before; nobody after does."""
    source.gate.clear()
    caller = asyncio.ensure_future(cache.get(KEY, source))
    await settle()
    overtake(cache)
    source.gate.set()

    assert await caller == "v1"
    assert cache.fresh(KEY) is None


async def test_each_version_of_a_path_is_overtaken(cache, source):
    """A pinned version is held under the same path: its deletion is seen as well."""
    pinned = (*KEY[:2], 3)
    other = ("", "database/other", None)
    for key in (KEY, pinned, other):
        await cache.get(key, source)

    cache.revalidate("", "database/postgresql")

    assert [cache.fresh(key) for key in (KEY, pinned, other)] == [None, None, "v1"]


async def test_remembered_no_is_asked_for_again(cache, source, overtake):
    """A secret that was missing a moment ago may be there now."""
    source.error = SecretNotFound(path="database/postgresql")
    with pytest.raises(SecretNotFound):
        await cache.get(KEY, source)
    source.error = None

    overtake(cache)

    assert await cache.get(KEY, source) == "v1"


async def test_path_that_was_overtaken_with_all_is_overtaken_once_more(cache, source):
    """A message about one path, between one about everything and the next read, changes nothing."""
    await cache.get(KEY, source)
    cache.revalidate_all()

    cache.revalidate("", "database/postgresql")
    cache.revalidate_all()

    assert cache.stats().entries == 1
    assert await cache.get(KEY, source) == "v1"
    assert source.loads == 2


async def test_what_was_overtaken_keeps_its_place_in_the_bounds(make, source):
    """Counts stay true, and what was overtaken and not asked for since goes first."""
    cache = make(max_entries=3)
    a, b, c, d = (("", name, None) for name in "abcd")
    for key in (a, b):
        await cache.get(key, source)
    cache.revalidate_all()
    await cache.get(a, source)
    cache.revalidate_all()
    await cache.get(c, source)
    octets = cache.stats().bytes

    await cache.get(d, source)
    source.error = VaultUnavailable("sealed")

    assert (cache.stats().entries, cache.stats().bytes) == (3, octets)
    assert await cache.get(a, source) == "v1 (stale)"
    with pytest.raises(VaultUnavailable):
        await cache.get(b, source)


async def test_what_was_overtaken_is_forgotten_with_the_rest(cache, source):
    """`clear` and `invalidate` reach what was put aside."""
    other = ("", "database/other", None)
    await cache.get(KEY, source)
    await cache.get(other, source)
    cache.revalidate_all()

    cache.invalidate("", "database/postgresql")
    assert cache.stats().entries == 1
    cache.clear()

    assert (cache.stats().entries, cache.stats().bytes) == (0, 0)


# ---------------------------------------------------------------- bounds


async def test_least_recently_used_entry_goes_first(make, source):
    """At `max_entries` the entry not used for longest is dropped."""
    cache = make(max_entries=2)
    a, b, c = (("", name, None) for name in "abc")
    await cache.get(a, source)
    await cache.get(b, source)
    cache.fresh(a)

    await cache.get(c, source)

    assert cache.fresh(a) == "v1"
    assert cache.fresh(b) is None
    assert cache.stats().evictions == 1


async def test_octets_are_bounded(make):
    """The sum of what is held stays under `max_bytes`, whatever is loaded."""
    cache = make(max_bytes=200_000)
    source = Source(value="x" * 1000)

    for number in range(1000):
        await cache.get(("", f"s{number}", None), source)

    stats = cache.stats()
    assert stats.bytes <= 200_000
    assert stats.entries == 200_000 // 1700


async def test_value_of_more_than_a_hundredth_of_the_bound_is_not_held(make):
    """One huge value does not push out everything else."""
    cache = make(max_bytes=200_000)
    big = Source(value="x" * 2000)

    await cache.get(KEY, big)
    await cache.get(KEY, big)

    assert big.loads == 2
    assert cache.stats().entries == 0


async def test_entry_that_vanishes_while_stale_is_taken(make, source, clock):
    """An entry evicted during the wait for its load still answers its own caller."""
    cache = make(max_entries=1)
    await cache.get(KEY, source)
    source.error = VaultUnavailable("sealed")
    source.gate.clear()
    clock.now += 31
    caller = asyncio.ensure_future(cache.get(KEY, source))
    await settle()

    await cache.get(("", "other", None), Source())
    source.gate.set()

    assert await caller == "v1 (stale)"
