"""The development issuer: bearers for the API, signed with a key that lies in a folder.

The key is made once per folder (0600); the API gets the JWKS beside it. Anybody who can
read the folder is everybody, which is why this is for development.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from greenlang_secrets.access import Permission
from greenlang_secrets.development import DEVELOPMENT_ISSUER
from greenlang_secrets.development.private_files import private_folder, write_private
from greenlang_secrets.errors import ConfigurationError, InvalidRequest
from greenlang_secrets.paths import TenantId
from greenlang_secrets.sensitive import SecretValue

__all__ = ["AUDIENCE", "ISSUER", "MAX_TTL", "DevelopmentIssuer"]

ISSUER: Final = DEVELOPMENT_ISSUER
"""The `iss` of its bearers."""

AUDIENCE: Final = "greenlang-secrets"
"""The `aud` of its bearers."""

MAX_TTL: Final = 3600.0
"""Seconds a bearer lives at most, and by default: the API refuses longer ones."""

_MAX_SUBJECT: Final = 256  # characters, as the API takes them
_KEY_FILE: Final = "issuer.key"
_JWKS_FILE: Final = "jwks.json"


class DevelopmentIssuer:
    """Signs bearers with ES256. Get one with `make` or `load`; both read files, in a thread.

    Attributes:
        jwks_file: the public key, for ``GREENLANG_SECRETS_JWT_JWKS_FILE``.
    """

    def __init__(self, folder: Path, key: ec.EllipticCurvePrivateKey) -> None:
        self.jwks_file = folder / _JWKS_FILE
        self._key = key
        self._kid = _thumbprint(_public_jwk(key))

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Return the folder's issuer, made if there is none.

        Raises:
            ConfigurationError: its key file cannot be read.
        """
        folder = private_folder(folder)
        if not (folder / _KEY_FILE).exists():
            pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            write_private(folder / _KEY_FILE, pem.decode())
        issuer = cls.load(folder)
        write_private(issuer.jwks_file, json.dumps(issuer.jwks()))
        return issuer

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the issuer that `make` made in `folder`.

        Raises:
            ConfigurationError: there is none, or its key file cannot be read.
        """
        try:
            key = load_pem_private_key((folder / _KEY_FILE).read_bytes(), password=None)
        except (OSError, ValueError, TypeError):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigurationError(
                f"{str(folder)!r} holds no readable key of a development issuer; "
                "name the folder that greenlang-secrets dev shows."
            )
        return cls(folder.absolute(), key)

    def jwks(self) -> dict[str, Any]:
        """Return the JWKS document (RFC 7517) with the public key."""
        public = _public_jwk(self._key)
        return {"keys": [{**public, "kid": self._kid, "use": "sig", "alg": "ES256"}]}

    def issue(
        self,
        subject: str,
        *,
        tenant: str | None = None,
        platform: bool = False,
        permissions: Iterable[Permission] = (),
        ttl: float = MAX_TTL,
    ) -> SecretValue:
        """Return a bearer of a tenant's principal, or of the platform's.

        Raises:
            InvalidRequest: it names both a tenant and the platform, or neither, the subject
                is empty or too long, or `ttl` is not of 1 to 3,600 seconds.
            InvalidTenant: the tenant's id is outside the grammar.
        """
        if platform == (tenant is not None):
            raise InvalidRequest("A bearer speaks for a tenant or for the platform; name one.")
        if not 0 < len(subject) <= _MAX_SUBJECT:
            raise InvalidRequest(f"A subject has 1 to {_MAX_SUBJECT} characters.")
        if not 1 <= ttl <= MAX_TTL:
            raise InvalidRequest(f"A bearer lives 1 to {MAX_TTL:.0f} seconds.")
        whose = {"platform": True} if tenant is None else {"tenant_id": TenantId(tenant).value}
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "jti": secrets.token_hex(16),  # what a list of revoked bearers names
            **whose,
            "permissions": sorted(str(permission) for permission in permissions),
            "iat": now,
            "exp": now + int(ttl),
        }
        headers = {"typ": "at+jwt", "kid": self._kid}  # RFC 9068, 2.1
        return SecretValue(jwt.encode(claims, self._key, algorithm="ES256", headers=headers))


def _public_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": _base64url(numbers.x.to_bytes(32, "big")),
        "y": _base64url(numbers.y.to_bytes(32, "big")),
    }


def _thumbprint(jwk: dict[str, str]) -> str:
    """RFC 7638, 3: the digest of the required members, sorted, without white space."""
    canonical = json.dumps(jwk, sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
