"""What is counted under which key, and what the answer tells of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from greenlang_secrets_api.answers import Header
from greenlang_secrets_api.problems import ProblemError
from greenlang_secrets_api.rate_limit import RateLimiter
from greenlang_secrets_api.rate_policies import RateClass, RatePolicies, RatePolicy

DEFAULTS = RatePolicies()


class Clock:
    """A clock that a test turns."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> RateLimiter:
    return RateLimiter(DEFAULTS, clock=clock)


async def refusal(
    limiter: RateLimiter, *where: str, rate: RateClass, path: str | None = None
) -> dict[bytes, bytes]:
    with pytest.raises(ProblemError) as caught:
        await limiter.hit(*where, rate, path=path)
    assert caught.value.code == "rate_limited"
    return as_dict(caught.value.headers)


def as_dict(headers: tuple[Header, ...]) -> dict[bytes, bytes]:
    assert len({name for name, _ in headers}) == len(headers)
    return dict(headers)


async def test_an_answer_tells_the_limit_and_what_is_left(limiter: RateLimiter) -> None:
    """The fields are structured, and the window is the time in which what is left comes back."""
    first = as_dict(await limiter.hit("acme", "app", RateClass.READ))
    for _ in range(225):
        await limiter.hit("acme", "app", RateClass.READ)
    later = as_dict(await limiter.hit("acme", "app", RateClass.READ))

    assert first == {
        b"ratelimit-policy": b'"read";q=400;w=2',
        b"ratelimit": b'"read";r=399;t=2',
    }
    assert later[b"ratelimit"] == b'"read";r=173;t=1'


async def test_one_too_many_is_refused_until_it_comes_back(
    limiter: RateLimiter, clock: Clock
) -> None:
    """429 with `Retry-After`, which is not before the end of the window it names."""
    for _ in range(10):
        await limiter.hit("acme", "app", RateClass.LIST)

    refused = await refusal(limiter, "acme", "app", rate=RateClass.LIST)
    clock.now += 0.11
    again = as_dict(await limiter.hit("acme", "app", RateClass.LIST))

    assert refused == {
        b"ratelimit-policy": b'"list";q=10;w=1',
        b"ratelimit": b'"list";r=0;t=1',
        b"retry-after": b"1",
    }
    assert again[b"ratelimit"] == b'"list";r=0;t=1'


async def test_a_fresh_read_counts_as_ten(limiter: RateLimiter) -> None:
    """40 of them use up what 400 cached reads may."""
    for _ in range(40):
        headers = await limiter.hit("acme", "app", RateClass.READ, cost=10)

    assert as_dict(headers)[b"ratelimit"] == b'"read";r=0;t=1'
    await refusal(limiter, "acme", "app", rate=RateClass.READ)


@pytest.mark.parametrize(
    "other",
    [
        ("globex", "app", RateClass.LIST),
        ("acme", "batch", RateClass.LIST),
        ("acme", "app", RateClass.WRITE),
        ("", "app", RateClass.LIST),
        ("acmeapp", "", RateClass.LIST),
        ("acm", "eapp", RateClass.LIST),
        ("acme", "app\x00", RateClass.LIST),
        ("acme/app", "", RateClass.LIST),
    ],
)
async def test_each_scope_principal_and_class_has_its_own(
    other: tuple[str, str, RateClass], limiter: RateLimiter
) -> None:
    """Whatever a subject holds, nobody is counted as somebody else."""
    for _ in range(10):
        await limiter.hit("acme", "app", RateClass.LIST)
    await refusal(limiter, "acme", "app", rate=RateClass.LIST)  # the control

    headers = await limiter.hit(*other)

    assert as_dict(headers)[b"ratelimit"].split(b";")[1] in {b"r=9", b"r=19"}


async def test_a_rotation_counts_for_the_principal_and_for_the_path(limiter: RateLimiter) -> None:
    """One a minute for a path in a scope, whoever asks; both limits are told."""
    first = await limiter.hit("acme", "app", RateClass.ROTATE, path="db/main")

    same = await refusal(limiter, "acme", "batch", rate=RateClass.ROTATE, path="db/main")
    other = await limiter.hit("acme", "app", RateClass.ROTATE, path="db/other")
    elsewhere = await limiter.hit("globex", "app", RateClass.ROTATE, path="db/main")

    assert as_dict(first) == {
        b"ratelimit-policy": b'"rotate";q=10;w=60, "rotate-path";q=1;w=60',
        b"ratelimit": b'"rotate";r=9;t=54, "rotate-path";r=0;t=60',
    }
    assert same[b"retry-after"] == b"60"
    assert same[b"ratelimit"] == b'"rotate";r=9;t=54, "rotate-path";r=0;t=60'
    assert as_dict(other)[b"ratelimit"].startswith(b'"rotate";r=8;')
    assert as_dict(elsewhere)[b"ratelimit"].startswith(b'"rotate";r=9;')


async def test_a_principal_over_its_limit_takes_no_turn_of_a_path(limiter: RateLimiter) -> None:
    """What is refused for the principal is not counted for the path."""
    for number in range(10):
        await limiter.hit("acme", "greedy", RateClass.ROTATE, path=f"db/{number}")

    refused = await refusal(limiter, "acme", "greedy", rate=RateClass.ROTATE, path="db/main")
    other = await limiter.hit("acme", "app", RateClass.ROTATE, path="db/main")

    assert refused[b"ratelimit"] == b'"rotate";r=0;t=6'
    assert other


async def test_a_path_counts_only_where_its_class_says_so(limiter: RateLimiter) -> None:
    """A path beside another class changes nothing."""
    headers = await limiter.hit("acme", "app", RateClass.WRITE, path="db/main")

    assert as_dict(headers)[b"ratelimit-policy"] == b'"write";q=20;w=1'


async def test_a_limit_that_is_off_says_nothing(clock: Clock) -> None:
    """No limit, no header; the others stay."""
    limiter = RateLimiter(replace(DEFAULTS, list=None, failed_auth=None), clock=clock)

    for _ in range(1000):
        assert await limiter.hit("acme", "app", RateClass.LIST) == ()
        await limiter.refused("192.0.2.1")
    assert await limiter.hit("acme", "app", RateClass.READ) != ()


async def refused_for(limiter: RateLimiter, address: str) -> int:
    """Seconds that an address is told to stay away, 0 for a plain 401."""
    try:
        await limiter.refused(address)
    except ProblemError as problem:
        headers = as_dict(problem.headers)
        assert headers[b"ratelimit"] == b'"failed-auth";r=0;t=%b' % headers[b"retry-after"]
        return int(headers[b"retry-after"])
    return 0


async def test_failures_of_an_address_are_told_to_wait_ever_longer(
    limiter: RateLimiter, clock: Clock
) -> None:
    """Ten a minute are plain 401s; then 10 s, doubled each time, at most 15 minutes."""
    told = [await refused_for(limiter, "192.0.2.1") for _ in range(19)]
    other = await refused_for(limiter, "192.0.2.2")

    assert told == [0] * 10 + [10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert other == 0


async def test_whoever_stays_away_begins_anew(limiter: RateLimiter, clock: Clock) -> None:
    """After the time it was told an address fails as at first; the rise is forgotten later."""
    for _ in range(12):
        await refused_for(limiter, "192.0.2.1")

    clock.now += 21  # it was told 20 s
    soon = [await refused_for(limiter, "192.0.2.1") for _ in range(5)]
    clock.now += 120
    later = [await refused_for(limiter, "192.0.2.1") for _ in range(11)]

    assert soon == [0, 0, 0, 40, 80]
    assert later == [0] * 10 + [160]
    clock.now += 400
    assert [await refused_for(limiter, "192.0.2.1") for _ in range(11)] == [0] * 10 + [10]


async def test_addresses_of_one_host_count_as_one(limiter: RateLimiter) -> None:
    """A /64 of IPv6 is one host's; the next one is another's."""
    for number in range(10):
        assert await refused_for(limiter, f"2001:db8::{number}") == 0

    assert await refused_for(limiter, "2001:db8::ffff") == 10
    assert await refused_for(limiter, "2001:db8:0:1::1") == 0


async def test_failures_of_many_addresses_are_bounded(clock: Clock) -> None:
    """What was told to addresses is forgotten when it has passed, or when it is too much."""
    one = RatePolicy(name="failed-auth", quota=1, window=1)
    limiter = RateLimiter(replace(DEFAULTS, failed_auth=one), clock=clock)
    for _ in range(2):
        for number in range(1000):
            await refused_for(limiter, f"198.51.{number // 256}.{number % 256}")
    assert len(limiter._refusals) == 1000

    limiter._refusals._most = 600
    for number in range(400):
        await refused_for(limiter, f"203.0.{number // 256}.{number % 256}")
        await refused_for(limiter, f"203.0.{number // 256}.{number % 256}")

    assert len(limiter._refusals) <= 1000 - 400 + 400
    clock.now += 10_000
    for number in range(600):
        await refused_for(limiter, f"192.0.{number // 256}.{number % 256}")
        await refused_for(limiter, f"192.0.{number // 256}.{number % 256}")
    assert len(limiter._refusals) == 600
