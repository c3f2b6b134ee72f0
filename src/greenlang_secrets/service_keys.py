"""The service's own keys: made once, kept in Vault, the same in every replica.

They lie in the platform scope at ``_service/keys``: a leading ``_`` is outside the grammar of
paths, so no caller can name the entry, and a listing shows it as not addressable.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from typing import Final

from greenlang_secrets.errors import (
    SecretDeleted,
    SecretIncomplete,
    SecretNotFound,
    VersionConflict,
    VersionNotFound,
)
from greenlang_secrets.model import Secret
from greenlang_secrets.paths import PLATFORM, KvPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.vault.client import VaultClient
from greenlang_secrets.vault.kv import KvV2

__all__ = ["ServiceKeys", "load_audit_keys", "load_service_keys"]

_OCTETS: Final = 32

_KEPT_VERSIONS: Final = 1000
"""Versions that Vault keeps of the entry, instead of its 10: an audit log is verified with the
key that it was written with, and may be kept for years.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKeys:
    """Three keys of 32 random octets each, as base64.

    Attributes:
        version: the version of the entry in Vault.
        audit: seals the records of the audit log.
        cursors: signs the cursors of lists.
        idempotency: makes fingerprints of requests that may be repeated.
    """

    version: int
    audit: SecretValue
    cursors: SecretValue
    idempotency: SecretValue


_FIELDS: Final = ("audit", "cursors", "idempotency")


async def load_service_keys(client: VaultClient, *, kv_mount: str) -> ServiceKeys:
    """Return the keys of the current version, which are made if there are none.

    Of many replicas that begin at once, one makes them (CAS 0), and the others read what it
    wrote. A caller that is cancelled may leave them made.

    Raises:
        SecretIncomplete: the entry lacks a key, or one is not 32 octets in base64.
        SecretDeleted: the entry is deleted; undelete it, because records are sealed with it.
        VaultUnavailable: Vault gives no answer.
        OutcomeUnknown: it gave none to the write; call again.
        AccessDenied: the service's policy does not allow it.
    """
    path, kv = KvPath.of_service(kv_mount, "keys"), client.kv(PLATFORM)
    try:
        secret = await kv.read(path, consistent=True)
    except SecretNotFound:
        await _make(kv, path)
        secret = await kv.read(path, consistent=True)
    return ServiceKeys(
        version=secret.version,
        audit=_key(secret, "audit"),
        cursors=_key(secret, "cursors"),
        idempotency=_key(secret, "idempotency"),
    )


async def load_audit_keys(client: VaultClient, *, kv_mount: str) -> dict[int, SecretValue]:
    """Return the audit log's key of every version that is there: what a whole log is verified
    with. Empty if none was ever made; makes none.

    Raises:
        SecretIncomplete, VaultUnavailable, AccessDenied: as `load_service_keys`.
    """
    path, kv = KvPath.of_service(kv_mount, "keys"), client.kv(PLATFORM)
    try:
        metadata = await kv.read_metadata(path, consistent=True)
    except SecretNotFound:
        return {}
    keys = {}
    for version in metadata.versions:
        if version.state != "live":
            continue
        try:
            secret = await kv.read(path, version=version.version, consistent=True)
        except (SecretDeleted, VersionNotFound):  # since its metadata was read
            continue
        keys[secret.version] = _key(secret, "audit")
    return keys


async def _make(kv: KvV2, path: KvPath) -> None:
    data = {name: base64.b64encode(os.urandom(_OCTETS)).decode("ascii") for name in _FIELDS}
    try:
        await kv.write(path, data, cas=0)
    except VersionConflict:
        return  # another replica was first
    await kv.patch_metadata(path, max_versions=_KEPT_VERSIONS)


def _key(secret: Secret, field: str) -> SecretValue:
    value = secret.data.get(field)
    if value is None:
        raise SecretIncomplete(field, path=secret.path)
    try:
        octets = base64.b64decode(value.reveal(), validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    if len(octets) != _OCTETS:
        raise SecretIncomplete(field, wanted=f"{_OCTETS} octets in base64", path=secret.path)
    return value
