"""The transit engine: Vault encrypts, signs and computes HMACs with keys that never leave it.

The batch forms answer item by item: one bad item costs no other. Vault says 400 to the whole
for that (to a rewrap even 200), with the good results in the same body. Keys are left to
`transit_keys`, conversions to `transit_values`.

Every operation here may be repeated without harm, and `transport` does that: a second
ciphertext or signature of the same is as good as the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from greenlang_secrets.errors import (
    AccessDenied,
    CiphertextRefused,
    CiphertextTooOld,
    InvalidRequest,
    SecretsError,
    VaultProtocolError,
    VaultRefused,
)
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport import VaultRequest, VaultResponse
from greenlang_secrets.vault.answers import Call, Fields, accepted, given, why_refused
from greenlang_secrets.vault.transit_keys import TransitKey, TransitKeys
from greenlang_secrets.vault.transit_values import (
    AssociatedData,
    CiphertextItem,
    DataKey,
    Encrypted,
    HashAlgorithm,
    Plaintext,
    PlaintextItem,
    Signature,
    SignatureAlgorithm,
    decrypting_body,
    encrypting_body,
    in_base64,
    key_version_of,
    rewrapping_body,
    signing_body,
)

__all__ = ["Transit"]

_T = TypeVar("_T")


class Transit:
    """One transit mount, spoken to with one token; `call` sends a request with that token.

    Every method also raises what `TokenHolder.call` raises, and `VaultRefused` where the mount
    does not exist or the key is of a kind that cannot do this.

    Attributes:
        keys: the keys themselves.
    """

    def __init__(self, call: Call, *, mount: str = "transit") -> None:
        self.keys = TransitKeys(call, mount=mount)
        self._call = call
        self._mount = mount

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

    # ------------------------------------------------------------ sign, verify, HMAC

    async def sign(
        self,
        key: str,
        message: bytes,
        *,
        hash_algorithm: HashAlgorithm = "sha2-256",
        signature_algorithm: SignatureAlgorithm | None = None,
        prehashed: bool = False,
        context: bytes | None = None,
        key_version: int | None = None,
    ) -> Signature:
        """Return a signature; `prehashed` says that `message` is the hash already.

        ``POST /v1/{mount}/sign/{name}`` (Vault API: Transit, "Sign Data").

        Raises:
            ObjectNotFound: there is no such key.
            AccessDenied: the token's policies do not allow it.
        """
        options = signing_body(
            message,
            hash_algorithm=hash_algorithm,
            signature_algorithm=signature_algorithm,
            context=context,
            prehashed=prehashed,
        )
        answer = await self._post("sign", key, options | given(key_version=key_version))
        return Signature.parsed((await self._accepted(answer, key)).text("signature"))

    async def verify(
        self,
        key: str,
        message: bytes,
        signature: str,
        *,
        hash_algorithm: HashAlgorithm = "sha2-256",
        signature_algorithm: SignatureAlgorithm | None = None,
        prehashed: bool = False,
        context: bytes | None = None,
    ) -> bool:
        """Return whether `signature` is this key's for `message`; False for any other text.

        ``POST /v1/{mount}/verify/{name}`` (Vault API: Transit, "Verify Signed Data").

        Raises:
            CiphertextTooOld: its version of the key is retired.
            ObjectNotFound: there is no such key.
            VaultRefused: the key cannot sign, or the token may not read the key and Vault
                did not like the signature.
            AccessDenied: the token's policies do not allow it.
        """
        options = signing_body(
            message,
            hash_algorithm=hash_algorithm,
            signature_algorithm=signature_algorithm,
            context=context,
            prehashed=prehashed,
        )
        return await self._verify(key, {**options, "signature": signature}, signature)

    async def hmac(
        self, key: str, message: bytes, *, algorithm: HashAlgorithm = "sha2-256"
    ) -> Signature:
        """Return the HMAC of `message` by the key's latest version.

        ``POST /v1/{mount}/hmac/{name}`` (Vault API: Transit, "Generate HMAC").

        Raises:
            ObjectNotFound: there is no such key.
            AccessDenied: the token's policies do not allow it.
        """
        body = {"input": in_base64(message), "algorithm": algorithm}
        answer = await self._post("hmac", key, body)
        return Signature.parsed((await self._accepted(answer, key)).text("hmac"))

    async def verify_hmac(
        self, key: str, message: bytes, hmac: str, *, algorithm: HashAlgorithm = "sha2-256"
    ) -> bool:
        """Return whether `hmac` is this key's for `message`; False for any other text.

        ``POST /v1/{mount}/verify/{name}`` (Vault API: Transit, "Verify Signed Data").

        Raises:
            CiphertextTooOld, ObjectNotFound, VaultRefused, AccessDenied: as `verify`.
        """
        body = {"input": in_base64(message), "algorithm": algorithm, "hmac": hmac}
        return await self._verify(key, body, hmac)

    # ------------------------------------------------------------ how it is asked

    async def _post(self, operation: str, name: str, body: Mapping[str, Any]) -> VaultResponse:
        path = ApiPath.of(self._mount, *operation.split("/"), name)
        return await self._call(VaultRequest(method="POST", path=path, body=body, repeatable=True))

    async def _accepted(self, answer: VaultResponse, key: str) -> Fields:
        if not answer.ok:
            path = ApiPath.of(self._mount, "keys", key)
            raise await why_refused(self._call, answer, path, "key")
        return accepted(answer)

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
        answer = await self._post(operation, key, {"batch_input": items})
        if not isinstance(answer.data.get("batch_results"), list):
            # Nothing for each item: the refusal is about the whole.
            await self._accepted(answer, key)
            raise VaultProtocolError
        rows = Fields(answer.data).rows("batch_results")
        if len(rows) != len(items):
            raise VaultProtocolError
        failed = [bool(row.text("error", absent="")) for row in rows]
        known = await self._readable_key(key) if ciphertexts and any(failed) else None
        return tuple(
            read(row)
            if not bad
            else _misfit(ciphertexts[at], known)
            if ciphertexts
            else VaultRefused(status=answer.status)
            for at, (row, bad) in enumerate(zip(rows, failed, strict=True))
        )

    async def _readable_key(self, key: str) -> TransitKey | None:
        """The key; None if this token may not read it. Raises `ObjectNotFound`."""
        try:
            return await self.keys.read(key)
        except (AccessDenied, VaultRefused):
            return None

    async def _verify(self, key: str, body: Mapping[str, Any], signature: str) -> bool:
        version = key_version_of(signature)
        if version is None:
            return False  # Vault would answer 400, as it does to our own mistakes
        answer = await self._post("verify", key, body)
        if answer.status != 400:
            return accepted(answer).flag("valid")
        known = await self._readable_key(key)
        if known is None or ("signature" in body and not known.supports_signing):
            raise VaultRefused(status=400)
        if version < known.min_decryption_version:
            raise CiphertextTooOld
        # A version that is not there yet, or octets that are no signature of this kind.
        return False


def _misfit(ciphertext: str, key: TransitKey | None) -> CiphertextRefused:
    version = key_version_of(ciphertext)
    if key is not None and version is not None and version < key.min_decryption_version:
        return CiphertextTooOld()
    return CiphertextRefused()
