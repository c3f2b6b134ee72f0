"""A secret's data, read field by field, each as its type needs it.

Errors name a field and never show what it holds.
"""

from __future__ import annotations

import re
from typing import Final

from greenlang_secrets.errors import SecretIncomplete
from greenlang_secrets.model import Secret
from greenlang_secrets.sensitive import SecretValue

__all__ = ["flag", "needed", "number", "optional_text", "port", "text"]

_NUMBER: Final = re.compile(r"(?:0|[1-9][0-9]{0,8})\Z")
_MAX_PORT: Final = 65535


def needed(secret: Secret, *names: str) -> SecretValue:
    """Return the first of `names` that the secret has and that is not empty.

    Raises:
        SecretIncomplete: it has none; the first name is told.
    """
    for name in names:
        value = secret.data.get(name)
        if value:
            return value
    raise SecretIncomplete(names[0], path=secret.path)


def text(secret: Secret, name: str) -> str:
    """Return a field that is no secret by itself, such as a user's name.

    Raises:
        SecretIncomplete: it is missing or empty.
    """
    return needed(secret, name).reveal()


def optional_text(secret: Secret, name: str) -> str | None:
    """Return a field that is no secret by itself; None if it is missing or empty."""
    value = secret.data.get(name)
    return value.reveal() if value else None


def number(secret: Secret, name: str, *, absent: int) -> int:
    """Return a whole number from 0 on; `absent` if it is missing or empty.

    Raises:
        SecretIncomplete: it is another text.
    """
    found = optional_text(secret, name)
    if found is None:
        return absent
    if _NUMBER.match(found) is None:
        raise SecretIncomplete(name, wanted="a whole number, 0 or greater", path=secret.path)
    return int(found)


def port(secret: Secret, name: str, *, absent: int) -> int:
    """Return a port; `absent` if it is missing or empty.

    Raises:
        SecretIncomplete: it is another text.
    """
    found = optional_text(secret, name)
    if found is None:
        return absent
    if _NUMBER.match(found) is None or not 1 <= int(found) <= _MAX_PORT:
        raise SecretIncomplete(name, wanted=f"a port, 1 to {_MAX_PORT}", path=secret.path)
    return int(found)


def flag(secret: Secret, name: str) -> bool:
    """Return whether a field says true; False if it is missing or empty.

    Raises:
        SecretIncomplete: it is neither ``true`` nor ``false``.
    """
    match optional_text(secret, name):
        case "true":
            return True
        case None | "false":
            return False
        case _:
            raise SecretIncomplete(name, wanted="true or false", path=secret.path)
