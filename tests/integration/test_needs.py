"""Declared needs, loaded from and held at a real server."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

import greenlang_secrets as gs
from greenlang_secrets.needs.form import Form
from greenlang_secrets.needs.printing import printed


class Needs(gs.Needs):
    postgresql: gs.DatabaseCredentials = gs.need("database/postgresql", gs.DatabaseCredentials)
    stripe: gs.SecretValue = gs.need("api-keys/stripe", field="key")
    stripe_id: gs.SecretValue = gs.need("api-keys/stripe", field="key_id")
    limits: gs.Secret = gs.need("limits")


@pytest.fixture
async def filled(secrets: gs.SecretsService) -> gs.SecretsService:
    """A service whose Vault has all that is needed."""
    login = {"username": "app", "password": "p"}
    await secrets.create("database/postgresql", login, type=gs.SecretType.DATABASE)
    await secrets.create("api-keys/stripe", {"key": "k-1", "key_id": "id-1"})
    await secrets.create("limits", {"per_second": "5"})
    return secrets


# ---------------------------------------------------------------- loading


async def test_needs_are_loaded_as_what_they_are_declared(filled) -> None:
    """Each field is a secret, a typed one or one value, as its need says."""
    needs = await Needs.load(filled)

    assert needs.postgresql.username == "app"
    assert needs.postgresql.password.reveal() == "p"
    assert needs.stripe.reveal() == "k-1"
    assert needs.limits["per_second"].reveal() == "5"


async def test_each_path_is_read_once(filled, vault_server, mount: str) -> None:
    """Fields of one path come from one read, so they are of one version."""
    filled.cache.clear()
    mark = await vault_server.audit_mark()

    await Needs.load(filled)

    asked = [path for _, path in await vault_server.audit_requests(mark) if f"{mount}/data" in path]
    assert sorted(asked) == [
        f"{mount}/data/greenlang/api-keys/stripe",
        f"{mount}/data/greenlang/database/postgresql",
        f"{mount}/data/greenlang/limits",
    ]


async def test_a_tenants_needs_are_loaded_from_its_own_view(filled) -> None:
    """The same class serves each scope: paths are relative to the view."""

    class Theirs(gs.Needs):
        limits: gs.Secret = gs.need("limits")

    acme = filled.for_tenant("acme")
    await acme.create("limits", {"per_second": "7"})

    assert (await Theirs.load(acme)).limits["per_second"].reveal() == "7"
    assert (await Theirs.load(filled)).limits["per_second"].reveal() == "5"


async def test_one_error_names_all_that_is_not_met(filled) -> None:
    """Whoever starts a program reads once what to provide: paths, fields and reasons, no value."""
    await filled.put("database/postgresql", {"username": "app"})
    await filled.put("api-keys/stripe", {"key": "canary-1", "key_id": ""})
    await filled.delete("limits")

    with pytest.raises(gs.NeedsUnmet) as caught:
        await Needs.load(filled)

    assert list(caught.value.failures) == ["postgresql", "stripe_id", "limits"]
    assert str(caught.value) == (
        "Needs that are not met: 3 of 4. "
        "postgresql: The field 'password' is missing; write it, or give it to the call."
        " (path 'database/postgresql') "
        "stripe_id: The field 'key_id' is missing; write it, or give it to the call."
        " (path 'api-keys/stripe') "
        "limits: This version is deleted; undelete brings it back. (path 'limits')"
    )
    assert not caught.value.retryable
    assert "canary" not in repr(caught.value)


async def test_what_is_denied_is_named_too(filled, denied) -> None:
    """Without a policy each need fails as denied, in one error."""
    with pytest.raises(gs.NeedsUnmet) as caught:
        await Needs.load(denied)

    assert {type(error) for error in caught.value.failures.values()} == {gs.AccessDenied}
    assert list(caught.value.failures) == list(Needs.declared)


async def test_an_outage_is_told_as_one_within_the_time_of_one_read(
    config: gs.SecretsServiceConfig, new_vault_server
) -> None:
    """Forty needs of a Vault that hangs fail together, as something that a retry may mend."""
    vault = await new_vault_server()
    there = replace(
        config,
        addresses=(vault.addr,),
        auth=gs.AuthConfig(token=gs.SecretValue(vault.root_token)),
        request_timeout=0.5,
    )
    many = type("Many", (gs.Needs,), {f"n{n}": gs.need(f"many/n{n}") for n in range(40)})
    async with gs.SecretsService.open(there) as secrets:
        await vault.pause()
        try:
            begin = asyncio.get_running_loop().time()
            with pytest.raises(gs.NeedsUnavailable) as caught:
                await many.load(secrets)
            lasted = asyncio.get_running_loop().time() - begin
        finally:
            await vault.resume()

    assert len(caught.value.failures) == 40
    assert caught.value.retryable
    assert lasted < 2.0


# ---------------------------------------------------------------- holding


async def test_held_needs_follow_what_is_written(filled) -> None:
    """The same fields, looked at again, are what Vault has now; a loaded class stays what it was."""
    loaded = await Needs.load(filled)

    async with Needs.hold(filled) as needs:
        await filled.put("api-keys/stripe", {"key": "k-2", "key_id": "id-2"})

        assert (needs.stripe.reveal(), needs.stripe_id.reveal()) == ("k-2", "id-2")
        assert loaded.stripe.reveal() == "k-1"
        assert needs.postgresql is needs.postgresql


async def test_a_held_need_that_is_gone_says_why(filled) -> None:
    """A field whose secret is deleted raises, the others go on, and so does it once it is back."""
    async with Needs.hold(filled) as needs:
        await filled.delete("limits")

        with pytest.raises(gs.SecretDeleted):
            _ = needs.limits
        assert needs.stripe.reveal() == "k-1"

        await filled.undelete("limits", 1)
        assert needs.limits["per_second"].reveal() == "5"


async def test_holding_begins_with_all_needs_or_not_at_all(filled) -> None:
    """What is missing at the beginning is told as by `load`, and nothing stays followed."""
    await filled.delete("limits")

    with pytest.raises(gs.NeedsUnmet, match="limits: This version is deleted"):
        async with Needs.hold(filled):
            pass

    assert filled.followers.version_of("", "api-keys/stripe") is None


async def test_held_needs_end_with_their_block(filled) -> None:
    """After the block nothing is given out any more."""
    async with Needs.hold(filled) as needs:
        pass

    with pytest.raises(RuntimeError, match="released"):
        _ = needs.limits


# ---------------------------------------------------------------- the policy that is printed


async def _with_policy(
    vault_server, config: gs.SecretsServiceConfig, rules: str
) -> gs.SecretsServiceConfig:
    """Return the configuration with a token that has these rules."""
    name = f"needs-{config.kv_mount}"
    status, _ = await vault_server.request("PUT", f"sys/policies/acl/{name}", {"policy": rules})
    assert status == 204
    status, body = await vault_server.request("POST", "auth/token/create", {"policies": [name]})
    assert status == 200
    return replace(config, auth=gs.AuthConfig(token=gs.SecretValue(body["auth"]["client_token"])))


async def test_the_printed_policy_is_enough(filled, vault_server, config) -> None:
    """With the policy that a class prints, and no other, everything is loaded and held."""
    form = Form(artefact="policy", source="orders:Needs", kv_mount=config.kv_mount)
    own = await _with_policy(vault_server, config, printed(form, Needs.declared))

    async with gs.SecretsService.open(own) as secrets:
        needs = await Needs.load(secrets)
        assert needs.stripe.reveal() == "k-1"
        async with Needs.hold(secrets) as held:
            assert held.limits["per_second"].reveal() == "5"
        with pytest.raises(gs.AccessDenied):
            await secrets.get("something/else")


@pytest.mark.parametrize("lost", ["api-keys/stripe", "database/postgresql", "limits"])
async def test_a_policy_without_one_line_is_not_enough(
    filled, vault_server, config, lost: str
) -> None:
    """The control: each path of the printed policy is needed, and its lack is named."""
    form = Form(artefact="policy", source="orders:Needs", kv_mount=config.kv_mount)
    rules = printed(form, Needs.declared).replace(f"/greenlang/{lost}", "/greenlang/other")
    own = await _with_policy(vault_server, config, rules)

    async with gs.SecretsService.open(own) as secrets:
        with pytest.raises(gs.NeedsUnmet) as caught:
            await Needs.load(secrets)

    assert {error.path for error in caught.value.failures.values()} == {lost}
    assert {type(error) for error in caught.value.failures.values()} == {gs.AccessDenied}
