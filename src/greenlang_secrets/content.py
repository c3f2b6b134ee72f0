"""What a secret may hold: checked before anything is sent, so that an error of Vault's is
never the caller's doing (raft answers 500 to a value over 1 MiB).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from greenlang_secrets.errors import InvalidSecret, InvalidVersion, SecretTooLarge
from greenlang_secrets.model import TYPE_KEY

__all__ = [
    "MAX_JSON",
    "MAX_KEYS",
    "check_custom_metadata",
    "check_data",
    "check_patch",
    "check_version",
    "check_versions",
]

MAX_JSON: Final = 768 * 1024
"""Octets of a secret's JSON: raft's limit of 1 MiB less the room for Vault's own encoding."""

MAX_KEYS: Final = 256
_MAX_KEY: Final = 256
_MAX_VERSIONS: Final = 100
_MAX_VERSION: Final = 2**63 - 1  # OpenBao 2.7.2 answers 400 to what does not fit in 64 bits

# KV v2: at most 64 keys of custom metadata, values of 1 to 512 octets; one key is ours.
_MAX_CUSTOM: Final = 63
_MAX_CUSTOM_KEY: Final = 128
_MAX_CUSTOM_VALUE: Final = 512
_RESERVED_PREFIX: Final = "gls_"


def check_data(data: Mapping[str, str]) -> None:
    """Return if `data` can be kept faithfully.

    Raises:
        InvalidSecret: not strings to strings, a key that is empty or over 256 octets, or
            text that is not valid Unicode; `facts["pointer"]` says where (RFC 6901).
        SecretTooLarge: over 256 keys or 768 KiB of JSON.
    """
    _check(data, removals=False)


def check_patch(data: Mapping[str, str | None]) -> None:
    """Return if `data` is a merge patch of a secret: as `check_data`, and None removes.

    Raises:
        InvalidSecret, SecretTooLarge: as `check_data`.
    """
    _check(data, removals=True)


def _check(data: Mapping[str, str | None], *, removals: bool) -> None:
    if not isinstance(data, Mapping):
        raise InvalidSecret(pointer="/data")
    if len(data) > MAX_KEYS:
        raise SecretTooLarge
    for key, value in data.items():
        if not isinstance(key, str):
            raise InvalidSecret("A key of the data is not a string.", pointer="/data")
        if not key or _octets(key, "/data") > _MAX_KEY:
            raise InvalidSecret(f"A key has 1 to {_MAX_KEY} octets.", pointer="/data")
        if value is None and removals:
            continue
        if not isinstance(value, str):
            raise InvalidSecret("A value of the data is not a string.", pointer=_pointer(key))
        _octets(value, _pointer(key))
    if len(json.dumps(dict(data), ensure_ascii=False).encode()) > MAX_JSON:
        raise SecretTooLarge


def _octets(text: str, pointer: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:  # a lone surrogate, which Vault would turn into U+FFFD
        raise InvalidSecret("A key or value is not valid Unicode.", pointer=pointer) from None


def _pointer(key: str) -> str:
    return "/data/" + key.replace("~", "~0").replace("/", "~1")


def check_custom_metadata(custom: Mapping[str, str]) -> None:
    """Return if `custom` can be set as custom metadata.

    Raises:
        InvalidSecret: over 63 keys, not strings, a key over 128 or a value not of 1 to 512
            octets, either not printable, or one of our own keys (`type`, `gls_...`).
    """
    if not isinstance(custom, Mapping) or len(custom) > _MAX_CUSTOM:
        raise InvalidSecret(
            f"Custom metadata is a mapping of at most {_MAX_CUSTOM} keys.",
            pointer="/custom_metadata",
        )
    for key, value in custom.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidSecret(
                "Custom metadata maps strings to strings.", pointer="/custom_metadata"
            )
        if not 1 <= _octets(key, "/custom_metadata") <= _MAX_CUSTOM_KEY or not (
            1 <= _octets(value, "/custom_metadata") <= _MAX_CUSTOM_VALUE
        ):
            raise InvalidSecret(
                f"Custom metadata has keys of 1 to {_MAX_CUSTOM_KEY} and values of 1 to "
                f"{_MAX_CUSTOM_VALUE} octets.",
                pointer="/custom_metadata",
            )
        # OpenBao 2.7.2 answers 400 to what Go's unicode.IsPrint refuses, as isprintable does.
        if not key.isprintable() or not value.isprintable():
            raise InvalidSecret(
                "Custom metadata has printable keys and values.", pointer="/custom_metadata"
            )
        if key == TYPE_KEY or key.startswith(_RESERVED_PREFIX):
            raise InvalidSecret(
                f"The custom metadata key {key!r} is reserved; the type has a field of its own.",
                pointer="/custom_metadata",
            )


def check_version(version: object) -> None:
    """Return if `version` is a whole number from 1 on.

    Raises:
        InvalidVersion: it is not.
    """
    if (
        isinstance(version, bool)
        or not isinstance(version, int)
        or not 1 <= version <= _MAX_VERSION
    ):
        raise InvalidVersion


def check_versions(versions: object) -> tuple[int, ...]:
    """Return `versions`, one or a list of them, as 1 to 100 different versions.

    Raises:
        InvalidVersion: they are not.
    """
    if isinstance(versions, int):
        versions = (versions,)
    if isinstance(versions, str | bytes | bytearray) or not isinstance(versions, Sequence):
        raise InvalidVersion("Versions are a list of whole numbers.")
    for version in versions:
        check_version(version)
    if not 1 <= len(versions) <= _MAX_VERSIONS or len(set(versions)) != len(versions):
        raise InvalidVersion(f"Name 1 to {_MAX_VERSIONS} versions, each once.")
    return tuple(versions)
