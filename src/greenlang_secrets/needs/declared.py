"""One need: a path, and what is taken of it."""

from __future__ import annotations

import re
from typing import Any, Final, Protocol, overload

from greenlang_secrets.credentials import Kind, type_of
from greenlang_secrets.errors import InvalidRequest, SecretIncomplete
from greenlang_secrets.model import Secret
from greenlang_secrets.paths import SecretPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.view import SecretsView

__all__ = ["Need", "need"]

_FIELD: Final = re.compile(r"[A-Za-z0-9._-]{1,253}\Z")
"""What may be a key of a Kubernetes Secret, too."""


class _Looks(Protocol):
    """Gives what was loaded under a name."""

    def _look(self, name: str) -> Any: ...


class Need:
    """What `need` really gives: on an instance of `Needs` it is what was loaded.

    Attributes:
        path: relative to the scope.
        kind: the class it is read as; None for a `Secret`, or where a field is taken.
        field: the key whose value is taken; None for the whole.
        name: as declared in the class; empty outside of one.
    """

    def __init__(self, path: str, kind: type[Any] | None, field: str | None) -> None:
        self.path = str(SecretPath.parse(path))
        if kind is not None and field is not None:
            raise InvalidRequest("Give a class or a field, not both.")
        if kind is not None:
            type_of(kind)
        if field is not None and _FIELD.match(field) is None:
            raise InvalidRequest(
                "A field is 1 to 253 of A-Z, a-z, 0-9, '.', '_' and '-'; take the whole secret."
            )
        self.kind = kind
        self.field = field
        self.name = ""

    def __set_name__(self, owner: type[object], name: str) -> None:
        self.name = name

    def __get__(self, instance: _Looks | None, owner: type[object]) -> Any:
        return self if instance is None else instance._look(self.name)  # noqa: SLF001  of the same package

    def __set__(self, instance: object, value: object) -> None:
        raise AttributeError(f"{self.name} is loaded, and not set")

    def of(self, view: SecretsView, secret: Secret) -> Any:
        """Return what is needed of the secret at the path; asks nobody.

        Raises:
            SecretIncomplete: the field is missing or empty, or one that the class needs is.
            SecretTypeMismatch: it is declared as another type than the class.
        """
        if self.kind is not None:
            return view.as_typed(secret, self.kind)
        if self.field is None:
            return secret
        value = secret.data.get(self.field)
        if not value:
            raise SecretIncomplete(self.field, path=self.path)
        return value

    def __repr__(self) -> str:
        return f"<Need {self.path}>"


@overload
def need(path: str) -> Secret: ...


@overload
def need(path: str, kind: type[Kind]) -> Kind: ...


@overload
def need(path: str, *, field: str) -> SecretValue: ...


def need(path: str, kind: type[Any] | None = None, *, field: str | None = None) -> Any:
    """Declare what a class of `Needs` reads: a secret, or as `kind` such as `DatabaseCredentials`,
    or the value of one `field`, which must not be empty.

    Raises:
        InvalidPath, ReservedName: the path is outside the grammar.
        InvalidRequest: `kind` is none of the classes of `get_typed`, a field is no key that
            Kubernetes takes, or both are given.
    """
    return Need(path, kind, field)
