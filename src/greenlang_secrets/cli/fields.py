"""One value of a secret, as commands name it: by its key, or by ``PATH#FIELD``."""

from __future__ import annotations

from dataclasses import dataclass

import click

from greenlang_secrets.errors import SecretUnavailable
from greenlang_secrets.model import Secret
from greenlang_secrets.paths import SecretPath
from greenlang_secrets.sensitive import SecretValue

__all__ = ["FieldNotFound", "Reference", "field_of"]


class FieldNotFound(SecretUnavailable):
    """The secret has no such key; the text names those it has."""

    code = "field_not_found"


@dataclass(frozen=True, slots=True)
class Reference:
    """A value by its place."""

    path: str
    field: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Return what ``PATH#FIELD`` names.

        Raises:
            click.UsageError: it is not of that form.
            InvalidPath, ReservedName: the path is outside the grammar.
        """
        path, separator, field = text.partition("#")
        if not separator or not path or not field:
            raise click.UsageError("A value is named as PATH#FIELD, such as api-keys/stripe#key.")
        SecretPath.parse(path)
        return cls(path, field)


def field_of(secret: Secret, field: str) -> SecretValue:
    """Return the value of a key.

    Raises:
        FieldNotFound: there is no such key.
    """
    value = secret.data.get(field)
    if value is None:
        have = ", ".join(sorted(secret.data.keys())) or "none"
        raise FieldNotFound(f"There is no key {field!r}; there are: {have}.", path=secret.path)
    return value
