from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import OutcomeUnknown, VaultProtocolError, VaultUnavailable
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport import Transport, VaultRequest, writing
from greenlang_secrets.transport.active import PACE
from support.scripted import DROP, HANG, Scripted, answer, scripted

WRITE = VaultRequest(method="POST", path=ApiPath("secret/data/x"), body={"data": {"k": "v"}})
REPEATABLE = VaultRequest(method="POST", path=ApiPath("auth/approle/login"), repeatable=True)
GOOD = answer(200, b"{}")


@asynccontextmanager
async def opened(*addresses: str, **settings: float) -> AsyncIterator[Transport]:
    config = SecretsServiceConfig(
        addresses=addresses,
        **{"request_timeout": 1.0, "write_timeout": 2.0, "connect_timeout": 0.5, **settings},
    )
    async with Transport(config) as transport:
        yield transport


class Node:
    """What a scripted node answers: its health, and to writes; both may change."""

    def __init__(self, health: int, write: object) -> None:
        self.health = health
        self.write = write

    def __call__(self, head: str) -> object:
        if "/sys/health" not in head:
            return self.write
        return answer(self.health, b"{}") if isinstance(self.health, int) else self.health


def refused() -> str:
    """An address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def redirect(addr: str) -> bytes:
    return answer(307, extra=f"Location: {addr}/v1/secret/data/x\r\n")


def writes(server: Scripted) -> int:
    return sum(line.startswith("POST") for line in server.requests)


def probes(server: Scripted) -> int:
    return sum("/sys/health" in line for line in server.requests)


async def seconds_of(work) -> float:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await work
    return loop.time() - begun


# ---------------------------------------------------------------- to the active node


async def test_writes_go_to_the_active_node_and_reads_stay():
    """The active node is asked for once, and then written to."""
    read = VaultRequest(method="GET", path=ApiPath("kv/x"))
    async with (
        scripted(Node(429, GOOD)) as standby,
        scripted(Node(200, GOOD)) as active,
        opened(standby.addr, active.addr) as transport,
    ):
        for _ in range(3):
            await transport.send(WRITE)
            await transport.send(read)

    assert (writes(standby), writes(active)) == (0, 3)
    assert (probes(standby), probes(active)) == (1, 1)
    assert standby.requests.count("GET /v1/kv/x") == 3


async def test_active_node_that_a_standby_names_is_used_if_it_is_configured():
    """A 307 to one of our addresses says who is active; the same body goes there, once."""
    async with (
        scripted(Node(200, GOOD)) as active,
        scripted(Node(200, redirect(active.addr))) as former,
        opened(former.addr, active.addr) as transport,
    ):
        active_node = active.script[0]
        active_node.health = 429
        await transport.send(WRITE, token=SecretValue("hvs.t"))

    assert (writes(former), writes(active)) == (1, 1)
    assert json.loads(active.bodies[-1]) == {"data": {"k": "v"}}
    assert probes(former) == 1


async def test_address_that_is_not_configured_is_never_contacted():
    """A 307 elsewhere is information: the active node is looked for among our own."""
    async with scripted(GOOD) as elsewhere:
        async with (
            scripted(Node(200, redirect(elsewhere.addr))) as former,
            scripted(Node(429, GOOD)) as next_,
            opened(former.addr, next_.addr) as transport,
        ):

            def takes_over() -> None:
                former.script[0].health, next_.script[0].health = 429, 200

            former.on_request = lambda: takes_over() if writes(former) else None
            await transport.send(WRITE, token=SecretValue("hvs.t"))

        assert elsewhere.requests == []
    assert (writes(former), writes(next_)) == (1, 1)


async def test_two_nodes_that_name_each_other_are_not_a_storm():
    """Hints are followed at once only so often; then a backoff counts, until the time is over."""
    async with scripted(Node(200, GOOD)) as one, scripted(Node(200, GOOD)) as two:
        one.script[0].write = redirect(two.addr)
        two.script[0].write = redirect(one.addr)
        async with opened(one.addr, two.addr, write_timeout=1.0) as transport:
            with pytest.raises(VaultUnavailable) as caught:
                await transport.send(WRITE)

    assert caught.value.reason == "standby"
    assert writes(one) + writes(two) < 30


# ---------------------------------------------------------------- while there is none


async def test_writers_wait_for_an_election_together():
    """However many writers wait, the nodes are asked once a tenth of a second, and each write is
    sent once when there is a leader.
    """
    async with (
        scripted(Node(429, redirect("http://127.0.0.1:1"))) as one,
        scripted(Node(429, GOOD)) as two,
        opened(one.addr, two.addr) as transport,
    ):
        calls = [asyncio.ensure_future(transport.send(WRITE)) for _ in range(100)]
        while probes(two) < 5:
            await asyncio.sleep(0.01)
        assert writes(one) + writes(two) == 0
        two.script[0].health = 200
        await asyncio.gather(*calls)

    assert (writes(one), writes(two)) == (0, 100)
    assert probes(two) <= 8


async def test_readers_are_not_kept_out_by_writers_who_wait():
    """A writer holds no place while there is nobody to send its write to."""
    read = VaultRequest(method="GET", path=ApiPath("kv/x"))
    async with (
        scripted(Node(429, GOOD)) as one,
        scripted(Node(429, GOOD)) as two,
        opened(one.addr, two.addr) as transport,
    ):
        calls = [asyncio.ensure_future(transport.send(WRITE)) for _ in range(100)]
        while not probes(two):
            await asyncio.sleep(0.01)

        assert await seconds_of(transport.send(read)) < 0.5
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_election_without_end_is_unavailability_in_time():
    """Nothing was done, and that is said when the time for a write is over."""
    async with (
        scripted(Node(429, GOOD)) as one,
        scripted(Node(429, GOOD)) as two,
        opened(one.addr, two.addr, write_timeout=0.5) as transport,
    ):
        begun = asyncio.get_running_loop().time()
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(WRITE)
        spent = asyncio.get_running_loop().time() - begun

    assert caught.value.reason == "standby"
    assert 0.4 <= spent <= 0.55
    assert writes(one) + writes(two) == 0
    assert probes(one) <= 0.5 / PACE + 1


async def test_single_standby_is_asked_again_until_it_passes_writes_on():
    """Behind one address, such as a load balancer's, a 307 is waited out with a backoff."""
    async with (
        scripted(answer(307), answer(307), GOOD) as vault,
        opened(vault.addr) as transport,
    ):
        assert (await transport.send(WRITE)).ok

    assert writes(vault) == 3


async def test_cluster_that_is_sealed_or_gone_fails_writes_at_once():
    """No election brings back nodes that are sealed or refuse connections."""
    async with scripted(answer(503)) as sealed, opened(sealed.addr, refused()) as transport:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(WRITE)
        spent = asyncio.get_running_loop().time() - begun

    assert caught.value.reason in {"sealed", "network"}
    assert spent < 0.3


async def test_mute_nodes_are_not_waited_for_beyond_the_deadline():
    """A cluster that says nothing at all is a timeout."""
    async with (
        scripted(HANG) as one,
        scripted(HANG) as two,
        opened(one.addr, two.addr, write_timeout=1.2) as transport,
    ):
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(WRITE)

    assert caught.value.reason == "timeout"


async def test_probe_that_is_answered_with_garbage_finds_the_active_node_elsewhere():
    """A node that speaks no HTTP, or another status than Vault's, is not active."""
    async with (
        scripted(b"garbage\r\n\r\n") as garbage,
        scripted(Node(404, GOOD)) as other,
        scripted(Node(200, GOOD)) as active,
        opened(garbage.addr, other.addr, active.addr) as transport,
    ):
        assert (await transport.send(WRITE)).ok

    assert (writes(garbage), writes(other), writes(active)) == (0, 0, 1)


# ---------------------------------------------------------------- only standbys are configured


async def test_standbys_that_pass_writes_on_are_found_out(monkeypatch):
    """Where no configured node is active one write is tried at a standby; when that passes it on,
    the others follow at once.
    """
    monkeypatch.setattr(writing, "SCOUT_AFTER", 0.2)
    async with (
        scripted(Node(429, GOOD)) as one,
        scripted(Node(429, GOOD)) as two,
        opened(one.addr, two.addr) as transport,
    ):
        await asyncio.gather(*(transport.send(WRITE) for _ in range(20)))
        again = await seconds_of(transport.send(WRITE))

    assert writes(one) + writes(two) == 21
    assert 0 in {writes(one), writes(two)}
    assert again < 0.15


async def test_one_scout_at_a_time_is_sent_to_a_standby(monkeypatch):
    """While it is not known whether a standby passes writes on, many writers are no storm."""
    monkeypatch.setattr(writing, "SCOUT_AFTER", 0.1)
    async with (
        scripted(Node(429, answer(307))) as one,
        scripted(Node(429, answer(307))) as two,
        opened(one.addr, two.addr, write_timeout=1.0) as transport,
    ):
        calls = [transport.send(WRITE) for _ in range(50)]
        failures = await asyncio.gather(*calls, return_exceptions=True)

    # The very last one may be under way when its time is over.
    assert [type(failure) for failure in failures].count(VaultUnavailable) >= 49
    assert 1 <= writes(one) + writes(two) <= 60  # ten rounds, and not fifty writers in each


# ---------------------------------------------------------------- unknown outcomes


async def test_write_of_unknown_outcome_is_not_sent_to_another_node():
    """It may have been done: only its sender can tell whether doing it twice matters."""
    async with (
        scripted(Node(200, DROP)) as active,
        scripted(Node(429, GOOD)) as standby,
        opened(active.addr, standby.addr) as transport,
    ):
        with pytest.raises(OutcomeUnknown):
            await transport.send(WRITE)

    assert (writes(active), writes(standby)) == (1, 0)


async def test_answer_to_a_write_that_is_not_vaults_leaves_the_outcome_unknown():
    """Garbage says nothing of what was done; where that does not matter it is told as garbage."""
    async with scripted(answer(200, b"{")) as vault, opened(vault.addr) as transport:
        with pytest.raises(OutcomeUnknown):
            await transport.send(WRITE)
        with pytest.raises(VaultProtocolError):
            await transport.send(REPEATABLE)


async def test_repeatable_write_goes_to_the_next_active_node():
    """When the active node's answer is lost, the active node is looked for anew."""
    async with (
        scripted(Node(200, DROP)) as former,
        scripted(Node(429, GOOD)) as next_,
        opened(former.addr, next_.addr) as transport,
    ):

        def takes_over() -> None:
            former.script[0].health, next_.script[0].health = 429, 200

        former.on_request = lambda: takes_over() if writes(former) else None
        assert (await transport.send(REPEATABLE)).ok

    assert (writes(former), writes(next_)) == (1, 1)


async def test_repeatable_write_that_fails_twice_with_500_is_given_up():
    """A full audit device answers 500 to everything."""
    async with scripted(answer(500)) as vault, opened(vault.addr) as transport:
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(REPEATABLE)

    assert caught.value.reason == "audit"
    assert writes(vault) == 2


async def test_repeatable_write_is_not_repeated_without_end():
    """Few tries, then the caller is told."""
    async with scripted(DROP) as vault, opened(vault.addr) as transport:
        with pytest.raises(VaultUnavailable) as caught:
            await transport.send(REPEATABLE)

    assert caught.value.reason == "network"
    assert writes(vault) == 4


async def test_write_over_the_quota_is_sent_again_when_its_wait_is_over():
    """A 429 was not done; the wait that Vault asks for is waited within the request's timeout."""
    quota = answer(429, b'{"errors":["quota"]}', extra="Retry-After: 1\r\n")
    async with scripted(quota, GOOD) as vault, opened(vault.addr, request_timeout=2.0) as t:
        assert await seconds_of(t.send(WRITE)) >= 1.0
