from __future__ import annotations

import pytest

from greenlang_secrets.errors import AccessDenied, ObjectNotFound, VaultRefused
from greenlang_secrets.vault.sys_policies import Policies
from support.mounts import own_name, speaking, token_with

RULES = 'path "a/*" { capabilities = ["read"] }'


@pytest.fixture
async def policies(vault_server):
    async with speaking(vault_server, vault_server.root_token) as call:
        yield Policies(call)


@pytest.fixture
async def name(policies):
    name = own_name("policy")
    await policies.write(name, RULES)
    yield name
    await policies.delete(name)


async def test_policy_is_read_back_as_written(policies, name):
    """A policy's text comes back letter by letter, and its name is listed."""
    policy = await policies.read(name)

    assert (policy.name, policy.rules) == (name, RULES)
    assert name in await policies.list()


async def test_policy_is_replaced(policies, name):
    """Writing again replaces the rules."""
    await policies.write(name, RULES.replace("read", "list"))

    assert (await policies.read(name)).rules == 'path "a/*" { capabilities = ["list"] }'


async def test_deleted_policy_is_gone(policies, name):
    """A policy can be deleted, twice too; reading it then says so."""
    await policies.delete(name)
    await policies.delete(name)

    with pytest.raises(ObjectNotFound) as caught:
        await policies.read(name)
    assert caught.value.kind == "policy"


async def test_text_that_is_no_policy_is_refused(policies):
    """Rules that do not parse are refused, without Vault's words in the error."""
    with pytest.raises(VaultRefused) as caught:
        await policies.write(own_name("policy"), "nonsense {")
    assert "RBRACE" not in str(caught.value)


async def test_default_policy_stays(policies):
    """Vault's own policy cannot be deleted."""
    with pytest.raises(VaultRefused):
        await policies.delete("default")


async def test_denied_is_denied(vault_server, name):
    """A token of the policy ``default`` may not read policies."""
    async with speaking(vault_server, await token_with(vault_server)) as call:
        for attempt in (Policies(call).list(), Policies(call).read(name)):
            with pytest.raises(AccessDenied):
                await attempt
