"""What a configuration needs of Vault's policies, worked out without a Vault."""

from __future__ import annotations

import pytest

import greenlang_secrets as gs
from greenlang_secrets.doctor.needed import needed

CONFIG = gs.SecretsServiceConfig(kv_mount="kv", tenant_token_role=None)
ACME = gs.Tenant(gs.TenantId("acme"))


def test_without_paths_the_scope_must_be_listed():
    """The readiness check lists it; with paths the service is merely degraded without."""
    [listed] = needed(CONFIG, gs.PLATFORM, (), write=False)
    optional, data, metadata = needed(CONFIG, gs.PLATFORM, ("a/b",), write=False)

    assert (listed.path, listed.capabilities, listed.required) == (
        "kv/metadata/greenlang/",
        ("list",),
        True,
    )
    assert not optional.required
    assert (data.path, data.capabilities) == ("kv/data/greenlang/a/b", ("read",))
    assert (metadata.path, metadata.required) == ("kv/metadata/greenlang/a/b", False)


def test_writing_needs_more():
    """A write looks at the metadata before, so that is required too."""
    _, data, metadata = needed(CONFIG, gs.PLATFORM, ("a",), write=True)

    assert data.capabilities == ("create", "read", "update")
    assert metadata.required


def test_a_tenants_paths_need_a_tenants_token():
    """The token is made by the service, and has the tenant's own prefix."""
    config = gs.SecretsServiceConfig(kv_mount="kv")

    role, listed, data, _ = needed(config, ACME, ("a",), write=False)

    assert (role.path, role.scope, role.required) == (
        "auth/token/create/tenant",
        gs.PLATFORM,
        True,
    )
    assert (listed.path, listed.scope) == ("kv/metadata/tenants/acme/", ACME)
    assert data.path == "kv/data/tenants/acme/a"


def test_root_lacks_nothing():
    """The capability `root` stands for all; `deny` for none."""
    [listed] = needed(CONFIG, gs.PLATFORM, (), write=False)

    assert listed.missing_of(frozenset({"root"})) == ()
    assert listed.missing_of(frozenset({"list", "read"})) == ()
    assert listed.missing_of(frozenset({"deny"})) == ("list",)


def test_a_path_outside_the_grammar_is_refused():
    """Nothing is asked about a path that can be no secret's."""
    with pytest.raises(gs.InvalidPath):
        needed(CONFIG, gs.PLATFORM, ("a//b",), write=False)


def test_the_service_needs_its_own_keys():
    """It makes them once, and has Vault keep their versions."""
    _, data, metadata = needed(CONFIG, gs.PLATFORM, (), write=False, service=True)

    assert (data.path, data.capabilities) == (
        "kv/data/greenlang/_service/keys",
        ("create", "read"),
    )
    assert metadata.capabilities == ("read", "patch")
