"""The data of a secret's next version: the present one with another login in it.

Applications read the password from its own field or from a URL that holds it too; both change
together, or nothing does.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

from greenlang_secrets.errors import NotRotatable
from greenlang_secrets.sensitive import SecretMap, SecretValue

__all__ = ["with_login"]

# Where a login is, and not what it is: a short password may well be part of one.
_PLACES: Final = frozenset({"username", "host", "port", "database", "db", "tls"})
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)"
    r"(?P<user>[^/?#@:\s]*):(?P<password>[^/?#@\s]*)@(?P<rest>[^/?#@\s]*(?:[/?#].*)?)\Z"
)


def with_login(
    data: SecretMap, *, username: str | None, password: SecretValue, path: object
) -> SecretMap:
    """Return `data` with this login: in the fields ``username`` and ``password``, and in each
    field that is a URL with the present password. `username` None leaves the user as it is.

    All other fields are kept. What the new login is called in a URL is percent-encoded.

    Raises:
        NotRotatable: there is no password, or another field has it in a way that cannot be
            replaced; the field is named.
    """
    present = data.get("password")
    if not present:
        raise NotRotatable("The secret has no field 'password'.", path=path)
    whole: dict[str, SecretValue] = {}
    for name in data.keys():  # noqa: SIM118  a SecretMap is not iterated: that is its guard
        if name == "password":
            whole[name] = password
        elif name == "username" and username is not None:
            whole[name] = SecretValue(username)
        elif name in _PLACES:
            whole[name] = data[name]
        elif (value := _replaced(data[name], data, username, password)) is not None:
            whole[name] = value
        else:
            raise NotRotatable(
                f"The field {name!r} has the password in it, and is no URL like "
                "scheme://user:password@host of the same user; remove it, or make it one.",
                path=path,
            )
    return SecretMap(whole)


def _replaced(
    value: SecretValue, data: SecretMap, username: str | None, password: SecretValue
) -> SecretValue | None:
    """Return a field that is no login by itself, with the present one in it replaced; None if that
    cannot be done.
    """
    present, text = data["password"].reveal(), value.reveal()
    found = _URL.match(text)
    if found is None or unquote(found["password"]) != present:
        return None if _holds(text, present) else value
    if _holds(found["rest"], present) or not _is_same_user(found["user"], data, username):
        return None
    user = found["user"] if username is None else quote(username, safe="")
    secret = quote(password.reveal(), safe="")
    return SecretValue(f"{found['scheme']}{user}:{secret}@{found['rest']}")


def _is_same_user(written: str, data: SecretMap, username: str | None) -> bool:
    """Whether the URL's user is the secret's; only asked where the user is to be another."""
    present = data.get("username")
    return username is None or (present is not None and unquote(written) == present.reveal())


def _holds(text: str, password: str) -> bool:
    return password in text or password in unquote(text)
