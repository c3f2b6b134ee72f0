from __future__ import annotations

import pytest

from greenlang_secrets.credentials import ServiceToken
from greenlang_secrets.errors import SecretIncomplete
from greenlang_secrets.model import SecretType
from support.secrets import secret_of


def test_token_is_its_field() -> None:
    """The token arrives, beside where it was read from."""
    token = ServiceToken.of(secret_of(SecretType.SERVICE_TOKEN, token="t"))

    assert token.value.reveal() == "t"
    assert (token.path, token.version, token.stale) == ("some/path", 3, False)


def test_secret_without_a_token_says_what_it_lacks() -> None:
    """The error names the field."""
    with pytest.raises(SecretIncomplete, match="'token' is missing"):
        ServiceToken.of(secret_of(SecretType.SERVICE_TOKEN, key="k"))
