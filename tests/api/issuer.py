"""An issuer of bearers for tests: three key types, and every way to get a token wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "https://issuer.test"
AUDIENCE = "greenlang-secrets"

EVERYTHING = (
    "secrets:read",
    "secrets:list",
    "secrets:write",
    "secrets:admin",
    "secrets:rotate",
)


class Issuer:
    """Signs what it is told to, right or wrong."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ed = ed25519.Ed25519PrivateKey.generate()

    def jwks(self) -> dict[str, Any]:
        """Return the public keys: rsa, ec and ed."""
        to_jwk = {
            "rsa": jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True),
            "ec": jwt.algorithms.ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True),
            "ed": jwt.algorithms.OKPAlgorithm.to_jwk(self.ed.public_key(), as_dict=True),
        }
        return {"keys": [{**jwk, "kid": kid, "use": "sig"} for kid, jwk in to_jwk.items()]}

    def write(self, path: Path) -> Path:
        """Write the JWKS to a file."""
        path.write_text(json.dumps(self.jwks()))
        return path

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return good claims of a tenant's principal, changed; None removes one."""
        now = int(time.time())
        good = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "somebody",
            "iat": now,
            "exp": now + 600,
            "tenant_id": "acme",
            "permissions": ["secrets:read"],
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def sign(
        self,
        claims: dict[str, Any],
        *,
        key: Any = None,
        alg: str = "RS256",
        kid: str = "rsa",
        **headers: Any,
    ) -> str:
        """Return a token of these claims."""
        return jwt.encode(
            claims, key or self.rsa, algorithm=alg, headers={"kid": kid, "typ": "JWT", **headers}
        )

    def tenant(self, tenant: str, *permissions: str, **changes: Any) -> str:
        """Return a good token of a tenant's principal."""
        return self.sign(
            self.claims(tenant_id=tenant, permissions=list(permissions or EVERYTHING), **changes)
        )

    def platform(self, *permissions: str, **changes: Any) -> str:
        """Return a good token of a platform principal."""
        granted = list(permissions or EVERYTHING)
        return self.sign(self.claims(tenant_id=None, platform=True, permissions=granted, **changes))

    def public_pem(self) -> bytes:
        """Return the RSA public key as text: what an HMAC forger signs with."""
        return self.rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
