from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from greenlang_secrets.errors import AccessDenied, NotRenewable, ObjectNotFound, VaultRefused
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.vault.token import Tokens
from greenlang_secrets.vault.token_roles import TokenRole
from support.mounts import own_name, speaking, token_with

UNKNOWN = SecretValue("s.AAAAAAAAAAAAAAAAAAAAAAAA")


@pytest.fixture
async def tokens(vault_server):
    async with speaking(vault_server, vault_server.root_token) as call:
        yield Tokens(call)


@pytest.fixture
async def humble(vault_server):
    """The token store for a token that has the policy ``default`` and no other."""
    async with speaking(vault_server, await token_with(vault_server)) as call:
        yield Tokens(call)


@pytest.fixture
async def role(tokens):
    name = own_name("role")
    await tokens.roles.write(
        name,
        TokenRole(
            allowed_policies=("default",),
            allowed_entity_aliases=("*",),
            orphan=True,
            renewable=False,
            explicit_max_ttl=900.0,
        ),
    )
    yield name
    await tokens.roles.delete(name)


async def works(vault_server, token: SecretValue) -> bool:
    status, _ = await vault_server.request("GET", "auth/token/lookup-self", token=token.reveal())
    return status == 200


# ---------------------------------------------------------------- create


async def test_created_token_works_and_is_masked(tokens, vault_server):
    """A new token is accepted by Vault, and its repr shows only the accessor."""
    created = await tokens.create(policies=["default"], ttl=3600.0)

    assert await works(vault_server, created.token)
    assert created.token.reveal() not in repr(created)
    assert created.accessor in repr(created)
    assert (created.ttl, created.renewable, created.type) == (3600.0, True, "service")
    assert created.policies == ("default",)


async def test_capped_token_says_so(tokens):
    """Vault shortens what is asked for with a mere warning; the result has both."""
    created = await tokens.create(policies=["default"], ttl=3600.0, explicit_max_ttl=1800.0)

    assert (created.capped, created.ttl) == (True, 1800.0)
    assert len(created.warnings) == 1


async def test_everything_asked_for_is_in_the_token(tokens):
    """Name, metadata, uses and period are what a lookup shows."""
    created = await tokens.create(
        policies=["default"],
        period=600.0,
        num_uses=3,
        renewable=True,
        display_name="ci",
        metadata={"job": "7"},
        no_default_policy=True,
    )

    known = await tokens.lookup_accessor(created.accessor)

    assert (known.display_name, dict(known.metadata)) == ("token-ci", {"job": "7"})
    assert (known.period, known.num_uses, created.num_uses) == (600.0, 3, 3)
    assert (known.orphan, created.capped) == (False, False)


async def test_orphan_outlives_its_maker_and_a_child_does_not(tokens, vault_server):
    """When its parent is revoked a child dies, and an orphan lives on."""
    parent = await tokens.create(policies=["root"])
    async with speaking(vault_server, parent.token.reveal()) as call:
        child = await Tokens(call).create(policies=["default"])
        orphan = await Tokens(call).create_orphan(
            policies=["default"], ttl=600.0, display_name="o", metadata={"a": "b"}
        )

    await tokens.revoke(parent.token)

    assert not await works(vault_server, child.token)
    assert await works(vault_server, orphan.token)
    assert (child.orphan, orphan.orphan) == (False, True)


async def test_role_decides_over_its_tokens(tokens, role):
    """A role's token has the role's life, and an entity of the alias's name."""
    created = await tokens.create(role=role, policies=["default"], entity_alias=own_name("acme"))

    assert (created.orphan, created.renewable, created.ttl) == (True, False, 900.0)
    assert created.entity_id != ""


async def test_unknown_role_and_forbidden_policy_are_told_apart(tokens, role):
    """Vault says 400 to both; a role that is missing is named."""
    with pytest.raises(ObjectNotFound) as caught:
        await tokens.create(role="none")
    with pytest.raises(VaultRefused):
        await tokens.create(role=role, policies=["root"])
    assert caught.value.kind == "role"


async def test_batch_token_has_no_accessor(tokens, vault_server):
    """A batch token works, has no accessor, and cannot be renewed."""
    created = await tokens.create(policies=["default"], ttl=600.0, type="batch")

    assert await works(vault_server, created.token)
    assert (created.type, created.accessor, created.renewable) == ("batch", "", False)
    with pytest.raises(NotRenewable):
        await tokens.renew(created.token)


async def test_humble_token_may_not_make_orphans(humble):
    """What the policy forbids is AccessDenied."""
    with pytest.raises(AccessDenied):
        await humble.create_orphan(policies=["default"])
    with pytest.raises(AccessDenied):
        await humble.create(role="any")


# ---------------------------------------------------------------- look up


async def test_lookup_tells_life_and_origin_and_not_the_token(tokens):
    """A lookup by token and one by accessor say the same; neither holds the token."""
    created = await tokens.create(policies=["default"], ttl=3600.0)

    by_token = await tokens.lookup(created.token)
    by_accessor = await tokens.lookup_accessor(created.accessor)

    assert by_token == by_accessor
    assert by_token.path == "auth/token/create"
    assert datetime.now(UTC) - by_token.created_at < timedelta(minutes=1)
    assert by_token.expires_at is not None
    assert by_token.expires_at - by_token.created_at >= timedelta(minutes=59)
    assert created.token.reveal() not in repr(by_token)


async def test_root_token_has_no_end(tokens):
    """The root token's own lookup says ttl 0 and no end."""
    known = await tokens.lookup_self()

    assert (known.policies, known.ttl, known.expires_at) == (("root",), 0.0, None)


async def test_dead_token_is_told_from_a_forbidden_lookup(tokens, humble):
    """Vault says 403 to both; who may look up hears ObjectNotFound, who may not AccessDenied."""
    created = await tokens.create(policies=["default"])
    await tokens.revoke(created.token)

    for attempt in (
        tokens.lookup(created.token),
        tokens.lookup(UNKNOWN),
        tokens.lookup_accessor(created.accessor),
    ):
        with pytest.raises(ObjectNotFound) as caught:
            await attempt
        assert caught.value.kind == "token"
    for attempt in (humble.lookup(UNKNOWN), humble.lookup_accessor("none")):
        with pytest.raises(AccessDenied):
            await attempt


async def test_token_without_any_policy_hears_access_denied(tokens, vault_server):
    """A token that may not even ask for its capabilities gets the plain denial."""
    bare = await tokens.create(policies=[own_name("nothing")], no_default_policy=True)

    async with speaking(vault_server, bare.token.reveal()) as call:
        with pytest.raises(AccessDenied):
            await Tokens(call).lookup(UNKNOWN)
        with pytest.raises(AccessDenied):
            await Tokens(call).renew_self()


async def test_accessors_are_listed(tokens, humble):
    """All accessors are listed, to those who may."""
    created = await tokens.create(policies=["default"])

    assert created.accessor in await tokens.list_accessors()
    with pytest.raises(AccessDenied):
        await humble.list_accessors()


# ---------------------------------------------------------------- renew


async def test_renewal_lengthens_and_shortens(tokens):
    """A renewal gives what was asked for, less than before too."""
    created = await tokens.create(policies=["default"], ttl=600.0)

    longer = await tokens.renew(created.token, increment=3600.0)
    shorter = await tokens.renew_accessor(created.accessor, increment=60.0)

    assert (longer.ttl, longer.capped, longer.renewable) == (3600.0, False, True)
    assert shorter.ttl == 60.0


async def test_renewal_near_the_end_is_capped(tokens):
    """Beyond its explicit maximum a token gets less than asked for, and the result says so."""
    created = await tokens.create(policies=["default"], ttl=60.0, explicit_max_ttl=120.0)

    renewed = await tokens.renew(created.token, increment=3600.0)

    assert renewed.capped
    assert renewed.ttl <= 120.0
    assert len(renewed.warnings) == 1


async def test_token_renews_itself(humble, tokens):
    """A renewable token renews itself; root and its like do not."""
    renewed = await humble.renew_self(increment=600.0)

    assert renewed.ttl == 600.0
    with pytest.raises(NotRenewable):
        await tokens.renew_self()


async def test_dead_and_unrenewable_tokens_are_told_apart(tokens, humble):
    """Vault says 400 to both, and 403 to whom may not; here these are three errors."""
    fixed = await tokens.create(policies=["default"], renewable=False)

    with pytest.raises(NotRenewable):
        await tokens.renew(fixed.token)
    with pytest.raises(NotRenewable):
        await tokens.renew_accessor(fixed.accessor)
    with pytest.raises(ObjectNotFound):
        await tokens.renew(UNKNOWN)
    with pytest.raises(ObjectNotFound):
        await tokens.renew_accessor("none")
    with pytest.raises(AccessDenied):
        await humble.renew(fixed.token)


async def test_renewer_that_may_not_look_up_hears_less(tokens, vault_server):
    """Who may renew and not look up hears VaultRefused of a token that cannot be renewed."""
    fixed = await tokens.create(policies=["default"], renewable=False)
    rule = 'path "auth/token/renew" { capabilities = ["update"] }'

    async with speaking(vault_server, await token_with(vault_server, rule)) as call:
        with pytest.raises(VaultRefused):
            await Tokens(call).renew(fixed.token)


# ---------------------------------------------------------------- revoke


async def test_revoked_tokens_are_dead(tokens, vault_server):
    """By token and by accessor, a revoked token is refused; revoking twice is once."""
    first = await tokens.create(policies=["default"])
    second = await tokens.create(policies=["default"])

    for _ in range(2):
        await tokens.revoke(first.token)
        await tokens.revoke_accessor(second.accessor)

    assert not await works(vault_server, first.token)
    assert not await works(vault_server, second.token)


async def test_token_revokes_itself(humble, tokens):
    """After `revoke_self` the token may do nothing."""
    accessor = (await humble.lookup_self()).accessor
    await humble.revoke_self()

    with pytest.raises(ObjectNotFound):
        await tokens.lookup_accessor(accessor)


async def test_children_outlive_a_parent_that_is_revoked_alone(tokens, vault_server):
    """`revoke_orphan` ends the parent and makes its children orphans."""
    parent = await tokens.create(policies=["root"])
    async with speaking(vault_server, parent.token.reveal()) as call:
        child = await Tokens(call).create(policies=["default"])

    await tokens.revoke_orphan(parent.token)

    assert not await works(vault_server, parent.token)
    assert await works(vault_server, child.token)
    assert (await tokens.lookup(child.token)).orphan


async def test_revoking_an_unknown_token_alone_says_so(tokens, humble):
    """Unlike the other revocations, this one says 400 to an unknown token."""
    with pytest.raises(ObjectNotFound):
        await tokens.revoke_orphan(UNKNOWN)
    with pytest.raises(AccessDenied):
        await humble.revoke_orphan(UNKNOWN)


async def test_tidy_is_started(tokens, humble):
    """Tidying is accepted from those who may."""
    await tokens.tidy()

    with pytest.raises(AccessDenied):
        await humble.tidy()


# ---------------------------------------------------------------- roles


async def test_role_is_read_back_as_written(tokens, role):
    """Reading a role gives what was written."""
    written = TokenRole(
        allowed_policies=("a", "b"),
        disallowed_policies=("c",),
        renewable=False,
        period=3600.0,
        no_default_policy=True,
        num_uses=0,
        type="service",
    )
    await tokens.roles.write(role, written)

    assert await tokens.roles.read(role) == written
    assert role in await tokens.roles.list()


async def test_role_that_contradicts_itself_is_refused(tokens, role):
    """Renewable batch tokens do not exist."""
    with pytest.raises(VaultRefused):
        await tokens.roles.write(role, TokenRole(type="batch", renewable=True))


async def test_deleted_role_is_gone(tokens, role, humble):
    """A role can be deleted; reading it then says so, and who may not hears AccessDenied."""
    await tokens.roles.delete(role)

    with pytest.raises(ObjectNotFound):
        await tokens.roles.read(role)
    with pytest.raises(AccessDenied):
        await humble.roles.list()
