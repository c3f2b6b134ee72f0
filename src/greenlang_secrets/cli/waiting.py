"""Waiting for a secret: until it exists, or has a newer version, or the time is over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import anyio

from greenlang_secrets.errors import SecretsError, SecretUnavailable, VersionNotFound

if TYPE_CHECKING:
    from greenlang_secrets.model import Secret
    from greenlang_secrets.view import SecretsView

__all__ = ["awaited"]

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
"""Seconds between two reads: soon at first, for what is about to come, then few."""


async def awaited(view: SecretsView, path: str, *, newer_than: int, within: float) -> Secret:
    """Return the secret once there is one whose version is above `newer_than`, asking Vault again
    for `within` seconds.

    Raises:
        SecretNotFound, SecretDeleted, VersionNotFound: there was none until the end.
        VaultUnavailable, AuthenticationLost: nor was there a Vault at the end.
        SecretsError: waiting would not help, such as a denial.
    """
    until = time.monotonic() + within
    pause = _FIRST_PAUSE
    while True:
        try:
            secret = await view.get(path, fresh=True)
        except SecretsError as error:
            if not (error.retryable or isinstance(error, SecretUnavailable)):
                raise
            missed = error.again()
        else:
            if secret.version > newer_than:
                return secret
            missed = VersionNotFound(path=path, version=newer_than + 1)
        left = until - time.monotonic()
        if left <= 0:
            raise missed
        await anyio.sleep(min(pause, left))
        pause = min(_LONGEST_PAUSE, 2 * pause)
