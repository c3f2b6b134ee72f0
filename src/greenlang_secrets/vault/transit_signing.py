"""Signatures and HMACs of the transit engine.

Vault says 400 to a signature that it cannot read, and to a caller's mistake as well. Which of
the two it was is found out by reading the key, never by reading a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenlang_secrets.errors import CiphertextTooOld, VaultRefused
from greenlang_secrets.vault.answers import accepted, given
from greenlang_secrets.vault.transit_requests import TransitRequests
from greenlang_secrets.vault.transit_values import (
    HashAlgorithm,
    Signature,
    SignatureAlgorithm,
    in_base64,
    key_version_of,
    signing_body,
)

__all__ = ["TransitSigning"]


class TransitSigning(TransitRequests):
    """The part of `Transit` that signs, verifies and computes HMACs."""

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
