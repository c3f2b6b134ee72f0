from __future__ import annotations

import pytest

from greenlang_secrets.credentials.encryption import Bound, EncryptionKey, key_named_by
from greenlang_secrets.errors import InvalidPath, SecretIncomplete
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, Tenant, TenantId
from greenlang_secrets.vault.transit import Transit
from support.secrets import secret_of

ACME = Tenant(TenantId("acme"))


async def nobody(_: object) -> None:
    raise NotImplementedError


def reference(**data: str):
    return secret_of(SecretType.ENCRYPTION_KEY, **data)


def test_secret_names_a_key() -> None:
    """The mount may be missing, or be another one."""
    assert key_named_by(reference(transit_key="pii"), PLATFORM) == ("pii", "transit")
    assert key_named_by(reference(transit_key="pii", mount="kms"), PLATFORM) == ("pii", "kms")


def test_secret_without_a_key_says_what_it_lacks() -> None:
    """A secret that holds key material instead of a reference is not taken for one."""
    with pytest.raises(SecretIncomplete, match="'transit_key' is missing"):
        key_named_by(reference(key="c2VjcmV0"), PLATFORM)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("transit_key", "../keys/pii"),
        ("transit_key", "pii?x=y"),
        ("transit_key", "a b"),
        ("transit_key", "a/b"),
        ("mount", "transit/../sys"),
        ("mount", "/transit"),
    ],
)
def test_name_that_could_lead_elsewhere_is_refused(field: str, value: str) -> None:
    """A path of Vault is made of names only, so nothing else is taken for one."""
    with pytest.raises(SecretIncomplete, match=f"'{field}' is not a name") as caught:
        key_named_by(reference(**{"transit_key": "pii", field: value}), PLATFORM)

    assert caught.value.__cause__ is None


def test_tenant_names_no_other_place() -> None:
    """A tenant writes its secrets; the service's token follows them into one mount only."""
    assert key_named_by(reference(transit_key="pii", mount="transit"), ACME) == ("pii", "transit")
    with pytest.raises(SecretIncomplete, match="'mount' is not 'transit'"):
        key_named_by(reference(transit_key="pii", mount="kms"), ACME)


def test_key_says_where_it_is_and_no_more() -> None:
    """The repr names key, mount and scope."""
    key = EncryptionKey("pii", transit=Transit(nobody), scope=ACME)

    assert repr(key) == "EncryptionKey('pii', mount='transit', scope='acme')"
    assert (key.path, key.version, key.stale) == (None, None, False)


@pytest.mark.parametrize(
    ("name", "mount"), [("a b", "t"), ("a/b", "t"), ("pii", "x/../y"), ("", "t")]
)
def test_key_of_an_impossible_name_is_none(name: str, mount: str) -> None:
    """A mistyped name is told when the key is asked for, and not at the first use."""
    with pytest.raises(InvalidPath):
        EncryptionKey(name, mount=mount, transit=Transit(nobody), scope=ACME)


def test_bound_item_does_not_show_itself() -> None:
    """What is to be encrypted is not in the repr."""
    assert "4111" not in repr(Bound("4111 1111", ("cards", "7")))
