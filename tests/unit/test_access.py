from __future__ import annotations

import dataclasses
from itertools import chain, combinations

import pytest

from greenlang_secrets.access import (
    SERVICE,
    Action,
    Permission,
    Principal,
    TenantContext,
    decide,
    require,
)
from greenlang_secrets.errors import AccessDenied
from greenlang_secrets.paths import PLATFORM, Tenant, TenantId

ACME = TenantId("acme")
GLOBEX = TenantId("globex")

# Each action and the permissions of which one suffices: the table of the product, spelled out.
ALLOWED_BY = {
    "list": {"secrets:read", "secrets:list"},
    "read": {"secrets:read"},
    "versions": {"secrets:read"},
    "create": {"secrets:write"},
    "update": {"secrets:write"},
    "delete": {"secrets:admin"},
    "undelete": {"secrets:admin"},
    "destroy": {"secrets:admin"},
    "rotate": {"secrets:rotate"},
    "status": {"secrets:admin"},
    "schedule": {"secrets:rotate"},
    "rotation_status": {"secrets:read", "secrets:rotate"},
}

ALLOWED_TO = {
    "secrets:read": {"list", "read", "versions", "rotation_status"},
    "secrets:list": {"list"},
    "secrets:write": {"create", "update"},
    "secrets:admin": {"delete", "undelete", "destroy", "status"},
    "secrets:rotate": {"rotate", "schedule", "rotation_status"},
}

EVERY = ("secrets:read", "secrets:list", "secrets:write", "secrets:admin", "secrets:rotate")

SUBSETS = list(chain.from_iterable(combinations(EVERY, size) for size in range(len(EVERY) + 1)))


def context(*permissions: str) -> TenantContext:
    granted = frozenset(Permission(permission) for permission in permissions)
    return TenantContext(
        principal=Principal(subject="somebody", permissions=granted), scope=PLATFORM
    )


# ---------------------------------------------------------------- decisions


def test_permissions_are_these_five():
    """The claims that a JWT may carry; there is no wildcard among them."""
    assert tuple(permission.value for permission in Permission) == EVERY


def test_every_action_has_its_row():
    """A new action must be given a row in the table above."""
    assert {action.value for action in Action} == set(ALLOWED_BY)


def test_there_are_32_subsets():
    """The table below is tried with every subset of the five permissions."""
    assert len(SUBSETS) == 32


@pytest.mark.parametrize("granted", SUBSETS, ids=lambda granted: "+".join(granted) or "nothing")
@pytest.mark.parametrize("action", ALLOWED_BY)
def test_action_needs_one_of_its_permissions(action, granted):
    """An action is allowed exactly if a permission that suffices for it was granted."""
    expected = not ALLOWED_BY[action].isdisjoint(granted)

    assert decide(context(*granted), Action(action)) is expected


@pytest.mark.parametrize("permission", EVERY)
def test_no_permission_implies_another(permission):
    """One permission allows its own actions and no others: an administrator does not read."""
    allowed = {action.value for action in Action if decide(context(permission), action)}

    assert allowed == ALLOWED_TO[permission]


@pytest.mark.parametrize("action", Action)
def test_nothing_granted_is_nothing_allowed(action):
    """A principal is granted nothing by default, and then may do nothing."""
    nobody = TenantContext(principal=Principal(subject="nobody"), scope=PLATFORM)

    assert decide(nobody, action) is False


@pytest.mark.parametrize("action", Action)
def test_service_itself_may_do_everything(action):
    """Code that holds the service acts with every permission."""
    assert decide(TenantContext(principal=SERVICE, scope=PLATFORM), action) is True


def test_required_action_that_is_allowed_passes():
    """`require` returns where `decide` allows."""
    assert require(context("secrets:read"), Action.READ) is None


def test_required_action_that_is_denied_raises():
    """`require` raises where `decide` denies, and says nothing of what would suffice."""
    with pytest.raises(AccessDenied) as caught:
        require(context("secrets:admin"), Action.READ)

    assert str(caught.value) == "This principal may not do this."


@pytest.mark.parametrize(
    "unknown", ["secrets:*", "secrets", "*", "secrets:READ", " secrets:read", "admin", ""]
)
def test_unknown_permission_is_none(unknown):
    """There are no wildcards and no other spellings."""
    with pytest.raises(ValueError, match="is not a valid Permission"):
        Permission(unknown)


# ---------------------------------------------------------------- contexts


@pytest.mark.parametrize(
    ("tenant", "scope"),
    [
        (None, PLATFORM),
        (None, Tenant(ACME)),
        (ACME, Tenant(ACME)),
        (TenantId("acme"), Tenant(TenantId("acme"))),
    ],
    ids=["platform at home", "platform in a tenant", "tenant at home", "equal, not identical"],
)
def test_principal_may_act_in_its_scope(tenant, scope):
    """A tenant's principal acts in its own scope, a platform principal in any."""
    made = TenantContext(principal=Principal(subject="s", tenant=tenant), scope=scope)

    assert made.scope == scope


@pytest.mark.parametrize(
    ("tenant", "scope"),
    [
        (ACME, PLATFORM),
        (ACME, Tenant(GLOBEX)),
        (TenantId("a"), Tenant(TenantId("ab"))),
        (TenantId("ab"), Tenant(TenantId("a"))),
        (TenantId("a"), Tenant(TenantId("a-b"))),
    ],
    ids=["platform", "another tenant", "longer id", "shorter id", "id with a dash"],
)
def test_context_that_must_not_be_cannot_be_made(tenant, scope):
    """A tenant's principal in another scope is refused at once, whatever it was granted."""
    principal = Principal(subject="s", permissions=frozenset(Permission), tenant=tenant)

    with pytest.raises(AccessDenied):
        TenantContext(principal=principal, scope=scope)


def test_context_cannot_be_moved():
    """A context is changed neither in place nor by `replace` into one that must not be."""
    made = TenantContext(principal=Principal(subject="s", tenant=ACME), scope=Tenant(ACME))

    with pytest.raises(dataclasses.FrozenInstanceError):
        made.scope = Tenant(GLOBEX)
    with pytest.raises(AccessDenied):
        dataclasses.replace(made, scope=Tenant(GLOBEX))


def test_home_of_a_principal_is_its_tenant():
    """Relative paths of a tenant's principal begin in the tenant's scope."""
    assert Principal(subject="s", tenant=ACME).home == Tenant(ACME)


def test_home_of_a_platform_principal_is_the_platform():
    """Relative paths of a platform principal begin in the platform's scope."""
    assert Principal(subject="s").home == PLATFORM
    assert SERVICE.home == PLATFORM
