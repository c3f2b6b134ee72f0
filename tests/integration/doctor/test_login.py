"""Behind the login: token, mount, capabilities and Vault's audit device, on a real server."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

import pytest

import greenlang_secrets as gs
from greenlang_secrets.background import Supervisor
from greenlang_secrets.doctor import Cause, Diagnosis, Finding, Level, examine
from greenlang_secrets.provision import provision


async def token(server: Any, policy: str | None = None, **options: Any) -> gs.SecretValue:
    """Make a token, of this policy if one is given."""
    if policy is not None:
        await server.request("POST", "sys/policies/acl/patient", {"policy": policy})
        options = {"policies": ["patient"], **options}
    status, answer = await server.request("POST", "auth/token/create", options)
    assert status == 200, answer
    return gs.SecretValue(answer["auth"]["client_token"])


def with_token(config: gs.SecretsServiceConfig, value: gs.SecretValue) -> gs.SecretsServiceConfig:
    return replace(config, auth=gs.AuthConfig(token=value))


def found(diagnosis: Diagnosis, check: str) -> list[Finding]:
    """Return the findings of one check."""
    return [each for each in diagnosis.findings if each.check == check]


# ---------------------------------------------------------------- the token


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"ttl": "10m", "renewable": False}, Cause.TOKEN_ENDS),
        ({"ttl": "10m", "renewable": True}, None),
        ({"ttl": "2h", "renewable": False}, None),
    ],
    ids=["ends", "renewable", "long"],
)
async def test_a_token_that_ends_soon_is_warned_of(config, vault_server, options, cause):
    """Within the hour, and only if nothing can renew it; it is no fault yet."""
    value = await token(vault_server, **options)

    diagnosis = await examine(with_token(config, value))

    [login] = found(diagnosis, "login")
    assert login.cause is cause
    assert login.level is (Level.OK if cause is None else Level.WARNING)
    assert diagnosis.good


async def test_a_token_without_the_policy_default_is_no_fault(config, vault_server, mount):
    """It may not look itself up, nor ask what it may do: that is said, and nothing is guessed."""
    policy = (
        f'path "{mount}/*" {{ capabilities = ["read", "list"] }}\n'
        'path "auth/token/lookup-self" { capabilities = ["read"] }'
    )
    value = await token(vault_server, policy, no_default_policy=True)

    diagnosis = await examine(with_token(config, value))

    assert diagnosis.good
    [capability] = found(diagnosis, "capability")
    assert (capability.level, capability.cause) == (Level.UNKNOWN, None)
    [device] = found(diagnosis, "audit_device")
    assert device.level is Level.UNKNOWN


async def test_a_token_that_may_not_look_itself_up_is_accepted(config, vault_server, tmp_path):
    """A login whose token lacks the policy `default` works, and is said to work."""
    for path, body in (
        ("sys/auth/doctor-approle", {"type": "approle"}),
        ("auth/doctor-approle/role/r", {"token_no_default_policy": True, "token_ttl": "5m"}),
    ):
        await vault_server.request("POST", path, body)
    _, role = await vault_server.request("GET", "auth/doctor-approle/role/r/role-id")
    _, made = await vault_server.request("POST", "auth/doctor-approle/role/r/secret-id")
    file = tmp_path / "secret-id"
    file.write_text(made["data"]["secret_id"])
    auth = gs.AuthConfig(
        method="approle",
        mount="doctor-approle",
        role=role["data"]["role_id"],
        secret_id_file=file,
    )

    diagnosis = await examine(replace(config, auth=auth))

    [login] = found(diagnosis, "login")
    assert login.level is Level.OK
    assert "may not look itself up" in login.what
    file.write_text("another")
    [refused] = found(await examine(replace(config, auth=auth)), "login")
    assert refused.cause is Cause.LOGIN_REFUSED


# ---------------------------------------------------------------- mount and capabilities


@pytest.mark.parametrize(
    ("mount", "cause"),
    [("cubbyhole", Cause.WRONG_MOUNT), ("nothing-there", Cause.WRONG_MOUNT)],
)
async def test_a_mount_that_is_none_of_ours_is_told(config, mount, cause):
    """One of another engine, and one that is not there."""
    diagnosis = await examine(replace(config, kv_mount=mount))

    [mounted] = found(diagnosis, "mount")
    assert (mounted.level, mounted.cause) == (Level.FAULT, cause)
    assert "GREENLANG_SECRETS_KV_MOUNT" in mounted.fix


async def test_a_mount_outside_the_grammar_is_a_setting(config):
    """A name that can be no mount's is the configuration's fault, and nothing breaks."""
    diagnosis = await examine(replace(config, kv_mount="a b"))

    assert {each.cause for each in diagnosis.faults} == {Cause.CONFIGURATION}


async def test_a_provisioned_vault_has_what_both_scopes_need(new_vault_server):
    """The control: with the shipped policies, platform and tenant lack nothing, read or write."""
    server = await new_vault_server()
    root = gs.SecretsServiceConfig(
        addresses=(server.addr,), auth=gs.AuthConfig(token=gs.SecretValue(server.root_token))
    )
    async with Supervisor() as supervisor, gs.VaultClient.open(root, supervisor) as client:
        await provision(client)
    value = await token(server, policies=["greenlang-secrets"])
    config = replace(root, auth=gs.AuthConfig(token=value))

    platform = await examine(config, paths=("a/b",), write=True, service=True)
    tenant = await examine(config, scope=gs.Tenant(gs.TenantId("acme")), paths=("a/b",), write=True)

    for diagnosis in (platform, tenant):
        assert [each for each in diagnosis.findings if each.cause is not None] == []
    assert len(found(platform, "capability")) == 6
    assert len(found(tenant, "capability")) == 4


async def test_a_tenants_token_that_cannot_be_made_is_told(config, vault_server, mount):
    """Without the role, a tenant's scope is closed; the platform's is open, with a warning."""
    policy = f'path "{mount}/*" {{ capabilities = ["read", "list"] }}'
    value = await token(vault_server, policy)
    lacking = replace(with_token(config, value), tenant_token_role="no-such-role")

    platform = await examine(lacking)
    tenant = await examine(lacking, scope=gs.Tenant(gs.TenantId("acme")))

    assert platform.good
    [warned] = [each for each in platform.findings if each.cause is Cause.MISSING_CAPABILITY]
    assert (warned.subject, warned.level) == ("auth/token/create/no-such-role", Level.WARNING)
    assert {each.subject for each in tenant.faults} == {
        "auth/token/create/no-such-role",
        "tenant acme",
    }


# ---------------------------------------------------------------- audit


async def test_a_vault_without_an_audit_device_is_warned_of(new_vault_server):
    """Nobody records who read what: a warning, since everything works."""
    server = await new_vault_server(audit=False)
    await server.request("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    config = gs.SecretsServiceConfig(
        addresses=(server.addr,),
        auth=gs.AuthConfig(token=gs.SecretValue(server.root_token)),
        tenant_token_role=None,
    )

    diagnosis = await examine(config)

    assert diagnosis.good
    [device] = found(diagnosis, "audit_device")
    assert (device.level, device.cause) == (Level.WARNING, Cause.NO_AUDIT_DEVICE)


async def test_an_audit_device_that_fails_is_told(new_vault_server):
    """Its health is well, and every request fails: the fix leads to the audit device."""
    server = await new_vault_server()
    config = gs.SecretsServiceConfig(
        addresses=(server.addr,),
        auth=gs.AuthConfig(token=gs.SecretValue(server.root_token)),
        tenant_token_role=None,
    )
    server.audit_file.rename(server.audit_file.with_suffix(".old"))
    server.audit_file.symlink_to("/dev/full")
    os.kill(server.pid, signal.SIGHUP)
    while (await server.request("GET", "auth/token/lookup-self"))[0] != 500:
        pass

    diagnosis = await examine(config)

    [fault] = diagnosis.faults
    assert fault.cause is Cause.VAULT_FAILS
    assert "audit device" in fault.fix
