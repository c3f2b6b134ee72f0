from __future__ import annotations

import pytest

from greenlang_secrets.errors import AccessDenied, InvalidRequest
from greenlang_secrets.vault.sys_capabilities import Capabilities
from support.mounts import own_name, speaking, token_with


async def test_capabilities_are_those_of_the_policy(vault_server):
    """Each path says what the token may do there, in the order of asking."""
    rule = 'path "a/+/b" { capabilities = ["read", "list"] }'
    async with speaking(vault_server, await token_with(vault_server, rule)) as call:
        allowed, denied = await Capabilities(call).of_self(["a/x/b", "a/b"])

    assert (allowed.path, allowed.capabilities) == ("a/x/b", frozenset({"read", "list"}))
    assert (denied.path, denied.capabilities) == ("a/b", frozenset({"deny"}))
    assert (allowed.allows("read"), allowed.allows("update")) == (True, False)
    assert not denied.allows("read")


async def test_root_may_everything(vault_server):
    """A root token's one capability stands for all."""
    async with speaking(vault_server, vault_server.root_token) as call:
        [found] = await Capabilities(call).of_self(["any/path"])

    assert found.allows("sudo")


async def test_paths_that_are_named_like_the_envelope_are_asked_too(vault_server):
    """The path ``data`` is answered as any other, though Vault's envelope has that name."""
    async with speaking(vault_server, vault_server.root_token) as call:
        [found] = await Capabilities(call).of_self(["data"])

    assert found.capabilities == frozenset({"root"})


async def test_question_without_a_path_is_not_sent(vault_server):
    """Vault says 400 to it; here it is InvalidRequest."""
    async with speaking(vault_server, vault_server.root_token) as call:
        with pytest.raises(InvalidRequest):
            await Capabilities(call).of_self([])


async def test_token_without_the_policy_default_may_not_ask(vault_server):
    """Asking is a right of the policy ``default``."""
    _, body = await vault_server.request(
        "POST",
        "auth/token/create",
        {"policies": [own_name("nothing")], "no_default_policy": True},
    )
    async with speaking(vault_server, body["auth"]["client_token"]) as call:
        with pytest.raises(AccessDenied):
            await Capabilities(call).of_self(["a"])
