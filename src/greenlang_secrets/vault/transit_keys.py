"""The transit engine's keys: create, read, rotate, retire old versions, delete.

A key never leaves Vault, which is the point of the engine. So there is no export, no plaintext
backup and no way to make a key exportable here: a key that can be exported can be stolen once
and used for ever, and none of these can be undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from greenlang_secrets.errors import ObjectExists
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport import VaultRequest
from greenlang_secrets.vault.answers import (
    Call,
    Fields,
    accepted,
    given,
    names_of,
    read_object,
    ttl_text,
    why_refused,
)

__all__ = ["KeyType", "KeyVersion", "TransitKey", "TransitKeys"]

KeyType = Literal[
    "aes128-gcm96",
    "aes256-gcm96",
    "chacha20-poly1305",
    "ecdsa-p256",
    "ecdsa-p384",
    "ecdsa-p521",
    "ed25519",
    "rsa-2048",
    "rsa-3072",
    "rsa-4096",
]
"""Kinds of key that Vault and OpenBao both make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyVersion:
    """One version of a key.

    Attributes:
        public_key: of a signing or RSA key: PEM, or base64 for ed25519.
    """

    version: int
    created_at: datetime
    public_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitKey:
    """A key's settings and history; never the key.

    Attributes:
        type: such as aes256-gcm96; any text, since servers know more kinds than `KeyType`.
        min_decryption_version: older versions neither decrypt nor verify.
        min_encryption_version: older ones do not encrypt; 0 for only the latest.
        min_available_version: older ones are trimmed for good; 0 if none was.
        auto_rotate_period: seconds; 0 for never.
        versions: those that still decrypt, oldest first.
    """

    name: str
    type: str
    latest_version: int
    min_decryption_version: int
    min_encryption_version: int
    min_available_version: int
    deletion_allowed: bool
    derived: bool
    convergent_encryption: bool
    exportable: bool
    supports_encryption: bool
    supports_signing: bool
    auto_rotate_period: float
    versions: tuple[KeyVersion, ...]


class TransitKeys:
    """The keys of one transit mount; made by `Transit`."""

    def __init__(self, call: Call, *, mount: str) -> None:
        self._call = call
        self._mount = mount

    async def create(
        self,
        name: str,
        *,
        type: KeyType = "aes256-gcm96",  # noqa: A002  Vault's own word
        derived: bool = False,
        convergent_encryption: bool = False,
        auto_rotate_period: float | None = None,
    ) -> TransitKey:
        """Return a new key; or the one that is there, if it is of the same kind.

        ``POST /v1/{mount}/keys/{name}`` (Vault API: Transit, "Create Key"). A `derived` key
        takes a context with every request; `convergent_encryption` (only with it) makes equal
        plaintexts equal ciphertexts, which an index can find and a reader can compare.
        `auto_rotate_period` is in seconds, one hour at least.

        Raises:
            ObjectExists: a key of another kind has this name; Vault itself says 200.
            VaultRefused: the options do not fit one another.
            AccessDenied: the token's policies do not allow it.
        """
        body = given(
            type=type,
            derived=derived,
            convergent_encryption=convergent_encryption,
            auto_rotate_period=ttl_text(auto_rotate_period),
        )
        request = VaultRequest(
            method="POST", path=self._path(name), body=body, repeatable=True
        )  # a key that is there stays as it is
        accepted(await self._call(request))
        key = await self.read(name)
        if (key.type, key.derived, key.convergent_encryption) != (
            type,
            derived,
            convergent_encryption,
        ):
            raise ObjectExists("key", path=self._path(name))
        return key

    async def read(self, name: str) -> TransitKey:
        """Return a key's settings and versions.

        ``GET /v1/{mount}/keys/{name}`` (Vault API: Transit, "Read Key").

        Raises:
            ObjectNotFound: there is no such key.
            AccessDenied: the token's policies do not allow it.
        """
        return _key(name, await read_object(self._call, self._path(name), "key"))

    async def list(self) -> tuple[str, ...]:
        """Return the names of all keys.

        ``LIST /v1/{mount}/keys`` (Vault API: Transit, "List Keys").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        path = ApiPath.of(self._mount, "keys")
        return names_of(await self._call(VaultRequest(method="LIST", path=path)))

    async def configure(
        self,
        name: str,
        *,
        min_decryption_version: int | None = None,
        min_encryption_version: int | None = None,
        deletion_allowed: bool | None = None,
        auto_rotate_period: float | None = None,
    ) -> None:
        """Change settings of a key; what is None stays.

        ``POST /v1/{mount}/keys/{name}/config`` (Vault API: Transit, "Update Key
        Configuration"). Raising `min_decryption_version` shuts out every ciphertext of older
        versions, so rewrap first; it can be lowered again until the versions are trimmed.

        Raises:
            ObjectNotFound: there is no such key.
            VaultRefused: a version above the latest, or a period below an hour.
            AccessDenied: the token's policies do not allow it.
        """
        body = given(
            min_decryption_version=min_decryption_version,
            min_encryption_version=min_encryption_version,
            deletion_allowed=deletion_allowed,
            auto_rotate_period=ttl_text(auto_rotate_period),
        )
        await self._change(name, "config", body, repeatable=True)

    async def rotate(self, name: str) -> None:
        """Add a version, which encrypts and signs from now on; older ones still decrypt.

        ``POST /v1/{mount}/keys/{name}/rotate`` (Vault API: Transit, "Rotate Key").

        Raises:
            ObjectNotFound: there is no such key.
            OutcomeUnknown: no answer came; compare `latest_version`.
            AccessDenied: the token's policies do not allow it.
        """
        await self._change(name, "rotate", None, repeatable=False)

    async def trim(self, name: str, *, min_available_version: int) -> None:
        """Remove older versions for good: what they encrypted is lost.

        ``POST /v1/{mount}/keys/{name}/trim`` (Vault API: Transit, "Trim Key"). Vault does it
        only below both `min_decryption_version` and a set `min_encryption_version`.

        Raises:
            ObjectNotFound: there is no such key.
            VaultRefused: the key's settings still admit one of those versions.
            AccessDenied: the token's policies do not allow it.
        """
        body = {"min_available_version": min_available_version}
        await self._change(name, "trim", body, repeatable=True)

    async def delete(self, name: str) -> None:
        """Remove a key for good: everything it encrypted is lost.

        ``DELETE /v1/{mount}/keys/{name}`` (Vault API: Transit, "Delete Key").

        Raises:
            ObjectNotFound: there is no such key.
            VaultRefused: the key was not configured with `deletion_allowed`.
            AccessDenied: the token's policies do not allow it.
        """
        path = self._path(name)
        answer = await self._call(VaultRequest(method="DELETE", path=path, repeatable=True))
        if not answer.ok:
            raise await why_refused(self._call, answer, path, "key")

    async def upsert_allowed(self) -> bool:
        """Return whether encrypting with an unknown key's name creates that key.

        ``GET /v1/{mount}/config/keys`` (Vault API: Transit, "Read Keys Configuration").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        path = ApiPath.of(self._mount, "config", "keys")
        answer = await self._call(VaultRequest(method="GET", path=path))
        return not accepted(answer).flag("disable_upsert")

    async def configure_upsert(self, *, allowed: bool) -> None:
        """Decide whether encrypting with an unknown key's name creates that key.

        ``POST /v1/{mount}/config/keys`` (Vault API: Transit, "Write Keys Configuration").
        Vault's default is yes: a mistyped name then makes a key that nobody looks after. A
        policy with `update` and without `create` on ``encrypt/`` forbids it too.

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        path = ApiPath.of(self._mount, "config", "keys")
        body = {"disable_upsert": not allowed}
        request = VaultRequest(method="POST", path=path, body=body, repeatable=True)
        accepted(await self._call(request))

    async def _change(
        self, name: str, what: str, body: Mapping[str, Any] | None, *, repeatable: bool
    ) -> None:
        path = self._path(name, what)
        request = VaultRequest(method="POST", path=path, body=body, repeatable=repeatable)
        answer = await self._call(request)
        if not answer.ok:
            raise await why_refused(self._call, answer, self._path(name), "key")

    def _path(self, *parts: str) -> ApiPath:
        return ApiPath.of(self._mount, "keys", *parts)


def _key(name: str, fields: Fields) -> TransitKey:
    return TransitKey(
        name=name,
        type=fields.text("type"),
        latest_version=fields.whole("latest_version"),
        min_decryption_version=fields.whole("min_decryption_version"),
        min_encryption_version=fields.whole("min_encryption_version"),
        min_available_version=fields.whole("min_available_version", absent=0),
        deletion_allowed=fields.flag("deletion_allowed"),
        derived=fields.flag("derived"),
        convergent_encryption=fields.flag("convergent_encryption", absent=False),
        exportable=fields.flag("exportable"),
        supports_encryption=fields.flag("supports_encryption"),
        supports_signing=fields.flag("supports_signing"),
        auto_rotate_period=fields.seconds("auto_rotate_period", absent=0),
        # An HMAC key lists no versions at all.
        versions=_versions(fields.part("keys")) if fields.has("keys") else (),
    )


def _versions(rows: Fields) -> tuple[KeyVersion, ...]:
    found = [_version(rows, number) for number in rows]
    return tuple(sorted(found, key=lambda row: row.version))


def _version(rows: Fields, number: str) -> KeyVersion:
    """A symmetric key has a time for each version, the others an object."""
    version = rows.number_in_name(number)
    if rows.is_object(number):
        row = rows.part(number)
        return KeyVersion(
            version=version,
            created_at=row.moment("creation_time"),
            public_key=row.text("public_key", absent="") or None,
        )
    return KeyVersion(version=version, created_at=rows.moment(number), public_key=None)
