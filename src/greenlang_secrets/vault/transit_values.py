"""What goes into the transit engine and comes out of it: plaintext, ciphertext, signatures.

Vault speaks base64 because JSON cannot hold octets; the conversion is here and nowhere else.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final, Literal, NewType, Self

from greenlang_secrets.errors import InvalidRequest, VaultProtocolError
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.vault.answers import given

__all__ = [
    "AssociatedData",
    "CiphertextItem",
    "DataKey",
    "Encrypted",
    "HashAlgorithm",
    "HmacItem",
    "Plaintext",
    "PlaintextItem",
    "Signature",
    "SignatureAlgorithm",
    "SignatureItem",
    "SigningItem",
    "bound_to",
    "decrypting_body",
    "encrypting_body",
    "in_base64",
    "key_version_of",
    "rewrapping_body",
    "signing_body",
    "signing_options",
]

HashAlgorithm = Literal["sha2-224", "sha2-256", "sha2-384", "sha2-512"]
"""What Vault hashes with before it signs, or inside an HMAC; ed25519 keys have their own."""

SignatureAlgorithm = Literal["pss", "pkcs1v15"]
"""Padding of RSA signatures."""

AssociatedData = NewType("AssociatedData", str)
"""What a ciphertext is bound to, as Vault takes it; made by `bound_to`."""

_VERSIONED: Final = re.compile(r"vault:v([1-9][0-9]{0,8}):[A-Za-z0-9+/_=-]+\Z")


def bound_to(*parts: str) -> AssociatedData:
    """Return associated data that names `parts`, such as a tenant, a table and a column.

    What is encrypted with it decrypts only with the same parts in the same order, so one
    tenant's ciphertext is of no use in another's row. The parts are written as a JSON list in
    base64: ``("a", "bc")`` and ``("ab", "c")`` differ.

    Raises:
        InvalidRequest: there is no part, or one is no text that UTF-8 can hold.
    """
    if not parts or not all(isinstance(part, str) for part in parts):
        raise InvalidRequest("bound_to takes one or more texts, such as a tenant's id.")
    try:
        octets = json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        octets = None
    if octets is None:
        raise InvalidRequest("bound_to takes texts that UTF-8 can hold: no lone surrogates.")
    return AssociatedData(base64.b64encode(octets).decode("ascii"))


@dataclass(frozen=True, slots=True, eq=False)
class Plaintext:
    """Octets that must not show themselves: what was encrypted, a data key, random octets.

    Attributes:
        encoded: the octets in base64, as Vault speaks of them.
    """

    encoded: SecretValue

    @classmethod
    def of(cls, octets: bytes) -> Self:
        """Return the plaintext of these octets, which may be none."""
        return cls(SecretValue(base64.b64encode(octets).decode("ascii")))

    @classmethod
    def of_text(cls, text: str | SecretValue) -> Self:
        """Return the plaintext of a text, in UTF-8.

        Raises:
            InvalidRequest: it has a lone surrogate, which UTF-8 cannot hold.
        """
        octets: bytes | None = None
        # Raised below, for this error would carry the whole text.
        with contextlib.suppress(UnicodeEncodeError):
            octets = (text.reveal() if isinstance(text, SecretValue) else text).encode()
        if octets is None:
            raise InvalidRequest("A text to encrypt has a lone surrogate; encrypt its octets.")
        return cls.of(octets)

    @classmethod
    def parsed(cls, encoded: object) -> Self:
        """Return the plaintext that Vault answered.

        Raises:
            VaultProtocolError: it is not base64.
        """
        if isinstance(encoded, str):
            # Checked now, so that `reveal` cannot fail later with the octets in its error.
            try:
                base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                encoded = None
        if not isinstance(encoded, str):
            raise VaultProtocolError
        return cls(SecretValue(encoded))

    def reveal(self) -> bytes:
        """Return the octets; from here on they are the caller's to guard."""
        return base64.b64decode(self.encoded.reveal())

    def text(self) -> SecretValue | None:
        """Return the octets as text, still masked; None if they are not UTF-8."""
        try:
            return SecretValue(self.reveal().decode())
        except UnicodeDecodeError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encrypted:
    """A ciphertext, which may be stored anywhere.

    Attributes:
        ciphertext: ``vault:v<key version>:<base64>``.
    """

    ciphertext: str
    key_version: int

    @classmethod
    def parsed(cls, ciphertext: str) -> Self:
        """Return what Vault answered.

        Raises:
            VaultProtocolError: it is not of the form of a ciphertext.
        """
        return cls(ciphertext=ciphertext, key_version=_own_version(ciphertext))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature or an HMAC.

    Attributes:
        text: ``vault:v<key version>:<base64>``.
    """

    text: str
    key_version: int

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Return what Vault answered.

        Raises:
            VaultProtocolError: it is not of the form of a signature.
        """
        return cls(text=text, key_version=_own_version(text))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataKey:
    """A key to encrypt with at home, and the same key encrypted, to be stored.

    Attributes:
        encrypted: give this to `Transit.decrypt` to get the key back.
    """

    plaintext: Plaintext
    encrypted: Encrypted


@dataclass(frozen=True, slots=True, eq=False)
class PlaintextItem:
    """One item of `Transit.encrypt_many`.

    Attributes:
        context: for a derived key, what to derive with.
    """

    plaintext: Plaintext
    context: bytes | None = None
    associated_data: AssociatedData | None = None


@dataclass(frozen=True, slots=True)
class CiphertextItem:
    """One item of `Transit.decrypt_many` and `Transit.rewrap_many`.

    Attributes:
        context: for a derived key, what it was derived with.
        associated_data: must be None for rewrapping, which Vault does without.
    """

    ciphertext: str
    context: bytes | None = None
    associated_data: AssociatedData | None = None


@dataclass(frozen=True, slots=True)
class SigningItem:
    """One item of `TransitSigning.sign_many`.

    Attributes:
        message: or its hash, if all of them are `prehashed`.
        context: for a derived key, what to derive with.
    """

    message: bytes
    context: bytes | None = None


@dataclass(frozen=True, slots=True)
class SignatureItem:
    """One item of `TransitSigning.verify_many`.

    Attributes:
        message: or its hash, if all of them are `prehashed`.
        signature: ``vault:v<key version>:<base64>``; any other text is just not valid.
        context: for a derived key, what it was derived with.
    """

    message: bytes
    signature: str
    context: bytes | None = None


@dataclass(frozen=True, slots=True)
class HmacItem:
    """One item of `TransitSigning.verify_hmac_many`.

    Attributes:
        hmac: ``vault:v<key version>:<base64>``; any other text is just not valid.
    """

    message: bytes
    hmac: str


def key_version_of(text: str) -> int | None:
    """Return the key version that a ciphertext or signature names; None if it is neither."""
    found = _VERSIONED.match(text)
    return None if found is None else int(found[1])


def _own_version(text: str) -> int:
    version = key_version_of(text)
    if version is None:
        raise VaultProtocolError
    return version


def encrypting_body(item: PlaintextItem) -> dict[str, Any]:
    """Return what one item of an encryption is in JSON.

    Raises:
        InvalidRequest: its associated data are not base64.
    """
    return given(
        plaintext=item.plaintext.encoded.reveal(),
        context=_or_none(item.context),
        associated_data=_checked(item.associated_data),
    )


def decrypting_body(item: CiphertextItem) -> dict[str, Any]:
    """Return what one item of a decryption is in JSON; raises as `encrypting_body`."""
    return given(
        ciphertext=item.ciphertext,
        context=_or_none(item.context),
        associated_data=_checked(item.associated_data),
    )


def rewrapping_body(item: CiphertextItem) -> dict[str, Any]:
    """Return what one item of a rewrapping is in JSON.

    Raises:
        InvalidRequest: it has associated data.
    """
    if item.associated_data is not None:
        raise InvalidRequest("Vault does not rewrap bound ciphertexts; decrypt and encrypt them.")
    return decrypting_body(item)


def signing_body(item: SigningItem | SignatureItem) -> dict[str, Any]:
    """Return what one item of signing or verifying is in JSON."""
    signature = item.signature if isinstance(item, SignatureItem) else None
    return given(input=in_base64(item.message), context=_or_none(item.context), signature=signature)


def signing_options(
    hash_algorithm: HashAlgorithm,
    signature_algorithm: SignatureAlgorithm | None,
    *,
    prehashed: bool,
) -> dict[str, Any]:
    """Return what all items of signing or verifying have in common in JSON."""
    return given(
        hash_algorithm=hash_algorithm,
        signature_algorithm=signature_algorithm,
        prehashed=prehashed,
    )


def _checked(associated_data: AssociatedData | None) -> AssociatedData | None:
    """Vault answers 500 to text that is not base64, which would look like an outage."""
    if associated_data is None:
        return None
    try:
        base64.b64decode(associated_data, validate=True)
    except (binascii.Error, ValueError):
        pass
    else:
        return associated_data
    raise InvalidRequest("Associated data are base64: make them with bound_to().")


def in_base64(octets: bytes) -> str:
    """Return octets as Vault speaks of them."""
    return base64.b64encode(octets).decode("ascii")


def _or_none(octets: bytes | None) -> str | None:
    return None if octets is None else in_base64(octets)
