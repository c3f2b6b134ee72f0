"""What is exported of a service on a real Vault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import greenlang_secrets as gs
from greenlang_secrets.telemetry import Instruments
from greenlang_secrets.testing import Fault
from greenlang_secrets.transport import states
from support.mounts import mounted

NODE_STATES = ("active", "standby", "sealed", "uninitialized", "unreachable")


class Collected:
    """What an exporter gets of all services of this process."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider(metric_readers=[self.reader], shutdown_on_exit=False)
        Instruments(self.provider)

    def points(self, name: str) -> dict[tuple[str, ...], Any]:
        """The values of an instrument by its labels' values, in the order of the labels' names;
        of a histogram, how many there are.
        """
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            tuple(str(value) for _, value in sorted((point.attributes or {}).items())): (
                getattr(point, "count", None) or getattr(point, "value", 0)
            )
            for metric in data.resource_metrics[0].scope_metrics[0].metrics
            if metric.name == name
            for point in metric.data.data_points
        }

    def reads(self) -> int:
        """Reads that reached Vault."""
        return int(self.points("gl_secrets_operation_duration").get(("read",), 0))

    def counted(self, operation: str, secret_type: str, result: str = "ok") -> int:
        """Operations of this process, of whatever test."""
        points = self.points("gl_secrets_operations")
        return int(points.get((operation, result, secret_type), 0))


@pytest.fixture
def collected() -> Any:
    collected = Collected()
    yield collected
    collected.provider.shutdown()


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
async def renewed(vault_server, config) -> AsyncIterator[gs.SecretsService]:
    """A service with a token of three seconds that may be renewed for ever."""
    status, body = await vault_server.request(
        "POST", "auth/token/create", {"period": "3s", "policies": ["default"]}
    )
    assert status == 200
    auth = gs.AuthConfig(token=gs.SecretValue(body["auth"]["client_token"]))
    async with gs.SecretsService.open(replace(config, auth=auth)) as service:
        yield service


# ---------------------------------------------------------------- durations and operations


async def test_what_the_cache_answers_is_not_in_the_histogram(collected, secrets):
    """A read that goes to Vault is in it, once; hits, however many, are not."""
    await secrets.create("x", {"k": "v"})
    await secrets.get("x")
    assert collected.reads() == 1  # the control

    for _ in range(20):
        await secrets.get("x")
        await secrets.get("x", max_age=60)

    assert collected.reads() == 1
    assert collected.points("gl_secrets_operation_duration")["create",] == 1


async def test_many_who_wait_for_one_load_are_recorded_once(collected, secrets):
    """Vault was asked once."""
    await secrets.create("x", {"k": "v"})

    await asyncio.gather(*(secrets.get("x") for _ in range(10)))

    assert collected.reads() == 1
    assert secrets.cache.stats().coalesced == 9


async def test_remembered_error_is_not_in_the_histogram(collected, config):
    """What is known to be missing asks nobody, and what is refused before it is sent neither."""
    cache = gs.CacheConfig(missing_for=60, denied_for=60)
    async with gs.SecretsService.open(replace(config, cache=cache)) as service:
        for _ in range(5):
            with pytest.raises(gs.SecretNotFound):
                await service.get("missing")
        with pytest.raises(gs.InvalidPath):
            await service.get("../x")

        assert collected.reads() == 1
        assert service.tally.totals()["read", "generic", "not_found"] == 5
        assert service.tally.totals()["read", "generic", "invalid"] == 1


async def test_load_behind_a_follower_is_recorded(collected, secrets):
    """What is loaded ahead of time is most of what a warm cache asks of Vault."""
    await secrets.create("x", {"k": "v"})
    handle = await secrets.hold("x")
    before = collected.reads()

    await secrets.put("x", {"k": "w"})

    assert handle.current["k"].reveal() == "w"
    assert before == 1
    assert collected.reads() == 2
    await handle.release()


async def test_encryption_is_counted_and_timed(collected, secrets, vault_server):
    """One operation each, also of many items; a rewrap is an encryption."""
    async with mounted(vault_server, "transit") as mount:
        await vault_server.request("POST", f"{mount}/keys/pii", {})
        key = secrets.encryption_key("pii", mount=mount)

        encrypted = await key.encrypt("x")
        await key.encrypt_many(["x", "y"])
        await key.rewrap(encrypted)
        await key.decrypt(encrypted)
        await key.decrypt_many([encrypted])
        with pytest.raises(gs.CiphertextRefused):
            await key.decrypt("vault:v1:nonsense")

    totals = secrets.tally.totals()
    assert totals["encrypt", "encryption_key", "ok"] == 3
    assert totals["decrypt", "encryption_key", "ok"] == 2
    assert totals["decrypt", "encryption_key", "invalid"] == 1
    durations = collected.points("gl_secrets_operation_duration")
    assert (durations["encrypt",], durations["decrypt",]) == (3, 3)


async def test_login_is_the_first_that_is_timed(collected, config):
    """So the histogram is there from the start of the service."""
    logins = collected.counted("login", "service_token")

    async with gs.SecretsService.open(config):
        assert collected.points("gl_secrets_operation_duration") == {("login",): 1}
        assert collected.counted("login", "service_token") == logins + 1


# ---------------------------------------------------------------- tokens and leases


async def test_renewals_are_counted(collected, renewed):
    """The first login and each renewal; the time left never gets to an end."""
    tally = renewed.tally
    await until(lambda: tally.renewals["success"] >= 3)

    assert collected.points("gl_vault_auth_renewals")["success",] >= 3
    assert collected.points("gl_vault_token_ttl")[()] > 0
    assert tally.totals()["renew", "service_token", "ok"] >= 2
    assert collected.points("gl_secrets_operation_duration")["renew",] >= 2


async def test_own_token_is_a_lease(collected, renewed):
    """With the time that is left of it, and that it was granted."""
    left = collected.points("gl_vault_lease_ttl")["service_token",]
    granted = collected.points("gl_vault_lease_granted")["service_token",]

    assert 0 < left <= 3
    assert granted == 3
    assert collected.points("gl_vault_leases")["service_token",] == 1


async def test_held_certificate_is_a_lease(collected, secrets, vault_server):
    """From its issue until it is let go of."""
    async with mounted(vault_server, "pki") as mount:
        for path, body in (
            ("root/generate/internal", {"common_name": "Test CA", "key_type": "ec"}),
            (
                "roles/web",
                {"allowed_domains": ["localhost"], "allow_bare_domains": True, "key_type": "ec"},
            ),
        ):
            status, _ = await vault_server.request("POST", f"{mount}/{path}", body)
            assert status == 200
        held = await secrets.hold_certificate("web", common_name="localhost", ttl=600, mount=mount)
        left = collected.points("gl_vault_lease_ttl")["certificate",]
        count = collected.points("gl_vault_leases")["certificate",]
        await held.release()

    assert 500 < left <= 631
    assert count == 1
    assert ("certificate",) not in collected.points("gl_vault_lease_ttl")
    assert secrets.tally.totals()["issue", "certificate", "ok"] == 1


# ---------------------------------------------------------------- nodes


def state_of(collected: Collected) -> str:
    """The state that is 1, of the one node."""
    found = collected.points("gl_vault_node_state")
    return next((state for (_, state), value in found.items() if value == 1), "none")


async def test_seal_is_seen_within_a_round(collected, config, new_vault_server):
    """Though nobody reads anything: the node is sealed, not up, and no real request can work; and
    all is well again after it was unsealed.
    """
    server = await new_vault_server()
    auth = gs.AuthConfig(token=gs.SecretValue(server.root_token))
    config = replace(config, addresses=(server.addr,), auth=auth, kv_mount="cubbyhole")
    async with gs.SecretsService.open(config) as service:
        assert collected.points("gl_vault_node_state") == {}  # the control: nobody has asked
        service.watch_vault()
        await until(lambda: state_of(collected) == "active")
        node = server.addr.removeprefix("http://")
        assert collected.points("gl_vault_up") == {(node,): 1}
        assert len(collected.points("gl_vault_node_state")) == len(NODE_STATES)

        await server.seal()
        await until(lambda: state_of(collected) == "sealed", states.ASKED_EVERY + 2)

        assert collected.points("gl_vault_up") == {(node,): 0}
        assert collected.points("gl_vault_canary_success") == {(): 0}
        await server.unseal()
        await until(lambda: state_of(collected) == "active", states.ASKED_EVERY + 2)
    assert collected.points("gl_vault_up") == {}


async def test_health_tells_the_canary_as_well(collected, secrets):
    """Who asks for the health has made a real request."""
    assert collected.points("gl_vault_canary_success") == {}

    await secrets.health()

    assert collected.points("gl_vault_canary_success") == {(): 1}


# ---------------------------------------------------------------- processes


async def test_two_services_add_up_and_a_closed_one_stays(collected, config):
    """Their hits are one counter, which does not fall when one of them closes; gauges do."""
    hits = collected.points("gl_secrets_cache_hits")[()]
    async with gs.SecretsService.open(config) as first:
        await first.create("x", {"k": "v"})
        async with gs.SecretsService.open(config) as second:
            for service, reads in ((first, 3), (second, 5)):
                for _ in range(reads + 1):
                    await service.get("x")

            assert collected.points("gl_secrets_cache_hits")[()] == hits + 8
            assert collected.points("gl_secrets_cache_entries")[()] == 2

        assert collected.points("gl_secrets_cache_hits")[()] == hits + 8
        assert collected.points("gl_secrets_cache_entries")[()] == 1
        revoked = collected.counted("revoke", "service_token")
    assert collected.counted("revoke", "service_token") == revoked  # a given token is not ours


async def test_requests_are_seen_in_flight(collected, config, vault_fault_proxy):
    """From when they are sent until they are answered, or given up."""
    config = replace(config, addresses=(vault_fault_proxy.addr,), request_timeout=1.0)
    async with gs.SecretsService.open(config) as service:
        assert collected.points("gl_vault_requests_in_flight") == {(): 0}
        vault_fault_proxy.inject(Fault.BLACK_HOLE)
        reading = asyncio.ensure_future(service.get("x"))
        await until(lambda: collected.points("gl_vault_requests_in_flight") == {(): 1})

        reading.cancel()
        vault_fault_proxy.clear()
        await until(lambda: collected.points("gl_vault_requests_in_flight") == {(): 0})
