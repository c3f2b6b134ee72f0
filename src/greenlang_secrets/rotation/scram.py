"""SCRAM-SHA-256 verifiers: what PostgreSQL keeps of a password, made here instead of there.

Whoever has a verifier cannot log in with it, so that a password never leaves this process on its
way to ``ALTER ROLE`` (RFC 5802 §3, RFC 7677; PostgreSQL, "Password Authentication").
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

from greenlang_secrets.sensitive import SecretValue

__all__ = ["scram_verifier"]

_ITERATIONS: Final = 4096  # RFC 7677 §4 asks for this many at least, and PostgreSQL takes them
_SALT_OCTETS: Final = 16  # as PostgreSQL's own


def scram_verifier(
    password: SecretValue, *, salt: bytes | None = None, iterations: int = _ITERATIONS
) -> SecretValue:
    """Return ``SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`` with a new salt, or
    with the one given. Takes about 2 ms.

    The password is of printable ASCII, as ours are: others would have to be prepared first
    (SASLprep, RFC 4013), which changes none of these.

    Raises:
        ValueError: it is empty, or has other characters.
    """
    text = password.reveal()
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError("a password for SCRAM is one or more printable ASCII characters")
    salt = secrets.token_bytes(_SALT_OCTETS) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", text.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return SecretValue(
        f"SCRAM-SHA-256${iterations}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"
    )


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
