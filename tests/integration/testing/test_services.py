from __future__ import annotations

import time
from dataclasses import replace

import pytest

import greenlang_secrets as gs
from greenlang_secrets.testing import (
    ExternalVault,
    Fault,
    FaultProxy,
    NewSecretsService,
    OpenBaoServer,
    RaftCluster,
    SeedSecrets,
    ServerError,
    services,
)
from greenlang_secrets.testing.witness import VaultWitness


async def test_seeds_are_read(
    secrets_service: gs.SecretsService, seed_secrets: SeedSecrets
) -> None:
    """What is seeded stands at once where the service reads, for the platform and for a tenant."""
    await seed_secrets({"a": {"k": "1"}, "b/c": {"k": "2"}})
    await seed_secrets({"a": {"k": "3"}}, tenant="acme", type=gs.SecretType.API_KEY)

    acme = await secrets_service.for_tenant("acme").get("a")

    assert (await secrets_service.get("a"))["k"].reveal() == "1"
    assert (await secrets_service.get("b/c"))["k"].reveal() == "2"
    assert (acme["k"].reveal(), acme.type) == ("3", gs.SecretType.API_KEY)


async def test_seeding_again_is_a_new_version(
    secrets_service: gs.SecretsService, seed_secrets: SeedSecrets
) -> None:
    """A second seed is version 2, which a service with a cached one sees when it asks afresh."""
    await seed_secrets({"a": {"k": "1"}})
    await secrets_service.get("a")
    await seed_secrets({"a": {"k": "2"}})

    assert (await secrets_service.get("a")).version == 1
    assert (await secrets_service.get("a", fresh=True)).version == 2


async def test_a_seed_outside_the_grammar(seed_secrets: SeedSecrets) -> None:
    """A path that no service could read is refused, as the service refuses it."""
    with pytest.raises(gs.InvalidPath):
        await seed_secrets({"a//b": {"k": "1"}})
    with pytest.raises(gs.InvalidTenant):
        await seed_secrets({"a": {"k": "1"}}, tenant="Acme")


async def test_a_seed_that_is_not_taken(vault_server: OpenBaoServer | ExternalVault) -> None:
    """A mount that is not there is an error that says what was asked, and not what was sent."""
    with pytest.raises(ServerError, match="POST no-mount/data/greenlang/a with 404") as caught:
        await SeedSecrets(vault_server, "no-mount")({"a": {"k": "hunter2"}})

    assert "hunter2" not in str(caught.value)


_mounts: list[str] = []


@pytest.mark.parametrize("turn", [1, 2])
async def test_a_mount_of_ones_own(
    vault_server: OpenBaoServer | ExternalVault,
    secrets_service: gs.SecretsService,
    vault_mount: str,
    turn: int,
) -> None:
    """Tests that write the same path do not meet, and the mount of one that ended is gone."""
    assert await secrets_service.get_or_none("a") is None

    await secrets_service.put("a", {"k": f"{turn}"})

    assert secrets_service.config.kv_mount == vault_mount
    for earlier in _mounts:
        assert (await vault_server.request("GET", f"sys/mounts/{earlier}"))[0] == 400
    _mounts.append(vault_mount)


class TestConfigured:
    """A class whose services have a configuration of their own."""

    @pytest.fixture
    def secrets_config(self, secrets_config: gs.SecretsServiceConfig) -> gs.SecretsServiceConfig:
        """Nothing stays fresh."""
        return replace(secrets_config, cache=gs.CacheConfig(fresh_for=0))

    async def test_services_have_it(
        self, secrets_service: gs.SecretsService, new_secrets_service: NewSecretsService
    ) -> None:
        """A fixture of the same name changes what services are opened with."""
        assert secrets_service.config.cache.fresh_for == 0
        assert (await new_secrets_service()).config.cache.fresh_for == 0


async def test_through_a_proxy(
    new_secrets_service: NewSecretsService,
    seed_secrets: SeedSecrets,
    vault_fault_proxy: FaultProxy,
) -> None:
    """A service that goes through the proxy meets its faults; the seeds do not."""
    secrets = await new_secrets_service(through=vault_fault_proxy, request_timeout=1.0)
    vault_fault_proxy.inject(Fault.RESET)

    await seed_secrets({"a": {"k": "1"}})

    with pytest.raises(gs.VaultUnavailable):
        await secrets.get("a")


async def test_on_a_server_of_ones_own(new_vault_server, new_secrets_service) -> None:
    """A service on another server has a mount there, which is another one each time."""
    vault = await new_vault_server()

    first, second = await new_secrets_service(vault), await new_secrets_service(vault)
    await first.put("a", {"k": "1"})

    assert first.config.addresses == (vault.addr,)
    assert await second.get_or_none("a") is None


async def test_on_a_cluster(
    raft_cluster: RaftCluster, new_secrets_service: NewSecretsService
) -> None:
    """A service on a cluster knows all nodes, and each of them has the mount."""
    secrets = await new_secrets_service(raft_cluster)

    await secrets.put("a", {"k": "1"})

    assert secrets.config.addresses == raft_cluster.addresses
    for node in raft_cluster.nodes:
        assert (await node.request("GET", f"{secrets.config.kv_mount}/config"))[0] == 200


async def test_a_server_that_is_not_ready(new_vault_server, new_secrets_service) -> None:
    """A sealed server is an error that says so, before any test is puzzled."""
    vault = await new_vault_server()
    await vault.seal()

    with pytest.raises(ServerError, match="with 503: it must be unsealed"):
        await new_secrets_service(vault)


def test_authorities_of_a_foreign_server(tmp_path) -> None:
    """A service trusts what VAULT_CACERT names for a server that somebody else runs."""
    server = ExternalVault("https://vault.example:8200", "t", ca_file=tmp_path / "ca.pem")

    assert services.reaching(server, "m").ca_cert == tmp_path / "ca.pem"


async def test_starts_within_three_seconds() -> None:
    """The shared server is ready within 3 s, which is what the first test of a run waits."""
    began = time.monotonic()

    async with OpenBaoServer():
        took = time.monotonic() - began

    assert took < 3.0


class NeverReady(VaultWitness):
    """A server that makes a mount and never upgrades it, as no real one stays."""

    addr = "http://127.0.0.1:1"
    root_token = "t"

    async def request(self, method, *_, **__):
        """Take the mount, and refuse to be asked for it."""
        return (204, None) if method == "POST" else (400, None)


async def test_a_mount_that_is_never_ready(monkeypatch) -> None:
    """A mount that does not become one of version 2 ends as an error, and not as a hanging test."""
    monkeypatch.setattr(services, "_MOUNT_SECONDS", 0.05)

    with pytest.raises(ServerError, match="is still not ready"):
        await services.new_mount(NeverReady())
