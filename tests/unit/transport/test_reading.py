from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import VaultProtocolError, VaultUnavailable
from greenlang_secrets.paths import PLATFORM, ApiPath, KvPath, SecretPath
from greenlang_secrets.transport import (
    MAX_IN_FLIGHT,
    READ_TIMEOUT,
    Transport,
    VaultRequest,
)
from greenlang_secrets.transport.nodes import OPEN_FOR
from support.scripted import DROP, HANG, answer, scripted

X = KvPath.of("secret", PLATFORM, SecretPath.parse("x")).api("data")
READ = VaultRequest(method="GET", path=X)
WRITE = VaultRequest(method="POST", path=X, body={"data": {"k": "v"}})
GOOD = answer(200, b'{"data": {"k": "v"}}')
INDEXED = answer(200, b"{}", extra="X-Vault-Index: aW5kZXg=\r\n")
LAGGING = answer(429, b'{"errors":[]}', extra="Retry-After: 1\r\n")


@asynccontextmanager
async def opened(*addresses: str, **settings: float) -> AsyncIterator[Transport]:
    config = SecretsServiceConfig(
        addresses=addresses,
        **{"request_timeout": 2.0, "connect_timeout": 0.5, **settings},
    )
    async with Transport(config) as transport:
        yield transport


def standby_or(health: int, *script: object):
    """A node that says this of its health, and plays a script for the rest."""
    rest = list(script)

    def respond(head: str) -> object:
        if "/sys/health" in head:
            return answer(health, b"{}")
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return respond


async def seconds_of(work) -> float:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await work
    return loop.time() - begun


# ---------------------------------------------------------------- late


async def test_late_read_is_answered_by_a_second_node():
    """A node that is mute costs a read the time after which it counts as late, not its timeout."""
    async with scripted(HANG) as mute, scripted(GOOD) as well, opened(mute.addr, well.addr) as t:
        spent = await seconds_of(t.send(READ))

    assert 0.2 <= spent < 0.6
    assert (len(mute.requests), len(well.requests)) == (1, 1)


async def test_first_node_may_still_win():
    """A late answer that comes before the second node's is taken."""
    late = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await late.wait()
        writer.write(GOOD)
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(slow, "127.0.0.1", 0)
    first = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener, scripted(HANG) as second, opened(first, second.addr) as transport:
        second.on_request = late.set

        assert (await transport.send(READ)).data == {"k": "v"}


@pytest.mark.parametrize("step", [answer(500), DROP], ids=["500", "drop"])
async def test_second_node_that_fails_is_followed_by_a_third(step):
    """While the first is mute the others are asked one after the other."""
    async with (
        scripted(HANG) as mute,
        scripted(step) as failing,
        scripted(GOOD) as well,
        opened(mute.addr, failing.addr, well.addr) as transport,
    ):
        assert await seconds_of(transport.send(READ)) < 0.6

    assert len(failing.requests) == len(well.requests) == 1


async def test_mute_first_node_is_waited_for_when_the_others_fail():
    """With nobody left to ask, the first one's timeout decides."""
    async with (
        scripted(HANG) as mute,
        scripted(answer(503)) as sealed,
        opened(mute.addr, sealed.addr, request_timeout=0.5) as transport,
    ):
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(READ)

    assert caught.value.reason == "timeout"


async def test_failing_first_node_leaves_the_answer_to_the_second():
    """A first node that fails in the end does not end the read that a second one is answering."""
    asked = asyncio.Event()

    async def failing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asked.wait()
        writer.close()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await asyncio.sleep(0.05)
        writer.write(GOOD)
        await reader.read()
        writer.close()

    listeners = [await asyncio.start_server(each, "127.0.0.1", 0) for each in (failing, slow)]
    addresses = [f"http://127.0.0.1:{each.sockets[0].getsockname()[1]}" for each in listeners]
    async with listeners[0], listeners[1], opened(*addresses) as transport:
        assert (await transport.send(READ)).ok


async def test_frozen_node_does_not_hold_up_hundreds():
    """Of 200 readers who meet a frozen node none waits for its timeout: a few ask a second node on
    the budget, then the circuit opens, and the others move on.
    """
    async with (
        scripted(HANG) as frozen,
        scripted(GOOD) as well,
        opened(frozen.addr, well.addr) as transport,
    ):
        spent = await seconds_of(asyncio.gather(*(transport.send(READ) for _ in range(200))))
        before = len(frozen.requests)
        await asyncio.gather(*(transport.send(READ) for _ in range(50)))

    assert spent < READ_TIMEOUT
    assert len(frozen.requests) - before <= 1
    assert before <= MAX_IN_FLIGHT + 1 + int(spent / OPEN_FOR)  # one trial each time it is over


@pytest.mark.parametrize(
    "request_",
    [
        VaultRequest(method="GET", path=ApiPath("database/creds/app")),
        VaultRequest(method="GET", path=X, wrap_ttl=60),
    ],
    ids=["engine", "wrapped"],
)
async def test_read_that_may_leave_something_behind_is_not_sent_twice_at_once(request_):
    """A GET of an engine may make a credential, and a wrapped one makes a token."""
    async with (
        scripted(HANG) as mute,
        scripted(GOOD) as well,
        opened(mute.addr, well.addr, request_timeout=0.5) as transport,
    ):
        with pytest.raises(VaultUnavailable):
            await transport.send(request_)

    assert well.requests == []


async def test_cancelled_read_leaves_no_attempt():
    """Both attempts end with the caller."""
    async with scripted(HANG) as one, scripted(HANG) as two, opened(one.addr, two.addr) as t:
        read = asyncio.ensure_future(t.send(READ))
        while not two.requests:
            await asyncio.sleep(0.01)
        read.cancel()
        await asyncio.gather(read, return_exceptions=True)
        while t._supervisor.running:
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------- failover


async def test_asking_every_node_once_is_free():
    """Failing over needs no budget: reads go on though one of three nodes fails each time."""
    async with (
        scripted(answer(500)) as one,
        scripted(answer(502)) as two,
        scripted(answer(500)) as three,
        opened(one.addr, two.addr, three.addr) as transport,
    ):
        for _ in range(40):
            with pytest.raises(VaultUnavailable):
                await transport.send(READ)

    # Three for each read; a second round costs, and the budget has 10 and a tenth of a read.
    reads = [seen for node in (one, two, three) for seen in node.requests if "health" not in seen]
    asked = len(reads)
    assert 120 <= asked <= 120 + 3 * 14


@pytest.mark.parametrize("refusal", [answer(307), answer(500)], ids=["redirect", "no-leader"])
async def test_election_without_reads_on_standbys_is_waited_for(refusal):
    """Where standbys serve no reads (HashiCorp's community edition) a read waits for the election,
    within its timeout, and is answered by the node that was elected.
    """
    elected = asyncio.Event()

    def node(leads: bool):  # noqa: FBT001  one of the two
        def respond(head: str) -> object:
            active = leads and elected.is_set()
            if "/sys/health" in head:
                return answer(200 if active else 429, b"{}")
            return GOOD if active else refusal

        return respond

    async with (
        scripted(node(leads=False)) as one,
        scripted(node(leads=True)) as two,
        opened(one.addr, two.addr, request_timeout=5.0) as transport,
    ):
        reads = [asyncio.ensure_future(transport.send(READ)) for _ in range(20)]
        while len(one.requests) < 30:
            await asyncio.sleep(0.01)
        elected.set()
        answers = await asyncio.gather(*reads)

    assert all(each.ok for each in answers)


async def test_active_node_that_fails_reads_is_not_believed_in_for_ever():
    """A full audit device: health says active, reads fail; that is told soon, and not at the end of
    the timeout.
    """
    async with (
        scripted(standby_or(200, answer(500))) as one,
        scripted(standby_or(429, answer(500))) as two,
        opened(one.addr, two.addr, request_timeout=5.0) as transport,
    ):

        async def fails() -> None:
            with pytest.raises(VaultUnavailable) as caught:
                await transport.send(READ)
            assert caught.value.reason == "audit"

        spent = await seconds_of(fails())

    assert spent < 1.0


async def test_node_that_fails_while_another_lags_is_an_election():
    """Behind one address a node lags behind our write, and others have no leader: the read is not
    given up before its timeout.
    """
    async with (
        scripted(INDEXED, LAGGING, answer(500), answer(500), answer(500), GOOD) as balanced,
        opened(balanced.addr, request_timeout=5.0) as transport,
    ):
        await transport.send(WRITE)

        assert (await transport.send(READ)).ok


async def test_answer_that_is_not_vaults_ends_the_read():
    """Garbage from a node is told, and not hidden by asking another."""
    async with (
        scripted(answer(200, b"{")) as bad,
        scripted(GOOD) as well,
        opened(bad.addr, well.addr) as transport,
    ):
        with pytest.raises(VaultProtocolError):
            await transport.send(READ)


# ---------------------------------------------------------------- lag


@pytest.mark.parametrize("lagging", [LAGGING, answer(412, b"{}")], ids=["OpenBao", "Enterprise"])
async def test_node_that_lags_is_asked_again_within_milliseconds(lagging):
    """The second that the node asks to wait is not waited, and the index goes along."""
    async with scripted(INDEXED, lagging, lagging, GOOD) as vault, opened(vault.addr) as t:
        await t.send(WRITE)
        spent = await seconds_of(t.send(READ))

    assert spent < 0.5
    assert len(vault.requests) == 4
    assert all("x-vault-index: aw5kzxg=" in head.lower() for head in vault.heads[1:])
    assert "x-vault-index" not in vault.heads[0].lower()


async def test_quota_is_no_lag_though_an_index_was_sent():
    """A 429 that gives errors is about capacity, and its wait is waited."""
    quota = answer(429, b'{"errors":["too many"]}', extra="Retry-After: 1\r\n")
    async with scripted(INDEXED, quota, GOOD) as vault, opened(vault.addr) as transport:
        await transport.send(WRITE)

        assert await seconds_of(transport.send(READ)) >= 1.0


async def test_412_without_an_index_is_an_answer():
    """Without an index nothing can lag: the status is handed on."""
    async with scripted(answer(412, b"{}")) as vault, opened(vault.addr) as transport:
        assert (await transport.send(READ)).status == 412


async def test_lag_without_end_is_unavailability_in_time():
    """A standby that never gets that far ends the read at its deadline, and gives no old value."""
    async with scripted(INDEXED, LAGGING) as vault, opened(vault.addr, request_timeout=0.5) as t:
        await t.send(WRITE)
        with pytest.raises(VaultUnavailable) as caught:
            await t.send(READ)

    assert caught.value.reason in {"standby", "timeout"}  # the deadline may meet a request
    assert 4 <= len(vault.requests) <= 9


async def test_write_waits_for_a_standby_that_lags():
    """A standby that passes writes on is given the index as well, and asked again when it lags."""
    async with scripted(INDEXED, LAGGING, LAGGING, GOOD) as vault, opened(vault.addr) as t:
        await t.send(WRITE)
        spent = await seconds_of(t.send(WRITE))

    assert spent < 0.5
    assert len(vault.requests) == 4


async def test_consistent_read_looks_for_the_active_node():
    """A read that must be up to date asks the active node, wherever it stands in the list."""
    consistent = VaultRequest(method="GET", path=X, consistent=True)
    async with (
        scripted(standby_or(429, GOOD)) as standby,
        scripted(standby_or(200, GOOD)) as active,
        opened(standby.addr, active.addr) as transport,
    ):
        await transport.send(consistent)
        await transport.send(consistent)

    assert [line for line in standby.requests if "data" in line] == []
    assert active.requests == ["GET /v1/sys/health", *["GET /v1/secret/data/greenlang/x"] * 2]


async def test_consistent_read_is_answered_though_no_node_is_active():
    """During an election any node will do."""
    consistent = VaultRequest(method="GET", path=X, consistent=True)
    async with (
        scripted(standby_or(429, GOOD)) as one,
        scripted(standby_or(429, GOOD)) as two,
        opened(one.addr, two.addr) as transport,
    ):
        assert (await transport.send(consistent)).ok


async def test_state_of_a_sealed_node_does_not_make_it_usable():
    """A sealed node answers for its health; that is no reason to send it reads again."""
    health = VaultRequest(method="GET", path=ApiPath("sys/health"), query="sealedcode=200")
    async with (
        scripted(standby_or(200, answer(503))) as sealed,
        scripted(standby_or(200, GOOD)) as well,
        opened(sealed.addr, well.addr) as transport,
    ):
        await transport.send(READ)
        await transport.send(health)
        await transport.send(READ)

    assert sealed.requests == ["GET /v1/secret/data/greenlang/x"]
