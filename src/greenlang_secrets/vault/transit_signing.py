"""Signatures and HMACs of the transit engine.

Vault says 400, or an error for one item of many, to a signature that it cannot read, and to a
caller's mistake as well. Which of the two it was is found out by reading the key, never by
reading a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenlang_secrets.errors import CiphertextTooOld, SecretsError, VaultRefused
from greenlang_secrets.vault.answers import given
from greenlang_secrets.vault.transit_keys import TransitKey
from greenlang_secrets.vault.transit_requests import TransitRequests, is_bad
from greenlang_secrets.vault.transit_values import (
    HashAlgorithm,
    HmacItem,
    Signature,
    SignatureAlgorithm,
    SignatureItem,
    SigningItem,
    in_base64,
    key_version_of,
    signing_body,
    signing_options,
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
        body = {
            **signing_options(hash_algorithm, signature_algorithm, prehashed=prehashed),
            **signing_body(SigningItem(message, context)),
            **given(key_version=key_version),
        }
        answer = await self._post("sign", key, body)
        return Signature.parsed((await self._accepted(answer, key)).text("signature"))

    async def sign_many(
        self,
        key: str,
        items: Sequence[SigningItem],
        *,
        hash_algorithm: HashAlgorithm = "sha2-256",
        signature_algorithm: SignatureAlgorithm | None = None,
        prehashed: bool = False,
        key_version: int | None = None,
    ) -> tuple[Signature | SecretsError, ...]:
        """Return a signature for each item, or the error that this item alone met.

        ``POST /v1/{mount}/sign/{name}`` with ``batch_input``. Raises as `sign` does, except for
        what concerns one item; without items nothing is asked.
        """
        options = signing_options(hash_algorithm, signature_algorithm, prehashed=prehashed)
        bodies = [signing_body(item) for item in items]
        options |= given(key_version=key_version)
        return await self._make_many("sign", "signature", key, bodies, options)

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
            VaultRefused: the key cannot sign or lacks its context, or the token may not read
                the key and Vault did not like the signature.
            AccessDenied: the token's policies do not allow it.
        """
        options = signing_options(hash_algorithm, signature_algorithm, prehashed=prehashed)
        body = signing_body(SignatureItem(message, signature, context))
        return await self._verify(key, body, options)

    async def verify_many(
        self,
        key: str,
        items: Sequence[SignatureItem],
        *,
        hash_algorithm: HashAlgorithm = "sha2-256",
        signature_algorithm: SignatureAlgorithm | None = None,
        prehashed: bool = False,
    ) -> tuple[bool | SecretsError, ...]:
        """Return for each item what `verify` returns, or the error that this item alone met.

        Compare with ``is True``: an error is no False, but it is no True either.
        ``POST /v1/{mount}/verify/{name}`` with ``batch_input``. Raises as `verify` does, except
        for what concerns one item; texts of another form than a signature's are not sent.
        """
        options = signing_options(hash_algorithm, signature_algorithm, prehashed=prehashed)
        return await self._verify_many(key, [signing_body(item) for item in items], options)

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

    async def hmac_many(
        self, key: str, messages: Sequence[bytes], *, algorithm: HashAlgorithm = "sha2-256"
    ) -> tuple[Signature | SecretsError, ...]:
        """Return the HMAC of each message, or the error that this one alone met.

        ``POST /v1/{mount}/hmac/{name}`` with ``batch_input``. Raises as `hmac` does, except for
        what concerns one item; without messages nothing is asked.
        """
        bodies = [{"input": in_base64(message)} for message in messages]
        return await self._make_many("hmac", "hmac", key, bodies, {"algorithm": algorithm})

    async def verify_hmac(
        self, key: str, message: bytes, hmac: str, *, algorithm: HashAlgorithm = "sha2-256"
    ) -> bool:
        """Return whether `hmac` is this key's for `message`; False for any other text.

        ``POST /v1/{mount}/verify/{name}`` (Vault API: Transit, "Verify Signed Data").

        Raises:
            CiphertextTooOld, ObjectNotFound, VaultRefused, AccessDenied: as `verify`.
        """
        body = {"input": in_base64(message), "hmac": hmac}
        return await self._verify(key, body, {"algorithm": algorithm})

    async def verify_hmac_many(
        self, key: str, items: Sequence[HmacItem], *, algorithm: HashAlgorithm = "sha2-256"
    ) -> tuple[bool | SecretsError, ...]:
        """Return for each item what `verify_hmac` returns, or the error that it alone met.

        ``POST /v1/{mount}/verify/{name}`` with ``batch_input``; otherwise as `verify_many`.
        """
        bodies = [{"input": in_base64(item.message), "hmac": item.hmac} for item in items]
        return await self._verify_many(key, bodies, {"algorithm": algorithm})

    # ------------------------------------------------------------ how it is asked

    async def _make_many(
        self,
        operation: str,
        made: str,
        key: str,
        bodies: list[dict[str, Any]],
        options: dict[str, Any],
    ) -> tuple[Signature | SecretsError, ...]:
        if not bodies:
            return ()
        rows = await self._rows(operation, key, bodies, **options)
        return tuple(
            VaultRefused(status=400) if is_bad(row) else Signature.parsed(row.text(made))
            for row in rows
        )

    async def _verify(self, key: str, body: dict[str, Any], options: dict[str, Any]) -> bool:
        # As a batch of one: asked alone, OpenBao 2.7.2 says 500 where a derived key lacks its
        # context, which would look like an outage (`test_transit.py` holds it).
        (valid,) = await self._verify_many(key, [body], options)
        if isinstance(valid, SecretsError):
            raise valid
        return valid

    async def _verify_many(
        self, key: str, bodies: list[dict[str, Any]], options: dict[str, Any]
    ) -> tuple[bool | SecretsError, ...]:
        # What is of no signature's form is not asked about: it would be refused with an error
        # that looks like the one of our own mistakes.
        versions = [_version(body) for body in bodies]
        asked = [
            (body, version)
            for body, version in zip(bodies, versions, strict=True)
            if version is not None
        ]
        if not asked:
            return (False,) * len(bodies)
        rows = await self._rows("verify", key, [body for body, _ in asked], **options)
        known = await self._readable_key(key) if any(map(is_bad, rows)) else None
        answers = iter(
            (_why_bad(body, version, known) or False)
            if is_bad(row)
            # Of an HMAC that is not valid Vault says nothing at all.
            else row.flag("valid", absent=False)
            for (body, version), row in zip(asked, rows, strict=True)
        )
        return tuple(False if version is None else next(answers) for version in versions)


def _version(body: dict[str, Any]) -> int | None:
    return key_version_of(body.get("signature") or body.get("hmac") or "")


def _why_bad(body: dict[str, Any], version: int, key: TransitKey | None) -> SecretsError | None:
    """Why Vault did not look at a signature or HMAC; None if it just is none of this key's."""
    signing = "signature" in body
    if key is None or (signing and not key.supports_signing):
        return VaultRefused(status=400)
    if version < key.min_decryption_version:
        return CiphertextTooOld()
    if signing and key.derived and "context" not in body:
        return VaultRefused(status=400)
    # A version that is not there yet, or octets that are no signature of this kind.
    return None
