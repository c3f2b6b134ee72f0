from __future__ import annotations

import pytest

from greenlang_secrets.credentials import ApiKey
from greenlang_secrets.errors import SecretIncomplete
from greenlang_secrets.model import SecretType
from support.secrets import secret_of


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ({"api_key": "a", "key": "b", "value": "c"}, "a"),
        ({"key": "b", "value": "c"}, "b"),
        ({"value": "c"}, "c"),
        ({"api_key": "", "value": "c"}, "c"),
    ],
)
def test_first_field_that_is_there_is_the_key(data: dict[str, str], value: str) -> None:
    """Three names are known, in one order."""
    assert ApiKey.of(secret_of(SecretType.API_KEY, **data)).value.reveal() == value


def test_key_id_stands_beside_it() -> None:
    """Where the issuer names its keys, so do we; else there is none."""
    named = ApiKey.of(secret_of(SecretType.API_KEY, key="k", key_id="id-1"))
    plain = ApiKey.of(secret_of(SecretType.API_KEY, key="k"))

    assert (named.key_id, plain.key_id) == ("id-1", None)
    assert (plain.path, plain.version, plain.stale) == ("some/path", 3, False)


def test_secret_without_a_key_says_what_it_lacks() -> None:
    """The error names the first of the fields that would do."""
    with pytest.raises(SecretIncomplete, match="'api_key' is missing"):
        ApiKey.of(secret_of(SecretType.API_KEY, token="t"))
