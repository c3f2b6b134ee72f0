"""Counting together in a real Valkey, and alone while it is away."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.testing import ValkeyServer
from greenlang_secrets_api import shared_limits
from greenlang_secrets_api.problems import ProblemError
from greenlang_secrets_api.rate_limit import RateLimiter
from greenlang_secrets_api.rate_policies import RateClass, RatePolicies, RatePolicy
from greenlang_secrets_api.shared_limits import SharedLimits

POLICIES = RatePolicies(
    read=RatePolicy(name="read", quota=100, window=60),
    list=RatePolicy(name="list", quota=10, window=60),
    write=None,
)

REPLICA = """
import asyncio, sys
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets_api import shared_limits
from greenlang_secrets_api.problems import ProblemError
from greenlang_secrets_api.rate_limit import RateLimiter
from greenlang_secrets_api.rate_policies import RateClass, RatePolicies, RatePolicy

shared_limits.DEADLINE = 10.0  # a busy machine is no store that is away

async def main(url, subject, quota):
    policies = RatePolicies(read=RatePolicy(name="read", quota=quota, window=60))
    async with RateLimiter.open(url, policies) as limiter:
        print("ready", flush=True)
        sys.stdin.readline()
        allowed = 0
        for _ in range(10 * quota):
            try:
                await limiter.hit("acme", subject, RateClass.READ)
            except ProblemError:
                continue
            allowed += 1
        print(allowed, flush=True)

url = None if sys.argv[1] == "none" else SecretValue(sys.argv[1])
asyncio.run(main(url, sys.argv[2], int(sys.argv[3])))
"""


@pytest.fixture
def subject() -> str:
    return f"app-{secrets.token_hex(4)}"


@pytest.fixture
async def limiter(
    valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RateLimiter]:
    monkeypatch.setattr(shared_limits, "DEADLINE", 10.0)  # a busy machine is no store that is away
    async with RateLimiter.open(SecretValue(valkey_server.url), POLICIES) as limiter:
        yield limiter


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    """One that is this test's alone, and keeps its password over restarts."""
    async with ValkeyServer(data_dir=tmp_path / "valkey") as server:
        yield server


async def asked(url: str) -> int:
    """How many scripts the store has run."""
    async with Redis.from_url(url) as client:
        stats: dict[str, Any] = await client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval"))


async def allowed_of(limiter: RateLimiter, subject: str, rate: RateClass, times: int) -> int:
    allowed = 0
    for _ in range(times):
        try:
            await limiter.hit("acme", subject, rate)
        except ProblemError:
            continue
        allowed += 1
    return allowed


async def replicas(url: str, subject: str, quota: int, number: int = 2) -> list[int]:
    """Return what each of several processes was allowed, all asking at once."""
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", REPLICA, url, subject, str(quota)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(number)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert await asyncio.wait_for(child.stdout.readline(), 30) == b"ready\n"
        results = await asyncio.gather(*(child.communicate(b"go\n") for child in children))
    finally:
        for child in children:
            if child.returncode is None:
                child.kill()
                await child.wait()
    return [int(out) for out, _ in results]


async def test_replicas_share_a_limit(valkey_server: ValkeyServer, subject: str) -> None:
    """Two processes at full speed are allowed 95 % to 100 % together, and 5 % more for each."""
    allowed = await replicas(valkey_server.url, subject, 100)

    assert 95 <= sum(allowed) <= 110
    assert all(allowed)


async def test_replicas_with_a_small_limit_share_it_to_the_request(
    valkey_server: ValkeyServer, subject: str
) -> None:
    """Below 20 each request asks: the sum is exact."""
    assert sum(await replicas(valkey_server.url, subject, 10)) == 10


async def test_replicas_without_a_store_count_alone(subject: str) -> None:
    """The control: the same processes in memory are allowed twice as much."""
    allowed = await replicas("none", subject, 10)

    assert sum(allowed) >= 20


async def test_the_store_holds_no_names(limiter: RateLimiter, valkey_server: ValkeyServer) -> None:
    """Keys are digests that expire; tenants and principals cannot be read there."""
    name = f"somebody-{secrets.token_hex(4)}"
    async with Redis.from_url(valkey_server.url, decode_responses=True) as client:
        before = set(await client.keys("*"))

        await limiter.hit(name, name, RateClass.LIST)

        [key] = set(await client.keys("*")) - before
        assert key.startswith("greenlang-secrets:")
        assert "somebody" not in key
        assert 0 < await client.ttl(key) <= 120


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        (("a", "1:b"), ("a1:", "b")),
        (("", "a"), ("a", "")),
        (("a", "\ud800"), ("a", "?")),
    ],
)
def test_no_two_keys_are_one(one: tuple[str, str], other: tuple[str, str]) -> None:
    """However scope and subject are cut, they are not counted as each other."""
    policy = RatePolicy(name="read", quota=1, window=1)
    longer = RatePolicy(name="rea", quota=1, window=1)

    assert shared_limits._digest(policy, one) != shared_limits._digest(policy, other)
    assert shared_limits._digest(policy, one) != shared_limits._digest(longer, one)
    assert shared_limits._digest(policy, one) == shared_limits._digest(policy, one)


async def test_who_asks_rarely_costs_the_store_nothing(
    limiter: RateLimiter, valkey_server: ValkeyServer, subject: str
) -> None:
    """Up to a twentieth of the limit is used on credit; what comes then brings it all along."""
    before = await asked(valkey_server.url)

    for _ in range(5):
        headers = await limiter.hit("acme", subject, RateClass.READ)
    rarely = await asked(valkey_server.url) - before
    sixth = await limiter.hit("acme", subject, RateClass.READ)

    assert rarely == 0
    assert await asked(valkey_server.url) - before > 0
    assert dict(headers)[b"ratelimit"] == b'"read";r=95;t=57'
    assert dict(sixth)[b"ratelimit"] == b'"read";r=94;t=57'


async def test_who_is_far_over_a_limit_costs_the_store_little(
    limiter: RateLimiter, valkey_server: ValkeyServer, subject: str
) -> None:
    """A refusal counts for a moment without asking again."""
    await allowed_of(limiter, subject, RateClass.LIST, 10)
    before = await asked(valkey_server.url)

    begun = time.monotonic()
    assert await allowed_of(limiter, subject, RateClass.LIST, 500) == 0
    seconds = time.monotonic() - begun

    assert await asked(valkey_server.url) - before <= 2 * (seconds / 0.05 + 2)


async def test_a_refusal_tells_what_to_do(limiter: RateLimiter, subject: str) -> None:
    """The same headers as in memory, with a wait that is within the window."""
    await allowed_of(limiter, subject, RateClass.LIST, 10)

    with pytest.raises(ProblemError) as caught:
        await limiter.hit("acme", subject, RateClass.LIST)

    headers = dict(caught.value.headers)
    assert headers[b"ratelimit-policy"] == b'"list";q=10;w=60'
    assert headers[b"ratelimit"] == b'"list";r=0;t=%b' % headers[b"retry-after"]
    assert 1 <= int(headers[b"retry-after"]) <= 60


async def test_a_cheaper_request_may_still_be_allowed(limiter: RateLimiter, subject: str) -> None:
    """A refused read with a cost of ten does not stand for one that costs one."""
    for _ in range(9):
        await limiter.hit("acme", subject, RateClass.READ, cost=10)
    await limiter.hit("acme", subject, RateClass.READ, cost=4)

    with pytest.raises(ProblemError):
        await limiter.hit("acme", subject, RateClass.READ, cost=10)
    headers = await limiter.hit("acme", subject, RateClass.READ)

    assert dict(headers)[b"ratelimit"].startswith(b'"read";r=5;')


async def test_many_at_once_are_counted_once_each(limiter: RateLimiter, subject: str) -> None:
    """Requests of one principal that come together are not counted beyond the tolerance."""

    async def one() -> bool:
        return await allowed_of(limiter, subject, RateClass.READ, 1) == 1

    allowed = await asyncio.gather(*(one() for _ in range(300)))

    assert 95 <= sum(allowed) <= 105


async def test_failures_of_an_address_are_shared_too(
    valkey_server: ValkeyServer, limiter: RateLimiter, subject: str
) -> None:
    """Ten refusals through one replica are ten for the other as well."""
    for _ in range(10):
        await limiter.refused(subject)
    async with RateLimiter.open(SecretValue(valkey_server.url), POLICIES) as other:
        with pytest.raises(ProblemError) as caught:
            await other.refused(subject)

    assert dict(caught.value.headers)[b"retry-after"] == b"10"


def changes(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None]]:
    return [
        (record.message, getattr(record, "error", None))
        for record in caplog.records
        if record.message.startswith("rate_limit.")
    ]


async def until_back(limiter: RateLimiter) -> None:
    assert limiter._shared is not None
    async with asyncio.timeout(20):
        while limiter._shared.is_away:
            await asyncio.sleep(0.02)


async def test_a_mute_store_is_left_at_once_and_found_again(
    valkey: ValkeyServer, subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A few requests wait for it, the others do not; each change is said once."""
    caplog.set_level(logging.WARNING)
    async with RateLimiter.open(SecretValue(valkey.url), POLICIES) as limiter:
        await limiter.hit("acme", subject, RateClass.LIST)
        await valkey.pause()
        begun = time.monotonic()
        away = await allowed_of(limiter, subject, RateClass.LIST, 200)
        seconds = time.monotonic() - begun
        await valkey.resume()
        await until_back(limiter)
        back = await allowed_of(limiter, subject, RateClass.LIST, 200)

    assert 9 <= away <= 10  # this replica's own count; one may have been counted there before
    assert seconds < 5  # 200 times the deadline is 10
    # One was counted before, unless a busy machine took a second since, and perhaps the few that waited.
    assert 6 <= back <= 10
    assert changes(caplog) == [
        ("rate_limit.store_away", "TimeoutError"),
        ("rate_limit.store_back", None),
    ]


async def test_a_store_that_was_restarted_is_used_again(
    valkey: ValkeyServer, subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its scripts are gone, and loaded anew."""
    caplog.set_level(logging.WARNING)
    async with RateLimiter.open(SecretValue(valkey.url), POLICIES) as limiter:
        await limiter.hit("acme", subject, RateClass.LIST)
        await valkey.kill()
        away = await allowed_of(limiter, subject, RateClass.LIST, 20)
        await valkey.start()
        await until_back(limiter)
        before = await asked(valkey.url)
        await limiter.hit("acme", subject, RateClass.LIST)
        after = await asked(valkey.url)

    assert away == 10
    assert after > before
    assert [name for name, _ in changes(caplog)] == [
        "rate_limit.store_away",
        "rate_limit.store_back",
    ]


async def test_a_store_that_is_not_there_keeps_nothing_from_starting(
    valkey: ValkeyServer, subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said at once, as is a wrong password, which is not shown; it counts in memory."""
    caplog.set_level(logging.WARNING)
    wrong = SecretValue(valkey.url.replace(valkey.password, "hunter2-wrong"))
    async with RateLimiter.open(wrong, POLICIES) as limiter:
        assert await allowed_of(limiter, subject, RateClass.LIST, 20) == 10

    assert changes(caplog) == [("rate_limit.store_away", "AuthenticationError")]
    assert "hunter2" not in caplog.text


async def test_an_ended_connection_is_no_loss(
    valkey: ValkeyServer, subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that the store closed while it was idle is replaced without a word."""
    caplog.set_level(logging.WARNING)
    async with RateLimiter.open(SecretValue(valkey.url), POLICIES) as limiter:
        await limiter.hit("acme", subject, RateClass.LIST)
        async with Redis.from_url(valkey.url) as client:
            await client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await limiter.hit("acme", subject, RateClass.LIST)

    assert changes(caplog) == []


async def test_memory_is_bounded(
    valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many principals the least recently used are forgotten."""
    monkeypatch.setattr(shared_limits, "MAX_TABS", 10)
    policy = RatePolicy(name="read", quota=100, window=60)
    async with SharedLimits.open(SecretValue(valkey_server.url)) as shared:
        for number in range(50):
            await shared.take(policy, ("acme", str(number)), 1)

        assert len(shared._tabs) == 10


async def test_credit_is_for_one_window(valkey_server: ValkeyServer, subject: str) -> None:
    """What was used on credit a window ago is not counted any more."""
    now = 1000.0
    policy = RatePolicy(name="read", quota=100, window=60)
    async with SharedLimits.open(SecretValue(valkey_server.url)) as shared:
        shared._clock = lambda: now
        for _ in range(5):
            await shared.take(policy, (subject,), 1)
        now += 61
        before = await asked(valkey_server.url)

        taken = await shared.take(policy, (subject,), 1)

        assert taken is not None
        assert taken.remaining == 99
        assert await asked(valkey_server.url) == before


async def test_one_late_answer_is_no_loss(
    valkey: ValkeyServer, subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    """That request is counted in memory, and the next asks the store again."""
    caplog.set_level(logging.WARNING)
    async with RateLimiter.open(SecretValue(valkey.url), POLICIES) as limiter:
        await limiter.hit("acme", subject, RateClass.LIST)
        await valkey.pause()
        late = await limiter.hit("acme", subject, RateClass.LIST)
        await valkey.resume()
        next_ = await limiter.hit("acme", subject, RateClass.LIST)

    assert dict(late)[b"ratelimit"].startswith(b'"list";r=9;')  # the memory's first
    assert dict(next_)[b"ratelimit"].split(b";")[1] in {b"r=8", b"r=7"}
    assert changes(caplog) == []


async def test_many_who_wait_at_once_find_it_away_together(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """However many ask when it stops, all are counted in memory, and it is said once."""
    caplog.set_level(logging.WARNING)
    async with RateLimiter.open(SecretValue(valkey.url), POLICIES) as limiter:
        await valkey.pause()
        headers = await asyncio.gather(
            *(limiter.hit("acme", str(number), RateClass.LIST) for number in range(50))
        )
        await valkey.resume()

    assert {dict(each)[b"ratelimit"].split(b";")[1] for each in headers} == {b"r=9"}
    assert changes(caplog) == [("rate_limit.store_away", "TimeoutError")]
