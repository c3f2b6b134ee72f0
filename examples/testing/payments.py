"""Charges cards at a payment provider, with an API key from Vault."""

from collections.abc import Awaitable, Callable

import greenlang_secrets as gs

KEY = "api-keys/payments"

# Sends a charge of so many cents with a key; False when the provider refuses the key.
Send = Callable[[str, int], Awaitable[bool]]


class Payments:
    """Charges with the key that is current.

    Args:
        secrets: where the key is.
        send: how the provider is reached.
    """

    def __init__(self, secrets: gs.SecretsView, send: Send) -> None:
        self._secrets = secrets
        self._send = send

    async def charge(self, cents: int) -> bool:
        """Charge a card; a key that is refused may be rotated, so it is read anew once."""
        key = await self._secrets.get(KEY)
        if await self._send(key["key"].reveal(), cents):
            return True
        newer = await self._secrets.get(KEY, fresh=True)
        return newer.version > key.version and await self._send(newer["key"].reveal(), cents)

    async def replace_key(self, key: str) -> int:
        """Store a new key, and return its version."""
        written = await self._secrets.put(KEY, {"key": key}, type=gs.SecretType.API_KEY)
        return written.version
