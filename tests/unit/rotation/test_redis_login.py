"""Logins as secrets of the type `cache` say them."""

from __future__ import annotations

import pytest

from greenlang_secrets.errors import NotRotatable
from greenlang_secrets.paths import SecretPath
from greenlang_secrets.rotation.redis_login import RedisLogin
from greenlang_secrets.sensitive import SecretMap

PATH = SecretPath.parse("cache/app")
FULL = {
    "username": "app",
    "password": "p",
    "host": "cache",
    "port": "6380",
    "db": "2",
    "tls": "true",
}


def test_login_with_everything() -> None:
    """Each field is read, and the password is not shown."""
    login = RedisLogin.of(SecretMap(FULL), {}, path=PATH)

    assert (login.username, login.host, login.port, login.db) == ("app", "cache", 6380, 2)
    assert (login.tls, login.authority) == (True, None)
    assert login.password.reveal() == "p"
    assert "'p'" not in repr(login)


def test_what_is_missing() -> None:
    """The user is `default`, the place that of the other login, or Redis's own port."""
    other = RedisLogin.of(SecretMap(FULL), {}, path=PATH)
    admin = RedisLogin.of(SecretMap({"password": "a"}), {}, path=PATH, at=other)
    plain = RedisLogin.of(SecretMap({"password": "a", "host": "h"}), {}, path=PATH)

    assert (admin.username, admin.host, admin.port, admin.db) == ("default", "cache", 6380, 0)
    assert admin.tls
    assert (plain.port, plain.db, plain.tls) == (6379, 0, False)


def test_authority_that_is_none_is_refused() -> None:
    """The setting is read with the fields, so that a slip is told when the policy is set."""
    with pytest.raises(NotRotatable, match="'ca' is no PEM"):
        RedisLogin.of(SecretMap(FULL), {"ca": "PEM"}, path=PATH)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"password": ""}, "lacks the field 'password'"),
        ({"host": ""}, "lacks the field 'host'"),
        ({"port": "x"}, "'port' is no number"),
        ({"port": "65536"}, "'port' is no number"),
        ({"db": "-1"}, "'db' is no number"),
        ({"tls": "yes"}, "'tls' is true or false"),
    ],
)
def test_fields_that_do_not_fit(change: dict[str, str], text: str) -> None:
    """The error names the field."""
    with pytest.raises(NotRotatable, match=text):
        RedisLogin.of(SecretMap({**FULL, **change}), {}, path=PATH)
