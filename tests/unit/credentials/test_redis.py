from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest

from greenlang_secrets.credentials import RedisCredentials
from greenlang_secrets.errors import SecretIncomplete
from greenlang_secrets.model import SecretType
from greenlang_secrets.sensitive import SecretValue
from support.secrets import secret_of


def test_secret_is_read_by_its_fields() -> None:
    """Each field arrives where it belongs, beside where the secret was read from."""
    secret = secret_of(
        SecretType.CACHE,
        host="cache",
        password="p",
        port="6380",
        username="app",
        db="3",
        tls="true",
    )

    credentials = RedisCredentials.of(secret)

    assert (credentials.host, credentials.port, credentials.username) == ("cache", 6380, "app")
    assert (credentials.db, credentials.tls) == (3, True)
    assert (credentials.path, credentials.version, credentials.stale) == ("some/path", 3, False)
    assert credentials.url().reveal() == "rediss://app:p@cache:6380/3"


def test_host_and_password_are_enough() -> None:
    """The rest is what a Redis is by default: its port, its first database, no TLS."""
    credentials = RedisCredentials.of(secret_of(SecretType.CACHE, host="cache", password="p"))

    assert credentials.url().reveal() == "redis://:p@cache:6379/0"


@pytest.mark.parametrize("missing", ["host", "password"])
def test_field_that_is_needed_is_named(missing: str) -> None:
    """A secret without a host or a password is no credentials, and the error says which."""
    data = {"host": "cache", "password": "p"}
    del data[missing]

    with pytest.raises(SecretIncomplete) as caught:
        RedisCredentials.of(secret_of(SecretType.CACHE, **data))

    assert caught.value.field == missing


@pytest.mark.parametrize(
    ("field", "value"),
    [("port", "x"), ("db", "-1"), ("db", "00"), ("db", "0 "), ("tls", "yes"), ("tls", "True")],
)
def test_field_of_another_form_is_named_and_not_shown(field: str, value: str) -> None:
    """A malformed number or flag is an error about its field."""
    data = {"host": "cache", "password": "p", field: value}

    with pytest.raises(SecretIncomplete, match=f"'{field}' is not") as caught:
        RedisCredentials.of(secret_of(SecretType.CACHE, **data))

    assert caught.value.facts == {"field": field}


def test_flag_may_say_false() -> None:
    """``false`` is what a missing flag is."""
    secret = secret_of(SecretType.CACHE, host="cache", password="p", tls="false")

    assert RedisCredentials.of(secret).tls is False


@pytest.mark.parametrize("text", ["p@ss", "a/b", "a:b", "100%", "#1", "what?", "ünïcode €"])
def test_any_text_survives_in_a_url(text: str) -> None:
    """Name and password come back as they were."""
    credentials = RedisCredentials(host="::1", username=text, password=SecretValue(text), db=2)

    parts = urlsplit(credentials.url().reveal())

    assert [unquote(part or "") for part in (parts.username, parts.password)] == [text, text]
    assert (parts.hostname, parts.port, parts.path) == ("::1", 6379, "/2")
