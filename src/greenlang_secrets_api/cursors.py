"""Cursors: where a listing goes on, signed for the listing and the scope it came from.

Opaque to the caller. One that was altered, or is another tenant's or prefix's, is refused,
by a key that Vault holds, so that every replica reads what another has sealed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Final

from greenlang_secrets.paths import Scope
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets_api.problems import ProblemError

__all__ = ["Cursors"]

_MAX_LENGTH: Final = 1024  # a path of 512 octets and the tag, in base64
_TAG: Final = 16  # octets of the HMAC: nobody tries 2**128 cursors


class Cursors:
    """The cursors of one listing in one scope."""

    def __init__(self, key: SecretValue, scope: Scope, listing: str) -> None:
        self._key = key
        # As a list in JSON: no two scopes and listings run together into one text.
        self._about = json.dumps([scope.key, listing]).encode()

    def seal(self, after: str) -> str:
        """Return the cursor for what comes after `after`."""
        text = after.encode()
        return base64.urlsafe_b64encode(self._tag(text) + text).decode().rstrip("=")

    def open(self, cursor: str) -> str:
        """Return what `seal` was given.

        Raises:
            ProblemError: ``invalid_cursor``, it is none of this listing's, or altered.
        """
        if len(cursor) <= _MAX_LENGTH:
            try:
                raw = base64.b64decode(
                    cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True
                )
                after = raw[_TAG:].decode()
            except ValueError:
                raise ProblemError("invalid_cursor") from None
            # Sealed anew it must be the same to the letter: base64 has second spellings.
            if hmac.compare_digest(self.seal(after), cursor):
                return after
        raise ProblemError("invalid_cursor")

    def _tag(self, text: bytes) -> bytes:
        key = self._key.reveal().encode()
        message = len(self._about).to_bytes(4) + self._about + text
        return hmac.new(key, message, hashlib.sha256).digest()[:_TAG]
