"""The next version's data: the login replaced wherever it stands, or nothing at all."""

from __future__ import annotations

import pytest

from greenlang_secrets.errors import NotRotatable
from greenlang_secrets.rotation.candidate import with_login
from greenlang_secrets.sensitive import SecretMap, SecretValue

NEW = SecretValue("n/e:w@%")
OLD = {"username": "app_a", "password": "0ld/pass"}


def replaced(username: str | None = "app_b", **fields: str) -> dict[str, str]:
    """Return the data of the next version."""
    data = SecretMap({**OLD, **fields})
    return with_login(data, username=username, password=NEW, path="a/b").reveal()


def test_other_fields_are_kept_in_their_order() -> None:
    """Only the login changes; nothing is added."""
    data = replaced(host="db", port="5432", note="hello")

    assert list(data.items()) == [
        ("username", "app_b"),
        ("password", "n/e:w@%"),
        ("host", "db"),
        ("port", "5432"),
        ("note", "hello"),
    ]


@pytest.mark.parametrize(
    ("url", "username", "expected"),
    [
        (
            "postgresql://app_a:0ld%2Fpass@db:5432/orders?sslmode=require",
            "app_b",
            "postgresql://app_b:n%2Fe%3Aw%40%25@db:5432/orders?sslmode=require",
        ),
        (
            "postgresql+asyncpg://app_a:0ld%2fpass@[::1]/x",
            "app_b",
            "postgresql+asyncpg://app_b:n%2Fe%3Aw%40%25@[::1]/x",
        ),
        ("redis://:0ld%2Fpass@cache:6379/0", None, "redis://:n%2Fe%3Aw%40%25@cache:6379/0"),
        ("rediss://app:0ld%2Fpass@cache", None, "rediss://app:n%2Fe%3Aw%40%25@cache"),
        ("https://user:other@elsewhere/", "app_b", "https://user:other@elsewhere/"),
        ("https://elsewhere/app_a", "app_b", "https://elsewhere/app_a"),
    ],
)
def test_urls_with_the_login(url: str, username: str | None, expected: str) -> None:
    """A URL with the present password gets the new one, encoded; others stay as they are."""
    assert replaced(username, url=url)["url"] == expected


@pytest.mark.parametrize(
    "value",
    [
        "0ld/pass",
        "host=db user=app_a password=0ld/pass",
        "postgresql://db/orders?user=app_a&password=0ld%2Fpass",
        "postgresql://app_a:0ld/pass@db",  # not encoded: where the host begins is anybody's guess
        "postgresql://somebody:0ld%2Fpass@db",
        "postgresql://app_a:0ld%2Fpass@db?password=0ld%2Fpass",
    ],
)
def test_password_that_cannot_be_replaced_is_refused(value: str) -> None:
    """Else one field would go on with the old password; the error names it and shows nothing."""
    with pytest.raises(NotRotatable, match="The field 'dsn' has the password in it") as caught:
        replaced(dsn=value)

    assert "0ld" not in str(caught.value)


def test_place_may_look_like_the_password() -> None:
    """Where a login is, is no copy of it."""
    data = SecretMap({"username": "postgres", "password": "postgres", "database": "postgres"})

    assert with_login(data, username="b", password=NEW, path="a/b").reveal() == {
        "username": "b",
        "password": "n/e:w@%",
        "database": "postgres",
    }


def test_user_that_stays_may_be_written_otherwise_in_a_url() -> None:
    """Without another user the URL's stays, though the secret has none."""
    data = SecretMap({"password": "old", "url": "redis://app:old@cache"})

    assert with_login(data, username=None, password=SecretValue("new"), path="a/b").reveal() == {
        "password": "new",
        "url": "redis://app:new@cache",
    }


@pytest.mark.parametrize("data", [{}, {"password": ""}, {"username": "a"}])
def test_secret_without_a_password_is_refused(data: dict[str, str]) -> None:
    """There is nothing to replace."""
    with pytest.raises(NotRotatable, match="no field 'password'"):
        with_login(SecretMap(data), username="b", password=NEW, path="a/b")
