"""Reading through a standby, which is some tenths of a second behind, what was just written."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

import greenlang_secrets as gs
from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath
from support.scripted import answer, scripted

PAIRS = int(os.environ.get("GREENLANG_SECRETS_TEST_PAIRS", "2000"))
SIDE_BY_SIDE = 25


@pytest.mark.timeout(60 + PAIRS // 20)
async def test_what_was_written_is_read_back_through_a_standby(cluster, config_of):
    """Of 2,000 reads through a standby, each right after a write through it, none is stale."""
    standby = (await cluster.standbys())[0]
    numbers = iter(range(PAIRS))
    stale = []
    slowest = 0.0

    async with gs.SecretsService.open(config_of(cluster.root_token, standby.addr)) as secrets:

        async def write_and_read(path: str) -> None:
            nonlocal slowest
            for number in numbers:
                await secrets.put(path, {"k": str(number)})
                begun = time.monotonic()
                if (await secrets.get(path))["k"].reveal() != str(number):
                    stale.append(number)
                slowest = max(slowest, time.monotonic() - begun)

        await asyncio.gather(*(write_and_read(f"pairs/{n}") for n in range(SIDE_BY_SIDE)))

    assert stale == []
    assert slowest < 1.0  # the second that the standby asks to wait is never waited


async def test_client_that_sends_no_index_reads_stale(cluster):
    """The control: a bare client, writing and reading through the same standby, reads old values."""
    standby = (await cluster.standbys())[0]
    stale = 0

    for number in range(20):
        await standby.request("POST", "secret/data/bare", {"data": {"k": str(number)}})
        _, body = await standby.request("GET", "secret/data/bare")
        stale += body.get("data", {}).get("data") != {"k": str(number)}

    assert stale > 0


async def test_new_secret_is_listed_through_a_standby(cluster, config_of):
    """A listing right after a create shows the new secret, in each folder above it."""
    standby = (await cluster.standbys())[0]

    async with gs.SecretsService.open(config_of(cluster.root_token, standby.addr)) as secrets:
        for number in range(10):
            await secrets.create(f"folder-{number}/below/new", {"k": "v"})

            assert f"folder-{number}/" in {e.path async for e in secrets.list()}
            assert [e.path async for e in secrets.list(f"folder-{number}/below/")] == [
                f"folder-{number}/below/new"
            ]


async def test_without_the_header_the_active_node_is_read_first(config_of):
    """A server that gives no index is sent none, and what was just written is read from the node
    that is active; the rest is still read from the preferred one.
    """
    read = answer(
        200,
        b'{"data": {"data": {"k": "v"}, "metadata": {"version": 1, "created_time": '
        b'"2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": false}}}',
    )
    written = answer(
        200,
        b'{"data": {"version": 2, "created_time": "2026-01-01T00:00:00Z", "deletion_time": "", '
        b'"destroyed": false}}',
    )

    def respond(health: int):
        def choose(head: str) -> bytes:
            if "/sys/health" in head:
                return answer(health, b"{}")
            if "/lookup-self" in head:
                return answer(200, b'{"data": {"ttl": 0, "accessor": "a"}}')
            return written if head.startswith("POST") else read

        return choose

    async with scripted(respond(429)) as standby, scripted(respond(200)) as active:
        config = config_of("t", standby.addr, active.addr)
        async with gs.SecretsService.open(config) as secrets:
            kv = secrets.client.kv(PLATFORM)
            place, other = (
                KvPath.of("secret", PLATFORM, SecretPath.parse(path))
                for path in ("written", "other")
            )
            await kv.write(place, {"k": "v"}, cas=1)
            await kv.read(place)
            await kv.read(other)

    reads = [line for line in active.requests + standby.requests if "/data/" in line]
    assert reads == [
        "POST /v1/secret/data/greenlang/written",
        "GET /v1/secret/data/greenlang/written",
        "GET /v1/secret/data/greenlang/other",
    ]
    assert "GET /v1/secret/data/greenlang/other" in standby.requests
    assert not any("x-vault-index" in head.lower() for head in active.heads + standby.heads)
