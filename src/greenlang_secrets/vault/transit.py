"""The transit engine: Vault encrypts, signs and computes HMACs with keys that never leave it.

The batch forms answer item by item: one bad item costs no other. Signatures are left to
`transit_signing`, keys to `transit_keys`, conversions to `transit_values`.

Every operation here may be repeated without harm, and `transport` does that: a second
ciphertext or signature of the same is as good as the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from greenlang_secrets.errors import (
    CiphertextRefused,
    CiphertextTooOld,
    InvalidRequest,
    SecretsError,
    VaultRefused,
)
from greenlang_secrets.vault.answers import Fields, accepted, given
from greenlang_secrets.vault.transit_keys import TransitKey
from greenlang_secrets.vault.transit_requests import is_bad
from greenlang_secrets.vault.transit_signing import TransitSigning
from greenlang_secrets.vault.transit_values import (
    AssociatedData,
    CiphertextItem,
    DataKey,
    Encrypted,
    Plaintext,
    PlaintextItem,
    decrypting_body,
    encrypting_body,
    in_base64,
    key_version_of,
    rewrapping_body,
)

__all__ = ["Transit"]

_T = TypeVar("_T")


class Transit(TransitSigning):
    """One transit mount, spoken to with one token; `call` sends a request with that token.

    Every method also raises what `TokenHolder.call` raises, and `VaultRefused` where the mount
    does not exist or the key is of a kind that cannot do this.

    Attributes:
        keys: the keys themselves.
    """

    # ------------------------------------------------------------ encrypt, decrypt, rewrap

    async def encrypt(
        self,
        key: str,
        plaintext: Plaintext,
        *,
        context: bytes | None = None,
        associated_data: AssociatedData | None = None,
        key_version: int | None = None,
    ) -> Encrypted:
        """Return the ciphertext; of the key's latest version when `key_version` is None.

        ``POST /v1/{mount}/encrypt/{name}`` (Vault API: Transit, "Encrypt Data"). What is
        `bound_to` something decrypts only with the same `associated_data`. An unknown key is
        created, unless policy or `TransitKeys.configure_upsert` forbid it.

        Raises:
            ObjectNotFound: there is no such key, and it was not created.
            AccessDenied: the token's policies do not allow it.
        """
        body = encrypting_body(PlaintextItem(plaintext, context, associated_data))
        answer = await self._post("encrypt", key, body | given(key_version=key_version))
        return Encrypted.parsed((await self._accepted(answer, key)).text("ciphertext"))

    async def encrypt_many(
        self, key: str, items: Sequence[PlaintextItem]
    ) -> tuple[Encrypted | SecretsError, ...]:
        """Return a ciphertext for each item, or the error that this item alone met.

        ``POST /v1/{mount}/encrypt/{name}`` with ``batch_input``. Raises and creates keys as
        `encrypt` does; without items nothing is asked.
        """
        return await self._many(
            "encrypt",
            key,
            [encrypting_body(item) for item in items],
            lambda row: Encrypted.parsed(row.text("ciphertext")),
        )

    async def decrypt(
        self,
        key: str,
        ciphertext: str,
        *,
        context: bytes | None = None,
        associated_data: AssociatedData | None = None,
    ) -> Plaintext:
        """Return the plaintext.

        ``POST /v1/{mount}/decrypt/{name}`` (Vault API: Transit, "Decrypt Data"). Where the
        token may not read the key, a retired version and a missing key are `CiphertextRefused`
        too: Vault tells them apart in words only.

        Raises:
            CiphertextRefused: it was not made by this key with this context and these
                associated data, or was changed.
            CiphertextTooOld: its version of the key is retired.
            ObjectNotFound: there is no such key.
            AccessDenied: the token's policies do not allow it.
        """
        item = CiphertextItem(ciphertext, context, associated_data)
        answer = await self._post("decrypt", key, decrypting_body(item))
        if answer.status == 400:
            raise _misfit(ciphertext, await self._readable_key(key))
        return Plaintext.parsed(accepted(answer).text("plaintext"))

    async def decrypt_many(
        self, key: str, items: Sequence[CiphertextItem]
    ) -> tuple[Plaintext | SecretsError, ...]:
        """Return a plaintext for each item, or the error that this item alone met.

        ``POST /v1/{mount}/decrypt/{name}`` with ``batch_input``. Raises as `decrypt` does,
        except for what concerns one item; without items nothing is asked.
        """
        return await self._many(
            "decrypt",
            key,
            [decrypting_body(item) for item in items],
            lambda row: Plaintext.parsed(row.text("plaintext")),
            [item.ciphertext for item in items],
        )

    async def rewrap(self, key: str, ciphertext: str, *, context: bytes | None = None) -> Encrypted:
        """Return the same plaintext encrypted by the key's latest version, without seeing it.

        ``POST /v1/{mount}/rewrap/{name}`` (Vault API: Transit, "Rewrap Data"). Vault takes no
        associated data here (seen on OpenBao 2.7.2, `test_transit.py` holds it): what was
        bound to something is decrypted and encrypted again instead.

        Raises:
            CiphertextRefused, CiphertextTooOld, ObjectNotFound, AccessDenied: as `decrypt`.
        """
        answer = await self._post(
            "rewrap", key, rewrapping_body(CiphertextItem(ciphertext, context))
        )
        if answer.status == 400:
            raise _misfit(ciphertext, await self._readable_key(key))
        return Encrypted.parsed(accepted(answer).text("ciphertext"))

    async def rewrap_many(
        self, key: str, items: Sequence[CiphertextItem]
    ) -> tuple[Encrypted | SecretsError, ...]:
        """Return a new ciphertext for each item, or the error that this item alone met.

        ``POST /v1/{mount}/rewrap/{name}`` with ``batch_input``. Raises as `rewrap` does,
        except for what concerns one item; without items nothing is asked.

        Raises:
            InvalidRequest: an item has associated data.
        """
        return await self._many(
            "rewrap",
            key,
            [rewrapping_body(item) for item in items],
            lambda row: Encrypted.parsed(row.text("ciphertext")),
            [item.ciphertext for item in items],
        )

    # ------------------------------------------------------------ keys to use at home

    async def datakey(
        self, key: str, *, bits: Literal[128, 256, 512] = 256, context: bytes | None = None
    ) -> DataKey:
        """Return a new key to encrypt with at home, in clear and encrypted.

        ``POST /v1/{mount}/datakey/plaintext/{name}`` (Vault API: Transit, "Generate Data Key").

        Raises:
            ObjectNotFound: there is no such key.
            AccessDenied: the token's policies do not allow it.
        """
        fields = await self._datakey("plaintext", key, bits, context)
        return DataKey(
            plaintext=Plaintext.parsed(fields.text("plaintext")),
            encrypted=Encrypted.parsed(fields.text("ciphertext")),
        )

    async def wrapped_datakey(
        self, key: str, *, bits: Literal[128, 256, 512] = 256, context: bytes | None = None
    ) -> Encrypted:
        """Return a new key encrypted only, for somebody else to `decrypt`.

        ``POST /v1/{mount}/datakey/wrapped/{name}`` (Vault API: Transit, "Generate Data Key").

        Raises:
            ObjectNotFound: there is no such key.
            AccessDenied: the token's policies do not allow it.
        """
        fields = await self._datakey("wrapped", key, bits, context)
        return Encrypted.parsed(fields.text("ciphertext"))

    async def random(self, octets: int) -> Plaintext:
        """Return random octets from Vault's source.

        ``POST /v1/{mount}/random/{bytes}`` (Vault API: Transit, "Generate Random Bytes").

        Raises:
            InvalidRequest: fewer than 1.
            VaultRefused: more than Vault gives at once (128 KiB).
            AccessDenied: the token's policies do not allow it.
        """
        if octets < 1:
            raise InvalidRequest("Ask for one octet or more.")
        answer = await self._post("random", f"{octets:d}", {})
        return Plaintext.parsed(accepted(answer).text("random_bytes"))

    # ------------------------------------------------------------ how it is asked

    async def _datakey(self, kind: str, key: str, bits: int, context: bytes | None) -> Fields:
        body = given(bits=bits, context=None if context is None else in_base64(context))
        return await self._accepted(await self._post(f"datakey/{kind}", key, body), key)

    async def _many(
        self,
        operation: str,
        key: str,
        items: list[dict[str, Any]],
        read: Callable[[Fields], _T],
        ciphertexts: Sequence[str] = (),
    ) -> tuple[_T | SecretsError, ...]:
        if not items:
            return ()
        rows = await self._rows(operation, key, items)
        failed = [is_bad(row) for row in rows]
        known = await self._readable_key(key) if ciphertexts and any(failed) else None
        return tuple(
            read(row)
            if not bad
            else _misfit(ciphertexts[at], known)
            if ciphertexts
            else VaultRefused(status=400)
            for at, (row, bad) in enumerate(zip(rows, failed, strict=True))
        )


def _misfit(ciphertext: str, key: TransitKey | None) -> CiphertextRefused:
    version = key_version_of(ciphertext)
    if key is not None and version is not None and version < key.min_decryption_version:
        return CiphertextTooOld()
    return CiphertextRefused()
