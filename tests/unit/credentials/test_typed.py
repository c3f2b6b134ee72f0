from __future__ import annotations

import copy
import pickle

import pytest

from greenlang_secrets.credentials import (
    ApiKey,
    Credentials,
    DatabaseCredentials,
    EncryptionKey,
    RedisCredentials,
    ServiceToken,
    TlsCertificate,
    check_type,
    type_of,
    typed,
)
from greenlang_secrets.errors import InvalidRequest, SecretTypeMismatch
from greenlang_secrets.model import Secret, SecretType
from greenlang_secrets.paths import PLATFORM
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.vault.transit import Transit
from support.certificates import self_signed
from support.secrets import secret_of

CLASSES: dict[SecretType, type[object]] = {
    SecretType.DATABASE: DatabaseCredentials,
    SecretType.CACHE: RedisCredentials,
    SecretType.API_KEY: ApiKey,
    SecretType.CERTIFICATE: TlsCertificate,
    SecretType.ENCRYPTION_KEY: EncryptionKey,
    SecretType.SERVICE_TOKEN: ServiceToken,
}


def key_for(secret: Secret) -> EncryptionKey:
    return EncryptionKey(
        "k",
        transit=Transit(nobody),
        scope=PLATFORM,
        secret=secret,
    )


async def nobody(_: object) -> None:
    raise NotImplementedError


@pytest.fixture
def data(tmp_path) -> dict[str, str]:
    """Every field that any type needs."""
    files = self_signed(tmp_path, "own")
    return {
        "username": "u",
        "password": "p",
        "host": "h",
        "key": "k",
        "token": "t",
        "certificate": files.cert.read_text(),
        "private_key": files.key.read_text(),
    }


@pytest.mark.parametrize("type_", SecretType)
def test_declared_type_decides(type_: SecretType, data) -> None:
    """Six types have a class each; a secret of another type is the secret it is."""
    secret = secret_of(type_, **data)

    read = typed(secret, key=key_for)

    assert type(read) is CLASSES.get(type_, Secret)
    assert type_ in CLASSES or read is secret


@pytest.mark.parametrize("kind", CLASSES.values())
@pytest.mark.parametrize("type_", SecretType)
def test_class_stands_for_its_type_alone(kind: type[object], type_: SecretType) -> None:
    """Asked for by a class, a secret of another type is an error that names both types."""
    secret = secret_of(type_)

    if CLASSES.get(type_) is kind:
        check_type(secret, type_of(kind))
        return
    with pytest.raises(SecretTypeMismatch) as caught:
        check_type(secret, type_of(kind))
    assert CLASSES[SecretType(caught.value.expected)] is kind
    assert (caught.value.declared, caught.value.path) == (type_.value, "some/path")


def test_error_says_how_to_declare_it_anew() -> None:
    """What is declared as nothing in particular is most often a forgotten declaration."""
    with pytest.raises(SecretTypeMismatch, match=r"declared as generic, not api_key.*API_KEY"):
        check_type(secret_of(SecretType.GENERIC), SecretType.API_KEY)


@pytest.mark.parametrize("kind", [Secret, str, Credentials])
def test_other_classes_stand_for_nothing(kind: type[object]) -> None:
    """What is no class of a type is a mistake of the caller's, which names those that are."""
    with pytest.raises(InvalidRequest, match="one of DatabaseCredentials, RedisCredentials"):
        type_of(kind)


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials(),
        ApiKey(value=SecretValue("k")),
        key_for(secret_of(SecretType.ENCRYPTION_KEY)),
    ],
    ids=lambda credentials: type(credentials).__name__,
)
@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_credentials_are_not_copied(credentials, way) -> None:
    """A second copy would be an unguarded one."""
    with pytest.raises(TypeError, match="not copied or serialised"):
        way(credentials)
