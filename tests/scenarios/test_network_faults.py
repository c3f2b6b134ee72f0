"""What networks do to requests: each fault ends in the right error, in time, and leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

import greenlang_secrets as gs
from greenlang_secrets.paths import PLATFORM, ApiPath, KvPath, SecretPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.testing import Fault, FaultProxy
from greenlang_secrets.transport import MAX_IN_FLIGHT, Transport, VaultRequest

DEADLINE = 1.0
X = KvPath.of("secret", PLATFORM, SecretPath.parse("x")).api("data")
READ = VaultRequest(method="GET", path=X)
WRITE = VaultRequest(method="POST", path=X, body={"data": {"k": "v"}})
LOGIN = VaultRequest(
    method="POST",
    path=ApiPath("auth/approle/login"),
    body={"role_id": "r", "secret_id": "s"},
    repeatable=True,
)
RENEW = VaultRequest(method="POST", path=ApiPath("auth/token/renew-self"), body={}, repeatable=True)
REQUESTS = {"read": READ, "write": WRITE, "login": LOGIN, "renew": RENEW}
"""`write` alone must not be done twice."""

LOST = {
    Fault.DROP_RESPONSE: "network",
    Fault.DROP_HALF: "network",
    Fault.FIN_MID_BODY: "network",
    Fault.RESET: "network",
    Fault.DELAY: "timeout",
    Fault.SLOW_DRIP: "timeout",
    Fault.BLACK_HOLE: "timeout",
}


@pytest.fixture
async def proxy(vault, seed) -> AsyncIterator[FaultProxy]:
    await seed("x")
    async with FaultProxy(vault.addr) as proxy:
        yield proxy


@asynccontextmanager
async def left_clean(*addresses: str) -> AsyncIterator[Transport]:
    """Yield a transport; when it is closed it must have left no task and no socket, and before
    that no connection that is still in use.
    """
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    config = gs.SecretsServiceConfig(
        addresses=addresses, request_timeout=DEADLINE, write_timeout=DEADLINE, connect_timeout=0.5
    )
    async with Transport(config) as transport:
        yield transport
        connections = transport._wire._connections
        assert connections is not None
        while connections.in_use:
            await asyncio.sleep(0.01)
    while open_sockets() > sockets:  # a closed one goes with the next turn of the loop
        await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == tasks


def open_sockets() -> int:
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # it is closed already, as that of this very listing
            found += str(descriptor.readlink()).startswith("socket:")
    return found


async def failed(
    transport: Transport, vault, request: VaultRequest
) -> tuple[gs.SecretsError, float]:
    """Return the error that a request ends in, and how long that took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(gs.SecretsError) as caught:
        await transport.send(request, token=SecretValue(vault.root_token))
    return caught.value, loop.time() - begun


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("fault", LOST, ids=lambda fault: fault.value)
async def test_answer_that_does_not_come_whole(vault, proxy, fault, name):
    """A lost, cut, late or dripping answer is unavailability, or an unknown outcome for what must
    not be done twice; in time, with nothing left behind.
    """
    proxy.inject(fault, seconds=1.5 if fault is Fault.DELAY else 0.2)
    async with left_clean(proxy.addr) as transport:
        error, spent = await failed(transport, vault, REQUESTS[name])

    if name == "write":
        assert isinstance(error, gs.OutcomeUnknown)
        assert proxy.count("POST") == 1
    else:
        assert isinstance(error, gs.VaultUnavailable)
        assert error.reason == LOST[fault]
    assert spent <= DEADLINE * 1.1


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.HUGE], ids=lambda fault: fault.value)
async def test_answer_that_is_not_vaults(vault, proxy, fault, name):
    """What is no answer of Vault's, or has no end, is named as such; of what must not be done twice
    it says nothing, so the outcome is unknown.
    """
    proxy.inject(fault)
    async with left_clean(proxy.addr) as transport:
        error, spent = await failed(transport, vault, REQUESTS[name])

    wanted = gs.OutcomeUnknown if name == "write" else gs.VaultProtocolError
    assert isinstance(error, wanted)
    assert spent <= DEADLINE * 1.1


@pytest.mark.parametrize("name", REQUESTS)
async def test_connection_refused(vault, proxy, name):
    """Nobody listens: nothing was done, and that is known, of a write as well."""
    await proxy.refuse()
    async with left_clean(proxy.addr) as transport:
        error, spent = await failed(transport, vault, REQUESTS[name])

    assert isinstance(error, gs.VaultUnavailable)
    assert error.reason == "network"
    assert spent <= DEADLINE * 1.1


@pytest.mark.parametrize("fault", [Fault.PASS, *LOST, Fault.GARBAGE], ids=lambda each: each.value)
async def test_second_address_makes_up_for_the_first(vault, proxy, fault):
    """With another address that works a read succeeds whatever happens at the first, except where
    that gives an answer that is not Vault's.
    """
    proxy.inject(fault, seconds=1.5 if fault is Fault.DELAY else 0.2)
    token = SecretValue(vault.root_token)
    async with left_clean(proxy.addr, vault.addr) as transport:
        if fault is Fault.GARBAGE:
            with pytest.raises(gs.VaultProtocolError):
                await transport.send(READ, token=token)
        else:
            answers = [await transport.send(READ, token=token) for _ in range(20)]
            assert all(answer.ok for answer in answers)


async def test_slow_vault_sheds_what_it_cannot_take(vault, proxy):
    """When Vault is slow, readers who find no place within the queue's patience are told so, and
    the others within their deadline.
    """
    proxy.inject(Fault.DELAY, path_prefix="secret/data/", seconds=3.0)
    async with left_clean(proxy.addr) as transport:
        failures = await asyncio.gather(
            *(failed(transport, vault, READ) for _ in range(3 * MAX_IN_FLIGHT))
        )

    reasons = {error.reason for error, _ in failures}
    # A busy machine does not accept every connection in time.
    assert {"timeout", "overloaded"} <= reasons <= {"timeout", "overloaded", "network"}
    assert max(spent for _, spent in failures) <= 2 * DEADLINE * 1.1


async def test_slow_vault_is_not_asked_for_what_is_held(vault, proxy):
    """While every place is taken by readers of a slow Vault, held values are given at once."""
    config = gs.SecretsServiceConfig(
        addresses=(proxy.addr,),
        auth=gs.AuthConfig(token=SecretValue(vault.root_token)),
        tenant_token_role=None,
    )
    loop = asyncio.get_running_loop()
    async with gs.SecretsService.open(config) as secrets:
        await secrets.get("x")
        proxy.inject(Fault.BLACK_HOLE, path_prefix="secret/data/")
        cold = [
            asyncio.ensure_future(secrets.get_or_none(f"cold/{number}")) for number in range(1000)
        ]
        while proxy.count("GET", "secret/data/") < MAX_IN_FLIGHT:
            await asyncio.sleep(0.01)

        begun = loop.time()
        held = [await secrets.get("x") for _ in range(1000)]
        spent = loop.time() - begun
        for task in cold:
            task.cancel()
        await asyncio.gather(*cold, return_exceptions=True)

    assert not any(secret.stale for secret in held)
    assert spent < 0.5


@pytest.mark.parametrize(
    ("tells", "interval"), [(True, "2s"), (True, "1s"), (False, "1s")], ids=["tells", "0", "mute"]
)
async def test_quota_is_waited_out(vault, proxy, tells, interval):
    """A rate limit is no failure while its wait fits into the deadline, whether Vault says how
    long, says 0 (the seconds left, cut off) or says nothing.
    """
    await vault.request("POST", "sys/quotas/config", {"enable_rate_limit_response_headers": tells})
    await vault.request(
        "POST", "sys/quotas/rate-limit/reads", {"path": "secret", "rate": 1, "interval": interval}
    )
    token = SecretValue(vault.root_token)
    config = gs.SecretsServiceConfig(addresses=(proxy.addr,))
    async with Transport(config) as transport:
        answers = [await transport.send(READ, token=token) for _ in range(2)]

    assert all(answer.ok for answer in answers)
    assert proxy.count("GET", "secret/data/") > 2
