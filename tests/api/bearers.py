"""Every way a bearer can be wrong, each made from claims that would be good."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.issuer import ISSUER, Issuer

Claims = dict[str, Any]
Make = Callable[[Issuer, Claims], str]


def but(claims: Claims, **changes: Any) -> Claims:
    """Return the claims, changed; None removes one."""
    return {name: value for name, value in {**claims, **changes}.items() if value is not None}


def now() -> int:
    return int(time.time())


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def forged(header: dict[str, Any], payload: bytes, signature: bytes = b"x") -> str:
    """Return a token of these three parts, whatever they are."""
    return f"{b64(json.dumps(header).encode())}.{b64(payload)}.{b64(signature)}"


def signed(issuer: Issuer, payload: bytes, header: bytes | None = None) -> str:
    """Return a token of this payload with a good signature."""
    header = header or json.dumps({"alg": "RS256", "typ": "JWT", "kid": "rsa"}).encode()
    text = f"{b64(header)}.{b64(payload)}"
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(
        text.encode(), issuer.rsa
    )
    return f"{text}.{b64(signature)}"


def hmac_with(secret: Callable[[Issuer], bytes], kid: str = "rsa") -> Make:
    """The classic forgery: the public key, which everybody has, as an HMAC secret."""

    def make(issuer: Issuer, claims: Claims) -> str:
        head = {"alg": "HS256", "typ": "JWT", "kid": kid}
        text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{text}.{b64(hmac.digest(secret(issuer), text.encode(), hashlib.sha256))}"

    return make


def _der(issuer: Issuer) -> bytes:
    return issuer.rsa.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _jwk(index: int) -> Callable[[Issuer], bytes]:
    return lambda issuer: json.dumps(issuer.jwks()["keys"][index]).encode()


def _ec_pem(issuer: Issuer) -> bytes:
    return issuer.ec.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _twice(issuer: Issuer, claims: Claims) -> str:
    return signed(issuer, json.dumps(claims).encode()[:-1] + b', "iss": "https://elsewhere"}')


def _header_twice(issuer: Issuer, claims: Claims) -> str:
    header = b'{"alg": "none", "typ": "JWT", "kid": "rsa", "alg": "RS256"}'
    return signed(issuer, json.dumps(claims).encode(), header)


def _altered(issuer: Issuer, claims: Claims) -> str:
    head, _, signature = issuer.sign(claims).rpartition(".")
    return f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def _other_claims(issuer: Issuer, claims: Claims) -> str:
    head, _, signature = issuer.sign(claims).split(".")
    return f"{head}.{b64(json.dumps(but(claims, sub='another')).encode())}.{signature}"


def _der_signature(issuer: Issuer, claims: Claims) -> str:
    """An ECDSA signature in X.509's form instead of that of RFC 7518, 3.4."""
    head, _, signature = issuer.sign(claims, key=issuer.ec, alg="ES256", kid="ec").rpartition(".")
    raw = jwt.utils.base64url_decode(signature)
    der = jwt.utils.raw_to_der_signature(raw, issuer.ec.curve)
    assert decode_dss_signature(der)
    return f"{head}.{b64(der)}"


def _zero_signature(issuer: Issuer, claims: Claims) -> str:
    """CVE-2022-21449: r and s of zero, which a careless verifier takes for any message."""
    head = {"alg": "ES256", "typ": "JWT", "kid": "ec"}
    return forged(head, json.dumps(claims).encode(), bytes(64))


def _encrypted(issuer: Issuer, claims: Claims) -> str:
    head = {"alg": "RSA-OAEP", "enc": "A256GCM", "typ": "JWT", "kid": "rsa"}
    return ".".join([b64(json.dumps(head).encode()), *(b64(b"x" * 16) for _ in range(4))])


def _nested(issuer: Issuer, claims: Claims) -> str:
    return signed(issuer, issuer.sign(claims).encode())


def _spelled_otherwise(issuer: Issuer, claims: Claims) -> str:
    """The same signature with a character in it that a lenient decoder skips."""
    return issuer.sign(claims)[:-4] + "*" + issuer.sign(claims)[-4:]


def _own_key(name: str) -> Make:
    """A token that brings the key it is signed with, by value or by address."""

    def make(issuer: Issuer, claims: Claims) -> str:
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key(), as_dict=True)
        value = public if name == "jwk" else "https://elsewhere.test/keys"
        return issuer.sign(claims, key=stranger, **{name: value})

    return make


DEFECTS: dict[str, Make] = {
    # ------------------------------------------------------------ form
    "not a token": lambda i, c: "abc",
    "two parts": lambda i, c: i.sign(c).rpartition(".")[0],
    "four parts": lambda i, c: i.sign(c) + ".x",
    "five parts (JWE)": _encrypted,
    "a token in a token": _nested,
    "9 KiB": lambda i, c: i.sign(but(c, filler="x" * 9000)),
    "a second spelling": _spelled_otherwise,
    "padding": lambda i, c: i.sign(c) + "==",
    "header no object": lambda i, c: signed(i, json.dumps(c).encode(), b'["RS256"]'),
    "header no JSON": lambda i, c: signed(i, json.dumps(c).encode(), b"{"),
    "payload no object": lambda i, c: signed(i, b'"acme"'),
    "a claim twice": _twice,
    "a header member twice": _header_twice,
    # ------------------------------------------------------------ algorithm and key
    "alg none": lambda i, c: forged(
        {"alg": "none", "typ": "JWT", "kid": "rsa"}, json.dumps(c).encode()
    ),
    "alg none, no signature": lambda i, c: forged(
        {"alg": "none", "typ": "JWT", "kid": "rsa"}, json.dumps(c).encode(), b""
    ),
    "alg None, in other letters": lambda i, c: forged(
        {"alg": "NonE", "typ": "JWT", "kid": "rsa"}, json.dumps(c).encode()
    ),
    "alg no text": lambda i, c: forged(
        {"alg": ["RS256"], "typ": "JWT", "kid": "rsa"}, json.dumps(c).encode()
    ),
    "HS256 with the public key, PEM": hmac_with(lambda i: i.public_pem()),
    "HS256 with the public key, DER": hmac_with(_der),
    "HS256 with the public key, JWK": hmac_with(_jwk(0)),
    "HS256 with the EC public key": hmac_with(_ec_pem, "ec"),
    "HS256 with an empty secret": hmac_with(lambda i: b""),
    "ES256 by RSA's key id": lambda i, c: i.sign(c, key=i.ec, alg="ES256", kid="rsa"),
    "RS256 by EC's key id": lambda i, c: i.sign(c, key=i.rsa, alg="RS256", kid="ec"),
    "EdDSA by EC's key id": lambda i, c: i.sign(c, key=i.ed, alg="EdDSA", kid="ec"),
    "ES256 by Ed25519's key id": lambda i, c: i.sign(c, key=i.ec, alg="ES256", kid="ed"),
    "alg that is not configured": lambda i, c: i.sign(c, alg="PS256"),
    "signature of another key": lambda i, c: i.sign(
        c, key=rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ),
    "altered signature": _altered,
    "altered claims": _other_claims,
    "signature of zeros": _zero_signature,
    "signature in DER": _der_signature,
    "unknown kid": lambda i, c: i.sign(c, kid="other"),
    "kid of a path": lambda i, c: i.sign(c, kid="../../dev/null"),
    "long kid": lambda i, c: i.sign(c, kid="r" * 129),
    "empty kid": lambda i, c: signed(
        i, json.dumps(c).encode(), b'{"alg":"RS256","typ":"JWT","kid":""}'
    ),
    "kid no text": lambda i, c: signed(
        i, json.dumps(c).encode(), b'{"alg":"RS256","typ":"JWT","kid":["rsa"]}'
    ),
    "without kid": lambda i, c: jwt.encode(c, i.rsa, algorithm="RS256"),
    "own key in jwk": _own_key("jwk"),
    "own key at jku": _own_key("jku"),
    "own key at x5u": _own_key("x5u"),
    # ------------------------------------------------------------ header
    "crit": lambda i, c: i.sign(c, crit=["exp"]),
    "crit, empty": lambda i, c: signed(
        i, json.dumps(c).encode(), b'{"alg":"RS256","typ":"JWT","kid":"rsa","crit":[]}'
    ),
    "b64 true": lambda i, c: i.sign(c, b64=True, crit=["b64"]),
    "b64 false": lambda i, c: signed(
        i, json.dumps(c).encode(), b'{"alg":"RS256","typ":"JWT","kid":"rsa","b64":false}'
    ),
    "wrong typ": lambda i, c: i.sign(c, typ="dpop+jwt"),
    "typ of an id token": lambda i, c: i.sign(c, typ="logout+jwt"),
    "without typ": lambda i, c: i.sign(c, typ=None),
    "typ no text": lambda i, c: signed(
        i, json.dumps(c).encode(), b'{"alg":"RS256","typ":1,"kid":"rsa"}'
    ),
    # ------------------------------------------------------------ issuer and audience
    "wrong issuer": lambda i, c: i.sign(but(c, iss="https://elsewhere.test")),
    "issuer with a slash more": lambda i, c: i.sign(but(c, iss=ISSUER + "/")),
    "issuer in other letters": lambda i, c: i.sign(but(c, iss=ISSUER.upper())),
    "issuers": lambda i, c: signed(i, json.dumps({**c, "iss": [ISSUER]}).encode()),
    "without issuer": lambda i, c: i.sign(but(c, iss=None)),
    "wrong audience": lambda i, c: i.sign(but(c, aud="other")),
    "audience that begins with ours": lambda i, c: i.sign(but(c, aud="greenlang-secrets-2")),
    "without audience": lambda i, c: i.sign(but(c, aud=None)),
    "no audience of several": lambda i, c: i.sign(but(c, aud=["other", "another"])),
    # ------------------------------------------------------------ times
    "expired": lambda i, c: i.sign(but(c, iat=now() - 700, exp=now() - 1)),
    "without exp": lambda i, c: i.sign(but(c, exp=None)),
    "exp as text": lambda i, c: i.sign(but(c, exp=str(now() + 600))),
    "exp not a number": lambda i, c: signed(i, json.dumps({**c, "exp": float("nan")}).encode()),
    "exp without end": lambda i, c: signed(i, json.dumps({**c, "exp": float("inf")}).encode()),
    "exp true": lambda i, c: i.sign(but(c, exp=True)),
    "without iat": lambda i, c: i.sign(but(c, iat=None)),
    "iat in the future": lambda i, c: i.sign(but(c, iat=now() + 400)),
    "not yet valid": lambda i, c: i.sign(but(c, nbf=now() + 400)),
    "nbf as text": lambda i, c: i.sign(but(c, nbf="0")),
    "lives over an hour": lambda i, c: i.sign(but(c, exp=now() + 3700)),
    # ------------------------------------------------------------ who
    "without subject": lambda i, c: i.sign(but(c, sub=None)),
    "empty subject": lambda i, c: i.sign(but(c, sub="")),
    "long subject": lambda i, c: i.sign(but(c, sub="x" * 257)),
    "subject of two lines": lambda i, c: i.sign(but(c, sub="ann\nbob")),
    "subject that is no Unicode": lambda i, c: signed(
        i, json.dumps({**c, "sub": "\ud800"}).encode()
    ),
    "subject no text": lambda i, c: signed(i, json.dumps({**c, "sub": 7}).encode()),
    "tenant and platform": lambda i, c: i.sign({**c, "tenant_id": "acme", "platform": True}),
    "neither tenant nor platform": lambda i, c: i.sign(but(c, tenant_id=None, platform=None)),
    "platform false and no tenant": lambda i, c: i.sign(but(c, tenant_id=None, platform=False)),
    "platform as text": lambda i, c: i.sign(but(c, tenant_id=None, platform="true")),
    "tenant outside the grammar": lambda i, c: i.sign(but(c, platform=None, tenant_id="*")),
    "tenant of a path": lambda i, c: i.sign(but(c, platform=None, tenant_id="acme/../globex")),
    "tenant that is no text": lambda i, c: i.sign(but(c, platform=None, tenant_id=7)),
    "permissions as text": lambda i, c: i.sign(but(c, permissions="secrets:read")),
}
"""Bearers that are refused, whatever permissions their claims name."""
