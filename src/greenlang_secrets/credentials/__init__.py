"""Typed credentials: what a secret's data mean, by the type it is declared as.

A new kind is a file here and a row in each of the tables below. Getting the secret is left
to `view`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from greenlang_secrets.credentials.api_key import ApiKey
from greenlang_secrets.credentials.api_key_verifier import ApiKeyVerifier
from greenlang_secrets.credentials.database import DatabaseCredentials
from greenlang_secrets.credentials.encryption import Bound, EncryptionKey, key_named_by
from greenlang_secrets.credentials.origin import Credentials
from greenlang_secrets.credentials.redis import RedisCredentials
from greenlang_secrets.credentials.service_token import ServiceToken
from greenlang_secrets.credentials.tls import TlsCertificate
from greenlang_secrets.errors import InvalidRequest, SecretTypeMismatch
from greenlang_secrets.model import Secret, SecretType

__all__ = [
    "ApiKey",
    "ApiKeyVerifier",
    "Bound",
    "Credentials",
    "DatabaseCredentials",
    "EncryptionKey",
    "Kind",
    "RedisCredentials",
    "ServiceToken",
    "TlsCertificate",
    "TypedSecret",
    "check_type",
    "key_named_by",
    "type_of",
    "typed",
]

TypedSecret = (
    DatabaseCredentials
    | RedisCredentials
    | ApiKey
    | TlsCertificate
    | EncryptionKey
    | ServiceToken
    | Secret
)
"""What `get_typed` gives; a plain `Secret` for the types without a class of their own."""

Kind = TypeVar(
    "Kind",
    bound=DatabaseCredentials
    | RedisCredentials
    | ApiKey
    | TlsCertificate
    | EncryptionKey
    | ServiceToken,
)
"""A class that a secret's type has."""

_TYPE_OF: Final[dict[type[object], SecretType]] = {
    DatabaseCredentials: SecretType.DATABASE,
    RedisCredentials: SecretType.CACHE,
    ApiKey: SecretType.API_KEY,
    TlsCertificate: SecretType.CERTIFICATE,
    EncryptionKey: SecretType.ENCRYPTION_KEY,
    ServiceToken: SecretType.SERVICE_TOKEN,
}


def type_of(kind: type[object]) -> SecretType:
    """Return the type that a class stands for.

    Raises:
        InvalidRequest: it is none of the six.
    """
    try:
        return _TYPE_OF[kind]
    except KeyError:
        names = ", ".join(each.__name__ for each in _TYPE_OF)
        raise InvalidRequest(f"A class to read a secret as is one of {names}.") from None


def check_type(secret: Secret, expected: SecretType) -> None:
    """Return if the secret is declared as this type.

    Raises:
        SecretTypeMismatch: it is not.
    """
    if secret.type is not expected:
        raise SecretTypeMismatch(
            declared=secret.type.value, expected=expected.value, path=secret.path
        )


def typed(secret: Secret, *, key: Callable[[Secret], EncryptionKey]) -> TypedSecret:
    """Return a secret by its declared type; `key` makes the key that a secret refers to.

    Raises:
        SecretIncomplete: a field that its type needs is missing or malformed.
    """
    match secret.type:
        case SecretType.DATABASE:
            return DatabaseCredentials.of(secret)
        case SecretType.CACHE:
            return RedisCredentials.of(secret)
        case SecretType.API_KEY:
            return ApiKey.of(secret)
        case SecretType.CERTIFICATE:
            return TlsCertificate.of(secret)
        case SecretType.ENCRYPTION_KEY:
            return key(secret)
        case SecretType.SERVICE_TOKEN:
            return ServiceToken.of(secret)
        case _:
            return secret
