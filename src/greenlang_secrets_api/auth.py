"""Who is calling: a bearer JWT becomes a `Principal` (RFC 8725, RFC 6750).

Everything that is wrong with a bearer gives one answer, so that it tells nothing to
whoever probes. What is not granted in plain words is not granted: an unknown permission,
or one with a wildcard, adds nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol

import jwt

from greenlang_secrets.access import Permission, Principal
from greenlang_secrets.errors import InvalidTenant
from greenlang_secrets.paths import TenantId
from greenlang_secrets_api.answers import Header
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.denylist import MAX_ID, Denylist
from greenlang_secrets_api.jwks import MAX_KID, VerificationKey
from greenlang_secrets_api.problems import ProblemError

__all__ = ["Authenticator", "KeySource", "principal_of"]

MAX_TOKEN: Final = 8 * 1024  # octets
MAX_SUBJECT: Final = 256  # characters; it goes into logs and audit records
LEEWAY: Final = 30.0  # seconds that the issuer's clock may be ahead of ours
MAX_LIFETIME: Final = 3600.0  # seconds between `iat` and `exp`
CACHE_FOR: Final = 30.0  # seconds; RSA verification per request halves the throughput
CACHE_ENTRIES: Final = 10_000

_PERMISSIONS: Final = {str(permission): permission for permission in Permission}
_NO_TOKEN: Final[Header] = (b"www-authenticate", b"Bearer")
_BAD_TOKEN: Final[Header] = (b"www-authenticate", b'Bearer error="invalid_token"')
# RFC 7515, 7.1, and strictly: a decoder that skips what is no base64url would give one token
# any number of spellings.
_COMPACT: Final = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
_jws: Final = jwt.PyJWS()


class KeySource(Protocol):
    """Where keys come from: `FileKeys` or `UrlKeys`."""

    @property
    def generation(self) -> int:
        """Rises when the keys change; what was verified before counts no longer."""

    async def refresh(self) -> None:
        """Renew what is due; cheap when nothing is."""

    async def find(self, kid: str) -> VerificationKey | None:
        """Return the key of that id, or None."""


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    jti: object
    until: float  # monotonic seconds


class Authenticator:
    """Turns the `Authorization` header into a `Principal`, and remembers it for 30 s.

    With a `denylist` a bearer needs a `jti` (RFC 9068, 2.2, has it in every access token):
    what could not be revoked is not accepted.
    """

    def __init__(
        self, config: ApiConfig, keys: KeySource, *, denylist: Denylist | None = None
    ) -> None:
        self._config = config
        self._keys = keys
        self._denylist = denylist
        self._known: dict[bytes, _Known] = {}
        self._generation = keys.generation

    async def authenticate(self, headers: Iterable[Header]) -> Principal:
        """Return who sends these headers.

        Raises:
            ProblemError: ``invalid_token``, there is no bearer or it is not valid;
                ``keys_unavailable``, it cannot be verified now.
        """
        token = _bearer(headers)
        await self._keys.refresh()
        if self._denylist is not None:
            await self._denylist.refresh()
        digest = hashlib.sha256(token).digest()
        known = self._known.get(digest)
        if (
            known is None
            or self._generation != self._keys.generation
            or time.monotonic() >= known.until
        ):
            known = await self._verify(token)
            self._remember(digest, known)
        if self._denylist is not None and not _stands(known.jti, self._denylist):
            _refuse()
        return known.principal

    def _remember(self, digest: bytes, known: _Known) -> None:
        if self._generation != self._keys.generation:
            self._known.clear()
            self._generation = self._keys.generation
        self._known.pop(digest, None)
        if len(self._known) >= CACHE_ENTRIES:
            del self._known[next(iter(self._known))]  # the oldest: dicts keep their order
        self._known[digest] = known

    async def _verify(self, token: bytes) -> _Known:
        """Check the signature, then what is signed."""
        if _COMPACT.match(token) is None:
            _refuse()
        segments = token.split(b".")
        header = _object(segments[0])
        algorithm, kid, kind = (header.get(name) for name in ("alg", "kid", "typ"))
        # jku, x5u and jwk are not looked at: a token does not bring its own key.
        if "crit" in header or "b64" in header or not isinstance(algorithm, str):
            _refuse()
        if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
            _refuse()
        if not isinstance(kind, str) or _short(kind) not in self._config.token_types:
            _refuse()
        key = await self._keys.find(kid)
        if key is None or algorithm not in key.algorithms & self._config.algorithms:
            _refuse()
        try:
            _jws.decode(token, key.key, algorithms=[algorithm])
        except (jwt.PyJWTError, ValueError, TypeError):
            _refuse()
        claims = _object(segments[1])
        principal = principal_of(claims, self._config)
        life = min(CACHE_FOR, float(claims["exp"]) - time.time())
        return _Known(principal, claims.get("jti"), time.monotonic() + life)


def principal_of(
    claims: dict[str, Any], config: ApiConfig, *, now: Callable[[], float] = time.time
) -> Principal:
    """Return whom these claims, whose signature was verified, speak for.

    Raises:
        ProblemError: ``invalid_token``: of another issuer or audience, outside its time,
            living longer than an hour, without a subject, or not of exactly one of a
            tenant and the platform.
    """
    at = now()
    if claims.get("iss") != config.jwt_issuer:
        _refuse()
    audience = claims.get("aud")
    if config.jwt_audience not in (audience if isinstance(audience, list) else [audience]):
        _refuse()
    expires_at, issued_at = _moment(claims, "exp"), _moment(claims, "iat")
    if expires_at <= at or issued_at > at + LEEWAY or expires_at - issued_at > MAX_LIFETIME:
        _refuse()
    if "nbf" in claims and _moment(claims, "nbf") > at + LEEWAY:
        _refuse()
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
        _refuse()
    if not subject.isprintable():  # it is shown in logs and records; also no lone surrogates
        _refuse()
    granted = claims.get("permissions", [])
    if not isinstance(granted, list):
        _refuse()
    return Principal(
        subject=subject,
        tenant=_tenant(claims, config.jwt_tenant_claim),
        permissions=frozenset(
            _PERMISSIONS[text] for text in granted if isinstance(text, str) and text in _PERMISSIONS
        ),
    )


def _tenant(claims: dict[str, Any], name: str) -> TenantId | None:
    """The tenant, or None for the platform; a bearer speaks for exactly one of them."""
    platform = claims.get("platform", False)
    if not isinstance(platform, bool) or platform == (name in claims):
        _refuse()
    if platform:
        return None
    try:
        return TenantId(claims[name])
    except InvalidTenant:
        _refuse()


def _stands(jti: object, denylist: Denylist) -> bool:
    """Whether a bearer has an id by which it could be revoked, and was not."""
    return isinstance(jti, str) and 0 < len(jti) <= MAX_ID and not denylist.denies(jti)


def _moment(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse()
    if not 0 <= value < 1e11:  # also NaN, and what a float could not hold
        _refuse()
    return float(value)


def _bearer(headers: Iterable[Header]) -> bytes:
    found = [value for name, value in headers if name == b"authorization"]
    scheme, _, token = (found[0] if found else b"").partition(b" ")
    token = token.strip(b" ")
    if scheme.lower() != b"bearer":
        raise ProblemError("invalid_token", headers=(_NO_TOKEN,))
    if len(found) > 1 or not 0 < len(token) <= MAX_TOKEN:
        _refuse()
    return token


def _object(segment: bytes) -> dict[str, Any]:
    """Decode one part of a token, strictly: a member that is there twice is two claims."""
    try:
        decoded = jwt.utils.base64url_decode(segment)
        value = json.loads(decoded.decode(), object_pairs_hook=_without_twins)
    except (ValueError, RecursionError):
        _refuse()
    if not isinstance(value, dict):
        _refuse()
    return value


def _without_twins(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        raise ValueError
    return value


def _short(kind: str) -> str:
    """RFC 7515, 4.1.9: ``application/`` may be left out, and case does not matter."""
    return kind.lower().removeprefix("application/")


def _refuse() -> NoReturn:
    raise ProblemError("invalid_token", headers=(_BAD_TOKEN,)) from None
