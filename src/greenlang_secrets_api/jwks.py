"""An issuer's public keys: what a JWKS document (RFC 7517) gives to verify with.

Each key is bound to the algorithms of its own type when it is read, so that a token's
header can choose among those and nothing else: ``none`` and HMAC with a public key are
not refused but impossible. Where documents come from is `key_sources`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from greenlang_secrets_api.watched_file import FileContentError

__all__ = ["JwksError", "VerificationKey", "parse_jwks"]

MAX_KID: Final = 128
"""Characters of a key id; longer ones are not looked up."""

_MIN_RSA_BITS: Final = 2048  # RFC 7518, 3.3
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_EC: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
# A JWKS that holds private keys by mistake must not bring them into this process.
_PUBLIC_MEMBERS: Final = ("kty", "n", "e", "crv", "x", "y")

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class JwksError(FileContentError):
    """The document is no JWKS, or holds no key that can be used; the text says which."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the algorithms it may verify."""

    algorithms: frozenset[str]
    key: PublicKey = field(repr=False)


def parse_jwks(raw: bytes) -> dict[str, VerificationKey]:
    """Return the keys of a JWKS document by key id.

    Left out are keys without an id, those not for verifying (`use`, `key_ops`), symmetric
    ones, RSA keys under 2048 bits and types that are not known here.

    Raises:
        JwksError: it is no JWKS, or nothing is left.
    """
    try:
        document = json.loads(raw)
        entries = document["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise JwksError("it is not a JSON object with the member `keys`") from None
    if not isinstance(entries, list):
        raise JwksError("its member `keys` is not a list")
    keys: dict[str, VerificationKey] = {}
    for entry in entries:
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if isinstance(kid, str) and 0 < len(kid) <= MAX_KID and kid not in keys:
            key = _key(entry)
            if key is not None:
                keys[kid] = key
    if not keys:
        raise JwksError(
            "it has no usable key: each needs a `kid` and must be RSA (2048 bits or more), "
            "EC or Ed25519, for signatures"
        )
    return keys


def _key(entry: Mapping[str, Any]) -> VerificationKey | None:
    algorithms = _algorithms(entry)
    declared = entry.get("alg")
    if declared is not None:
        algorithms &= {declared} if isinstance(declared, str) else frozenset()
    if not algorithms or entry.get("use", "sig") != "sig" or not _may_verify(entry):
        return None
    public = {name: entry[name] for name in _PUBLIC_MEMBERS if name in entry}
    try:
        key = jwt.PyJWK(public, algorithm=min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    match key:
        case RSAPublicKey() if key.key_size >= _MIN_RSA_BITS:
            return VerificationKey(algorithms, key)
        case EllipticCurvePublicKey() | Ed25519PublicKey():
            return VerificationKey(algorithms, key)
        case _:
            return None


def _may_verify(entry: Mapping[str, Any]) -> bool:
    """RFC 7517, 4.3: where a key's operations are listed, verifying must be among them."""
    operations = entry.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations


def _algorithms(entry: Mapping[str, Any]) -> frozenset[str]:
    """What a key's type and curve can verify."""
    match entry.get("kty"), entry.get("crv"):
        case "RSA", None:
            return _RSA
        case "EC", str(curve) if curve in _EC:
            return frozenset({_EC[curve]})
        case "OKP", "Ed25519":
            return frozenset({"EdDSA"})
        case _:
            return frozenset()
