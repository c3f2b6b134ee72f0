"""What the app does while Vault is in trouble: servers of the test's own, and a proxy."""

import pytest
from payments import KEY, Payments

import greenlang_secrets as gs
from greenlang_secrets.testing import Fault


async def test_charges_while_vault_is_sealed(new_vault_server, new_secrets_service, provider):
    """A key that was read serves on, marked stale, while Vault is sealed."""
    vault = await new_vault_server()
    secrets = await new_secrets_service(vault, cache=gs.CacheConfig(fresh_for=0))
    payments = Payments(secrets, provider.send)
    await payments.replace_key("first")
    await payments.charge(1250)

    await vault.seal()

    assert await payments.charge(800)
    assert (await secrets.get(KEY)).stale
    with pytest.raises(gs.VaultUnavailable):
        await secrets.get("api-keys/never-read")


async def test_an_answer_that_is_lost_costs_no_charge(
    vault_fault_proxy, new_secrets_service, seed_secrets, provider
):
    """A read whose answer is lost on the way is asked again."""
    await seed_secrets({KEY: {"key": "first"}})
    secrets = await new_secrets_service(through=vault_fault_proxy)
    vault_fault_proxy.inject(
        Fault.DROP_RESPONSE, times=1, method="GET", path_prefix=secrets.config.kv_mount
    )

    assert await Payments(secrets, provider.send).charge(1250)

    assert vault_fault_proxy.count("GET", secrets.config.kv_mount) == 2


async def test_a_key_is_replaced_during_a_failover(raft_cluster, new_secrets_service, provider):
    """A write waits for the new leader when the old one dies."""
    secrets = await new_secrets_service(raft_cluster, write_timeout=30.0)
    payments = Payments(secrets, provider.send)
    assert await payments.replace_key("zeroth") == 1

    leader = await raft_cluster.leader()
    await leader.kill()

    assert await payments.replace_key("first") == 2
    assert await payments.charge(1250)
