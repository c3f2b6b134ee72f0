"""Whether an API key is one of those accepted now: the other end of `ApiKey`.

The list holds digests and no keys, so whoever reads it can check a key and cannot present one.
SHA-256 without salt or stretching is enough for keys of 256 random bits, which nobody can guess
through; for a password it would not be.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final, Protocol

from greenlang_secrets.model import Secret
from greenlang_secrets.sensitive import SecretMap, SecretValue

__all__ = ["REFRESH_EVERY", "ApiKeyVerifier", "digest_of", "is_accepted", "is_key_id"]

REFRESH_EVERY: Final = 1.0
"""Seconds for which a list is believed that does not have a key: so unknown keys, of which anybody
can send any number, cost Vault one request a second."""

_KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_SCHEME: Final = "sha256:"


class _Reads(Protocol):
    """What reads the list; `SecretsView` and `SecretsService` do."""

    async def get(self, path: str, *, max_age: float | None = None) -> Secret: ...


class ApiKeyVerifier:
    """Checks keys that callers present against the list at `path`, which `secrets` reads.

    The list is a secret with a field for each key id, holding ``sha256:`` and the digest of the key
    in hexadecimal; fields that begin with ``_`` are the rotation's own. A key begins with its id
    and a dot. The list comes from the cache of `secrets`, so a check costs microseconds.

    A key whose id is unknown may be a new one: the list is then read again, once for all who wait
    and at most once in `REFRESH_EVERY` seconds. So a key is accepted by every verifier at once,
    and one that was retired is refused once the cached list is no longer fresh.
    """

    def __init__(self, secrets: _Reads, path: str) -> None:
        self._secrets = secrets
        self._path = path

    async def accepts(self, presented: str | SecretValue) -> bool:
        """Return whether a key is accepted now; the comparison takes constant time.

        Raises:
            SecretNotFound, SecretDeleted: there is no list.
            AccessDenied: the principal may not read it.
            VaultUnavailable: there is no list in the cache; or the key's id is unknown, and Vault
                cannot be asked whether it is new.
        """
        key = presented if isinstance(presented, SecretValue) else SecretValue(presented)
        accepted = (await self._secrets.get(self._path)).data
        if is_accepted(accepted, key):
            return True
        key_id = key.reveal().partition(".")[0]
        if not is_key_id(key_id) or key_id in accepted:
            return False
        newer = await self._secrets.get(self._path, max_age=REFRESH_EVERY)
        return is_accepted(newer.data, key)


def is_key_id(text: str) -> bool:
    """Return whether a text can be the id of a key, and so the name of a field of the list."""
    return _KEY_ID.match(text) is not None


def digest_of(key: SecretValue) -> str:
    """Return what the list holds of a key."""
    octets = key.reveal().encode("utf-8", "surrogatepass")
    return _SCHEME + hashlib.sha256(octets).hexdigest()


def is_accepted(accepted: SecretMap, key: SecretValue) -> bool:
    """Return whether a list has a key. All of the list is compared, whatever the key says of
    itself: keys that were made elsewhere do not begin with their id.
    """
    digest = digest_of(key).encode()
    found = False
    for name in accepted.keys():  # noqa: SIM118  # a SecretMap is not iterated
        if is_key_id(name):
            held = accepted[name].reveal().encode("utf-8", "surrogatepass")
            found |= hmac.compare_digest(held, digest)
    return found
