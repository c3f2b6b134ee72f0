"""`provision` from the files of k8s/vault, on the real server."""

from __future__ import annotations

from dataclasses import replace

import pytest

import greenlang_secrets as gs
from greenlang_secrets.provision import Change
from support.shipped import desired, run_provision

_WRITES = {"create", "update", "delete", "patch"}


async def _writes(server, since):
    return [request for request in await server.audit_requests(since) if request[0] in _WRITES]


async def test_second_run_writes_nothing(new_vault_server, postgres_server):
    """The audit file of a run over what the files say shows reads only."""
    server = await new_vault_server()
    made = await run_provision(server, desired(postgres_server.url))
    assert {"auth/kubernetes/role/eso-kv", "sys/policies/acl/eso-kv"} <= {
        change.path for change in made
    }
    mark = await server.audit_mark()

    assert await run_provision(server, desired(postgres_server.url)) == []

    assert await _writes(server, mark) == []
    assert await server.audit_requests(mark, "auth/kubernetes/role/") != []  # it did look


async def test_plan_names_what_a_run_makes_and_writes_nothing(new_vault_server):
    """A plan for a fresh server is what the run then does."""
    server = await new_vault_server()
    mark = await server.audit_mark()

    planned = await run_provision(server, desired(), plan=True)

    assert await _writes(server, mark) == []
    assert planned == await run_provision(server, desired())


async def test_older_state_is_migrated(new_vault_server):
    """Roles without an audience or for the account `default`, policies with a wildcard, and a
    certificate role of years become what the files say; the plan says which settings differ.
    """
    server = await new_vault_server()
    await run_provision(server, desired())
    login = desired().consumers.kubernetes
    assert login is not None
    older = {
        "sys/policies/acl/greenlang-api": {"policy": 'path "*" { capabilities = ["read"] }'},
        "auth/kubernetes/role/greenlang-agents": {
            "bound_service_account_names": ["default"],
            "bound_service_account_namespaces": ["greenlang"],
            "audience": "",
            "token_policies": ["greenlang-agents", "root-like"],
            "token_ttl": "8760h",
            "token_max_ttl": "8760h",
            "token_period": "99h",
        },
        "auth/kubernetes/config": {
            "kubernetes_host": "https://old.example",
            "kubernetes_ca_cert": login.ca_cert,
            "disable_local_ca_jwt": False,
        },
        "pki_int/roles/internal-mtls": {"allow_any_name": False, "max_ttl": "8760h"},
    }
    for path, body in older.items():
        status, answer = await server.request("POST", path, body)
        assert status in {200, 204}, answer

    planned = await run_provision(server, desired(), plan=True)
    changes = await run_provision(server, desired())

    assert planned == changes
    assert {change.path for change in changes} == set(older)
    [agents] = [change for change in changes if change.path.endswith("greenlang-agents")]
    assert agents == Change(
        action="update",
        path="auth/kubernetes/role/greenlang-agents",
        settings=(
            *("audience", "bound_service_account_names"),
            *("token_max_ttl", "token_period", "token_policies", "token_ttl"),
        ),
    )
    assert await run_provision(server, desired()) == []


async def test_job_provisions_with_its_own_policy(vault):
    """After the first run, the Job's role is enough: it puts everything back, and reads no secret."""
    for path, body in {
        "sys/policies/acl/eso-kv": {"policy": 'path "x" { capabilities = ["read"] }'},
        "auth/token/roles/tenant": {"orphan": False},
        "auth/approle/role/greenlang-secrets": {"token_policies": ["default"]},
        "pki_int/roles/greenlang-services": {"max_ttl": "8760h"},
        "transit/keys/pii-encryption-key/config": {"deletion_allowed": True},
        "sys/mounts/pki/tune": {"max_lease_ttl": "1h"},
    }.items():
        status, _ = await vault.server.request("POST", path, body)
        assert status in {200, 204}, path
    await vault.server.request("DELETE", "auth/kubernetes/role/eso-pki")
    token = await vault.token("vault-provision", "vault")

    changes = await run_provision(vault.server, desired(), token=token)

    assert {change.path for change in changes} == {
        *("sys/policies/acl/eso-kv", "auth/token/roles/tenant", "sys/mounts/pki"),
        *("auth/approle/role/greenlang-secrets", "pki_int/roles/greenlang-services"),
        *("transit/keys/pii-encryption-key/config", "auth/kubernetes/role/eso-pki"),
        "auth/kubernetes/config",  # of which the test has made a stub's
    }
    assert await run_provision(vault.server, desired()) == []


async def test_job_without_its_policy_is_refused(vault):
    """The control: another consumer's token provisions nothing."""
    token = await vault.token("eso-kv", "external-secrets")

    with pytest.raises(gs.AccessDenied):
        await run_provision(vault.server, desired(), token=token)


async def test_job_makes_a_new_server_with_its_own_policy(new_vault_server, vault, postgres_server):
    """The policy is enough for everything that is missing, too: engines, authorities, database."""
    server = await new_vault_server()
    _, policy = await vault.server.request("GET", "sys/policies/acl/vault-provision")
    await server.request(
        "POST", "sys/policies/acl/vault-provision", {"policy": policy["data"]["policy"]}
    )
    _, body = await server.request("POST", "auth/token/create", {"policies": ["vault-provision"]})

    await run_provision(server, desired(postgres_server.url), token=body["auth"]["client_token"])

    assert await run_provision(server, desired(postgres_server.url)) == []


async def test_openbao_without_its_stanza_is_told_so(new_vault_server):
    """A server that takes audit devices from its configuration only, and has none: nothing is
    provisioned, and the error says what to set.
    """
    server = await new_vault_server(audit=False)

    with pytest.raises(gs.ConfigurationError, match=r"values-openbao\.yaml"):
        await run_provision(server, desired())

    _, policies = await server.request("LIST", "sys/policies/acl")
    assert "eso-kv" not in policies["data"]["keys"]


async def test_audit_device_is_made_by_api_where_that_is_allowed(new_vault_server, tmp_path):
    """As on Vault: the device is enabled once, and logs what follows."""
    server = await new_vault_server(
        audit=False, extra_config="unsafe_allow_api_audit_creation = true"
    )
    log = tmp_path / "audit.log"
    wanted = desired()
    device = wanted.consumers.audit
    assert device is not None
    here = replace(device, file_path=str(log))
    wanted = replace(wanted, consumers=replace(wanted.consumers, audit=here))

    made = await run_provision(server, wanted)
    again = await run_provision(server, wanted)

    assert made[0] == Change(action="create", path="sys/audit/file")
    assert again == []
    assert "sys/policies/acl/eso-kv" in log.read_text()
