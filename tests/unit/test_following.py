from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import anyio
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
from greenlang_secrets.following import Followed, Followers, differs
from greenlang_secrets.model import Secret, SecretType
from greenlang_secrets.sensitive import SecretMap

WRITTEN = datetime(2030, 1, 1, tzinfo=UTC)


async def settle() -> None:
    """Let loops run until each waits for time or for an answer."""
    for _ in range(20):
        await asyncio.sleep(0)


class Time:
    """Seconds that pass when told to, and the loops that wait for them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self._sleeping: list[tuple[float, anyio.Event]] = []

    def __call__(self) -> float:
        return self.now

    async def wait(self, woken: anyio.Event, seconds: float) -> None:
        self.waits.append(seconds)
        self._sleeping.append((self.now + seconds, woken))
        await woken.wait()

    async def pass_by(self, seconds: float) -> None:
        """Let every loop run that is due meanwhile, in its order."""
        end = self.now + seconds
        await settle()
        while due := [each for each in self._sleeping if each[0] <= end]:
            first = min(due, key=lambda each: each[0])
            self._sleeping.remove(first)
            self.now = max(self.now, first[0])
            first[1].set()
            await settle()
        self.now = end


@dataclass
class Vault:
    """What is followed: answers a version, or raises, once `gate` is open."""

    time: Time
    version: int = 1
    data: str = "one"
    type: SecretType = SecretType.GENERIC
    created_at: datetime = WRITTEN
    expires_at: datetime | None = None
    error: Exception | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    reads: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def secret(self) -> Secret:
        return Secret(
            path="auth/jwt",
            version=self.version,
            data=SecretMap({"k": self.data}),
            type=self.type,
            created_at=self.created_at,
            custom_metadata={},
            expires_at=self.expires_at,
            fetched_at=self.time.now,
        )

    def write(self, data: str) -> None:
        self.version += 1
        self.data = data
        self.created_at += timedelta(seconds=1)
        self.error = None

    async def __call__(self) -> Secret:
        self.reads += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.secret()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def vault(time: Time) -> Vault:
    return Vault(time)


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    async with Supervisor() as supervisor:
        yield supervisor


Make = Callable[..., Followers]


@pytest.fixture
def make(time: Time, supervisor: Supervisor) -> Make:
    def make(*, lives: float = float("inf"), jitter: float = 0.5, **settings: float) -> Followers:
        config = CacheConfig(**{"fresh_for": 30.0, "stale_for": 300.0, **settings})  # type: ignore[arg-type]
        cache: SecretCache[Secret] = SecretCache(
            config,
            supervisor,
            size_of=lambda _: 1,
            as_stale=lambda secret: replace(secret, stale=True),
            lives_for=lambda _: lives,
            on_answer=lambda *answer: followers.learn(*answer),  # noqa: PLW0108  # made below
            clock=time,
        )
        followers = Followers(
            cache,
            supervisor,
            config,
            lives_for=lambda _: lives,
            clock=time,
            wait=time.wait,
            jitter=lambda: jitter,
        )
        return followers

    return make


@pytest.fixture
def followers(make: Make) -> Followers:
    return make()


def join(followers: Followers, vault: Vault) -> Followed:
    return followers.join("", "auth/jwt", vault, first=vault.secret())


def told(followed: Followed, into: list[str]) -> asyncio.Task[None]:
    """Note what is told, from the next change on."""
    follower = followed.changes.follow(newest=False)

    async def note() -> None:
        async for secret in follower:
            into.append(f"{secret.version}:{secret['k'].reveal()}")  # noqa: PERF401  # as it goes

    return asyncio.ensure_future(note())


# ---------------------------------------------------------------- the loop


async def test_a_thousand_followers_are_one_loop_and_one_request_each_time(
    followers, vault, time, supervisor
):
    """However many follow a path, it is read once in the fresh time."""
    joined = [join(followers, vault) for _ in range(1000)]

    await time.pass_by(27 * 3)

    assert len(set(map(id, joined))) == 1
    assert supervisor.running == 1
    assert vault.reads == 3


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 24.3), (0.5, 27.0), (1.0, 29.7)])
async def test_it_is_read_before_it_stops_being_fresh(make, vault, time, jitter, seconds):
    """The next read is due after 0.81 to 0.99 of the fresh time, so `current` stays fresh."""
    followers = make(jitter=jitter)
    followed = join(followers, vault)

    await time.pass_by(seconds - 0.01)
    before = vault.reads
    await time.pass_by(0.02)

    assert (before, vault.reads) == (0, 1)
    assert not followed.current.stale


async def test_without_caching_it_is_read_ten_times_a_second(make, vault, time):
    """`fresh_for=0` makes no loop without a pause, and `current` is fresh for as long."""
    followed = join(make(fresh_for=0), vault)

    await time.pass_by(1.0)

    assert 9 <= vault.reads <= 11
    assert not followed.current.stale


async def test_the_last_one_to_leave_ends_the_loop(followers, vault, supervisor):
    """Places are counted: the loop lives while there is one, and no longer."""
    followed, same = join(followers, vault), join(followers, vault)
    follower = followed.changes.follow(newest=False)

    followers.leave(followed)
    await settle()
    kept = supervisor.running
    followers.leave(same)
    await settle()

    assert (kept, supervisor.running) == (1, 0)
    assert [secret async for secret in follower] == []
    assert join(followers, vault) is not followed


async def test_scopes_never_share_a_loop(followers, vault, time):
    """The same relative path of two tenants is two loops, each with its own reader."""
    other = Vault(time, data="other")
    acme = followers.join("acme", "auth/jwt", vault, first=vault.secret())
    globex = followers.join("globex", "auth/jwt", other, first=other.secret())
    vault.write("new")

    await time.pass_by(27)

    assert (acme.current["k"].reveal(), globex.current["k"].reveal()) == ("new", "other")
    assert (vault.reads, other.reads) == (1, 1)


async def test_a_fault_of_the_reader_is_reported_and_ends_nothing(followers, vault, time, caplog):
    """Even an exception that nobody foresaw is logged by its class, and the loop goes on."""
    followed = join(followers, vault)
    vault.error = ZeroDivisionError("CANARY")
    with caplog.at_level(logging.ERROR, logger="greenlang_secrets"):
        await time.pass_by(27)
    vault.write("new")

    await time.pass_by(30)

    [record] = caplog.records
    assert (record.message, record.error) == ("background.failed", "ZeroDivisionError")
    assert "CANARY" not in str(record.__dict__)
    assert followed.current.version == 2


# ---------------------------------------------------------------- what is a change


async def test_new_data_is_told(followers, vault, time):
    """The control of the two below: a version with other data is a change."""
    followed = join(followers, vault)
    news: list[str] = []
    task = told(followed, news)
    vault.write("two")

    await time.pass_by(27)

    assert news == ["2:two"]
    task.cancel()


async def test_new_version_of_equal_data_is_current_and_not_told(followers, vault, time):
    """Who writes the same every hour wakes nobody; `current` has the newest number all the same."""
    followed = join(followers, vault)
    news: list[str] = []
    task = told(followed, news)
    vault.write("one")

    await time.pass_by(27)

    assert news == []
    assert followed.current.version == 2
    assert (await anext(followed.changes.follow())).version == 2  # who comes now begins with it
    task.cancel()


async def test_another_type_is_told(followers, vault, time):
    """Equal data declared as something else is a change."""
    followed = join(followers, vault)
    news: list[str] = []
    task = told(followed, news)
    vault.type = SecretType.API_KEY

    await time.pass_by(27)

    assert news == ["1:one"]
    task.cancel()


def test_what_differs(vault):
    """Data and type make a difference, the version's number does not."""
    one = vault.secret()

    assert not differs(one, replace(one, version=2))
    assert differs(one, replace(one, data=SecretMap({"k": "two"})))
    assert differs(one, replace(one, type=SecretType.API_KEY))


async def test_a_node_that_lags_behind_changes_nothing(followers, vault, time):
    """An older version after a newer one is a replica's; nobody is sent back to an old key."""
    vault.write("two")
    followed = join(followers, vault)
    news: list[str] = []
    task = told(followed, news)
    vault.version, vault.data, vault.created_at = 1, "one", WRITTEN

    await time.pass_by(27)

    assert vault.reads == 1
    assert news == []
    assert followed.current.version == 2
    task.cancel()


async def test_a_secret_made_anew_begins_with_version_1_and_is_told(followers, vault, time):
    """A lower number that was written later is no replica's lag: everything was removed, and
    written again.
    """
    vault.write("two")
    followed = join(followers, vault)
    news: list[str] = []
    task = told(followed, news)
    vault.version, vault.data, vault.created_at = 1, "anew", WRITTEN + timedelta(days=1)

    await time.pass_by(27)

    assert news == ["1:anew"]
    assert followed.current.version == 1
    task.cancel()


async def test_what_any_read_brings_is_known_at_once(followers, vault, time):
    """A read of somebody else's tells the followers, and puts off the loop's own."""
    followed = join(followers, vault)
    news: list[str] = []
    task = told(followed, news)
    await time.pass_by(20)
    vault.write("two")

    await followers.cache.refresh(("", "auth/jwt", None), vault)
    await settle()
    heard = list(news)
    await time.pass_by(20)

    assert heard == ["2:two"]
    assert vault.reads == 1
    assert followed.current.version == 2
    task.cancel()


async def test_a_read_of_a_pinned_version_tells_nothing(followers, vault):
    """What an old version holds is no news."""
    followed = join(followers, vault)
    old = Vault(vault.time, version=1, data="old")

    await followers.cache.refresh(("", "auth/jwt", 1), old)

    assert followed.current["k"].reveal() == "one"


# ---------------------------------------------------------------- told of a change


async def test_it_is_read_at_once_when_told_of_a_change(followers, vault, time):
    """`changed` makes the cache forget and the loop ask, without any time passing."""
    followed = join(followers, vault)
    await followers.cache.get(("", "auth/jwt", None), vault)
    await settle()
    vault.write("two")

    followers.changed("", "auth/jwt")
    await followers.caught_up("", "auth/jwt")

    assert followed.current.version == 2
    assert time.now == 1000.0


async def test_a_load_under_way_is_overtaken_by_a_change(followers, vault):
    """What was asked for before the change is not taken for its result."""
    followed = join(followers, vault)
    before = vault.secret()
    vault.gate.clear()

    async def slow() -> Secret:
        await vault.gate.wait()
        return before

    reading = asyncio.ensure_future(followers.cache.refresh(("", "auth/jwt", None), slow))
    await settle()
    vault.write("two")
    followers.changed("", "auth/jwt")
    await settle()
    vault.gate.set()
    await followers.caught_up("", "auth/jwt")

    assert (await reading).version == 1
    assert followed.current.version == 2


async def test_the_loops_own_read_is_overtaken_too(followers, vault, time):
    """What the loop asked for before the change is let go, and asked for again when it ends."""
    followed = join(followers, vault)
    news: list[str] = []
    task = told(followed, news)
    vault.gate.clear()
    await time.pass_by(27)
    vault.write("two")
    followers.changed("", "auth/jwt")

    vault.gate.set()
    await settle()

    assert vault.reads == 2
    assert news == ["2:two"]
    assert followed.current.version == 2
    task.cancel()


async def test_catching_up_does_not_wait_for_a_vault_that_is_mute(followers, vault):
    """A write is not held up by its followers for more than a quarter of a second."""
    followed = join(followers, vault)
    vault.gate.clear()
    followers.changed("", "auth/jwt")

    await asyncio.wait_for(followers.caught_up("", "auth/jwt"), 5)

    assert followed.current.version == 1


async def test_a_change_of_what_nobody_follows_costs_nothing(followers, vault):
    """The cache forgets it, and that is all."""
    await followers.cache.get(("", "auth/jwt", None), vault)

    followers.changed("", "auth/jwt")
    await followers.caught_up("", "auth/jwt")

    assert followers.cache.fresh(("", "auth/jwt", None)) is None
    assert vault.reads == 1


async def test_a_change_is_asked_for_during_an_outage_as_well(followers, vault, time):
    """Who was told of a change does not wait for the outage's next probe."""
    followed = join(followers, vault)
    vault.error = VaultUnavailable("sealed")
    await time.pass_by(27)
    vault.write("two")

    followers.changed("", "auth/jwt")
    await followers.caught_up("", "auth/jwt")

    assert followed.current.version == 2


# ---------------------------------------------------------------- told by others, who may be wrong


async def test_it_is_read_at_once_when_others_tell_of_a_change(followers, vault, time):
    """`revalidate` has the loop ask without any time passing."""
    followed = join(followers, vault)
    vault.write("two")

    followers.revalidate("", "auth/jwt")
    await followers.caught_up("", "auth/jwt")

    assert followed.current.version == 2
    assert time.now == 1000.0


async def test_what_others_tell_takes_nothing_away(followers, vault):
    """While Vault gives no answer, what was held goes on, as stale; a change of ours removes it."""
    key = ("", "auth/jwt", None)
    await followers.cache.get(key, vault)
    vault.error = VaultUnavailable("sealed")

    followers.revalidate("", "auth/jwt")
    stale = await followers.cache.get(key, vault)
    followers.changed("", "auth/jwt")

    assert stale.stale
    with pytest.raises(VaultUnavailable):
        await followers.cache.get(key, vault)


async def test_all_that_is_followed_is_read_anew_one_after_another(make, vault, time):
    """A hundred paths take half a second on average, and are not asked for at once."""
    draws = iter(number / 100 for number in range(10_000))
    followers = make()
    for number in range(100):
        followers.join("", f"p/{number}", vault, first=vault.secret())
    await settle()
    followers.jitter = lambda: next(draws) % 1
    vault.write("two")

    followers.revalidate_all()
    await settle()
    at_once = vault.reads
    await time.pass_by(0.25)
    half = vault.reads
    await time.pass_by(0.25)

    assert at_once <= 1
    assert 40 <= half <= 60
    assert vault.reads == 100


async def test_reading_all_anew_does_not_put_off_what_is_due(followers, vault, time):
    """A loop that is to ask sooner anyway asks sooner."""
    followed = join(followers, vault)
    await time.pass_by(26.9999)
    vault.write("two")

    followers.jitter = lambda: 1.0
    followers.revalidate_all()
    await time.pass_by(0.0001)

    assert followed.current.version == 2


async def test_reading_all_anew_is_no_storm_during_an_outage(make, vault, time):
    """The one probe in half a second asks for all, however often everything is overtaken."""
    followers = make()
    for number in range(50):
        followers.join("", f"p/{number}", vault, first=vault.secret())
    await settle()
    vault.error = VaultUnavailable("sealed")
    await time.pass_by(30)
    before = vault.reads

    for _ in range(10):
        followers.revalidate_all()
        await time.pass_by(0.5)

    assert vault.reads - before <= 15


async def test_changes_of_ours_are_passed_on_and_those_of_others_are_not(followers):
    """What others told is not told to them again, or two replicas would never be quiet."""
    told_of: list[tuple[object, object]] = []
    followers.told.append(lambda scope, path: told_of.append((scope, path)))

    followers.revalidate("acme", "a")
    followers.revalidate_all()
    followers.changed("acme", "b")

    assert told_of == [("acme", "b")]
    assert followers.doubts == 3


async def test_version_that_was_read_is_known(followers, vault):
    """A version held fresh is known by its number and time; overtaken, it is not."""
    key = ("", "auth/jwt", None)
    assert not followers.knows("", "auth/jwt", 1, WRITTEN)
    await followers.cache.get(key, vault)

    assert followers.knows("", "auth/jwt", 1, WRITTEN)
    assert not followers.knows("", "auth/jwt", 2, WRITTEN)
    assert not followers.knows("", "auth/jwt", 1, WRITTEN + timedelta(seconds=1))
    followers.revalidate("", "auth/jwt")
    assert not followers.knows("", "auth/jwt", 1, WRITTEN)


# ---------------------------------------------------------------- no answer, or no


async def test_while_vault_is_away_current_is_stale_and_then_an_error(followers, vault, time):
    """Fresh to the end of the fresh time, stale to the end of the stale time, then the reason."""
    followed = join(followers, vault)
    vault.error = VaultUnavailable("sealed")

    await time.pass_by(29)
    young = followed.current
    await time.pass_by(2)
    old = followed.current
    await time.pass_by(268)
    oldest = followed.current
    await time.pass_by(2)

    assert [secret.stale for secret in (young, old, oldest)] == [False, True, True]
    assert oldest is old
    with pytest.raises(VaultUnavailable) as caught:
        _ = followed.current
    assert caught.value.reason == "sealed"


async def test_after_an_outage_it_is_fresh_within_a_second(followers, vault, time):
    """The loop asks every half second, and tells what has changed meanwhile."""
    followed = join(followers, vault)
    news: list[str] = []
    task = told(followed, news)
    vault.error = VaultUnavailable("sealed")
    await time.pass_by(400)
    vault.write("two")

    await time.pass_by(1)

    assert news == ["2:two"]
    assert not followed.current.stale
    task.cancel()


async def test_an_outage_is_asked_about_by_one_for_all(make, vault, time):
    """Many paths together probe twice a second, all know why there is no answer, and all are
    fresh within 1.2 s of its end.
    """
    followers = make(stale_for=60)
    vault.error = VaultUnavailable("sealed")
    paths = [followers.join("", f"p{n}", vault, first=vault.secret()) for n in range(30)]
    await time.pass_by(31)
    reads = vault.reads

    await time.pass_by(30)

    assert vault.reads - reads <= 2 * 30 + 1
    reasons = set()
    for path in paths:
        with pytest.raises(VaultUnavailable) as caught:
            _ = path.current
        reasons.add(caught.value.reason)
    assert reasons == {"sealed"}

    vault.error = None
    await time.pass_by(1.2)
    assert not any(path.current.stale for path in paths)


async def test_a_vault_that_is_mute_is_a_timeout(followers, vault, time):
    """A read that never ends lets `current` grow stale and end all the same."""
    followed = join(followers, vault)
    vault.gate.clear()

    await time.pass_by(31)
    old = followed.current
    await time.pass_by(270)

    assert old.stale
    with pytest.raises(VaultUnavailable) as caught:
        _ = followed.current
    assert caught.value.reason == "timeout"


async def test_a_lost_login_is_told_as_such(make, vault, time):
    """What `get` would raise, `current` raises, once there is no value to fall back on."""
    followed = join(make(stale_for=0), vault)
    vault.error = AuthenticationLost()

    await time.pass_by(31)

    with pytest.raises(AuthenticationLost):
        _ = followed.current


@pytest.mark.parametrize(
    "error",
    [
        SecretNotFound(path="auth/jwt"),
        SecretDeleted(path="auth/jwt", version=1, destroyed=False),
        AccessDenied(path="auth/jwt"),
    ],
    ids=lambda error: error.code,
)
async def test_no_is_raised_at_once_and_a_return_is_told(
    followers, vault, time, error: SecretsError
):
    """Deleted, missing or denied: no old value is given, nobody's iteration ends, and the same
    data is told when it is back.
    """
    followed = join(followers, vault)
    news: list[str] = []
    task = told(followed, news)
    vault.error = error

    await time.pass_by(27)
    with pytest.raises(type(error)) as caught:
        _ = followed.current
    vault.error = None
    await time.pass_by(33)

    assert caught.value is not error
    assert news == ["1:one"]
    assert followed.current.version == 1
    task.cancel()


async def test_an_outage_does_not_bring_back_what_is_gone(followers, vault, time):
    """After "no", an outage changes nothing: the value stays away, and the reason stays "no"."""
    followed = join(followers, vault)
    vault.error = SecretDeleted(path="auth/jwt", version=1, destroyed=False)
    await time.pass_by(27)
    vault.error = VaultUnavailable("sealed")

    await time.pass_by(33)

    with pytest.raises(SecretDeleted):
        _ = followed.current


async def test_an_answer_that_is_not_vaults_ends_the_value_with_its_fresh_time(
    followers, vault, time
):
    """As with a cached read: no stale value stands in for an error that no retry mends."""
    followed = join(followers, vault)
    vault.error = VaultProtocolError()

    await time.pass_by(29)
    fresh = followed.current
    await time.pass_by(2)

    assert not fresh.stale
    with pytest.raises(VaultProtocolError):
        _ = followed.current


async def test_a_value_is_not_outlived_beyond_its_own_end(make, vault, time):
    """At `expires_at` the value is deleted, fresh or stale, whether or not Vault can say so."""
    followed = join(make(lives=10.0), vault)
    vault.expires_at = WRITTEN
    vault.gate.clear()

    await time.pass_by(9.9)
    before = followed.current
    await time.pass_by(0.2)

    assert not before.stale
    with pytest.raises(SecretDeleted) as caught:
        _ = followed.current
    assert (caught.value.version, caught.value.destroyed) == (1, False)


async def test_clocks_that_differ_do_not_make_a_busy_loop(make, vault, time):
    """A value whose end has passed here, and not at Vault, is asked for twice a second."""
    join(make(lives=0.0), vault)

    await time.pass_by(10)

    assert 15 <= vault.reads <= 25


async def test_what_fails_is_logged_once_and_without_values(followers, vault, time, caplog):
    """The log has a code and a path when a path begins to fail, and not each time."""
    join(followers, vault)
    with caplog.at_level(logging.WARNING, logger="greenlang_secrets"):
        vault.error = SecretNotFound(path="auth/jwt")
        await time.pass_by(100)
        vault.error = VaultUnavailable("sealed")
        await time.pass_by(100)
        vault.error = AccessDenied(path="auth/jwt")
        await time.pass_by(100)

    assert [(record.message, record.code, record.path) for record in caplog.records] == [
        ("following.failed", "secret_not_found", "auth/jwt"),
        ("following.failed", "vault_unavailable", "auth/jwt"),
        ("following.failed", "permission_denied", "auth/jwt"),
    ]


# ---------------------------------------------------------------- without a first value


async def test_without_a_first_value_it_is_read_until_there_is_one(followers, vault, time):
    """What is missing at first begins when it appears, and that is no change."""
    vault.error = SecretNotFound(path="auth/jwt")
    followed = followers.join("", "auth/jwt", vault)
    with pytest.raises(VaultUnavailable):
        _ = followed.current
    await settle()
    with pytest.raises(SecretNotFound):
        _ = followed.current
    missing = followed.begun.is_set()
    vault.error = None

    await time.pass_by(33)

    assert (missing, followed.begun.is_set()) == (False, True)
    assert followed.changes.number == 0
    assert followed.current.version == 1


async def test_who_comes_with_a_value_lets_the_waiting_begin(followers, vault):
    """A first value that another follower has read is everybody's."""
    vault.gate.clear()
    followed = followers.join("", "auth/jwt", vault)

    same = join(followers, vault)

    assert same is followed
    assert followed.begun.is_set()


async def test_a_follower_without_value_leaves_as_any_other(followers, vault, supervisor):
    """A path that never had a value is given up without a trace."""
    vault.error = SecretNotFound(path="auth/jwt")
    followed = followers.join("", "auth/jwt", vault)
    await settle()

    followers.leave(followed)
    await settle()

    assert supervisor.running == 0


# ---------------------------------------------------------------- the end


async def test_a_closed_service_is_followed_no_more(followers, vault, supervisor):
    """Iterations end, `current` and joining are plain errors, leaving still works."""
    followed = join(followers, vault)
    follower = followed.changes.follow(newest=False)

    followers.close()
    await settle()

    assert supervisor.running == 0
    assert [secret async for secret in follower] == []
    with pytest.raises(RuntimeError, match="closed"):
        _ = followed.current
    with pytest.raises(RuntimeError, match="closed"):
        join(followers, vault)
    followers.leave(followed)


async def test_real_time_wakes_the_loop_too(vault, supervisor):
    """Without a clock of the test's own, the loop waits for seconds or for a change."""
    config = CacheConfig(fresh_for=0.1)
    cache: SecretCache[Secret] = SecretCache(
        config, supervisor, size_of=lambda _: 1, as_stale=lambda secret: secret
    )
    followers = Followers(cache, supervisor, config, lives_for=lambda _: float("inf"))
    join(followers, vault)

    while vault.reads < 2:
        await asyncio.sleep(0.01)

    followers.close()


async def test_the_version_in_use_is_what_was_given(followers, vault, supervisor):
    """A path tells the oldest version that somebody who follows it was given last; one that nobody
    follows, and one without a value yet, tells none.
    """
    assert followers.version_of("", "auth/jwt") is None
    vault.error = SecretNotFound()
    waiting = followers.join("", "auth/jwt", vault)
    assert followers.version_of("", "auth/jwt") is None
    followed = join(followers, vault)
    slow = followed.changes.follow()
    await anext(slow)
    assert followers.version_of("", "auth/jwt") == 1

    vault.write("two")
    followers.changed("", "auth/jwt")
    await settle()

    assert followed.current.version == 2
    assert followers.version_of("", "auth/jwt") == 1
    await anext(slow)
    assert followers.version_of("", "auth/jwt") == 2
    followers.leave(waiting)
    followers.leave(followed)
    assert followers.version_of("", "auth/jwt") is None
