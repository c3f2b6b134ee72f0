"""How the transit engine is asked: one request for one item, or one for many.

Vault answers a batch item by item. One bad item makes the whole a 400 (encrypt, decrypt) or
leaves it a 200 (rewrap, sign, verify, HMAC), with the good results in the same body: so the
rows are looked at, and never the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenlang_secrets.errors import AccessDenied, VaultProtocolError, VaultRefused
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport import VaultRequest, VaultResponse
from greenlang_secrets.vault.answers import Call, Fields, accepted, why_refused
from greenlang_secrets.vault.transit_keys import TransitKey, TransitKeys

__all__ = ["TransitRequests", "is_bad"]


class TransitRequests:
    """What every part of the engine stands on."""

    def __init__(self, call: Call, *, mount: str = "transit") -> None:
        self.keys = TransitKeys(call, mount=mount)
        self._call = call
        self._mount = mount

    async def _post(self, operation: str, name: str, body: Mapping[str, Any]) -> VaultResponse:
        path = ApiPath.of(self._mount, *operation.split("/"), name)
        return await self._call(VaultRequest(method="POST", path=path, body=body, repeatable=True))

    async def _accepted(self, answer: VaultResponse, key: str) -> Fields:
        if not answer.ok:
            path = ApiPath.of(self._mount, "keys", key)
            raise await why_refused(self._call, answer, path, "key")
        return accepted(answer)

    async def _rows(
        self, operation: str, key: str, items: list[dict[str, Any]], **options: Any
    ) -> tuple[Fields, ...]:
        """What Vault answers to each of `items`, of which there is one at least."""
        answer = await self._post(operation, key, {**options, "batch_input": items})
        if not isinstance(answer.data.get("batch_results"), list):
            # Nothing for each item: the refusal is about the whole.
            await self._accepted(answer, key)
            raise VaultProtocolError
        rows = Fields(answer.data).rows("batch_results")
        if len(rows) != len(items):
            raise VaultProtocolError
        return rows

    async def _readable_key(self, key: str) -> TransitKey | None:
        """The key; None if this token may not read it. Raises `ObjectNotFound`."""
        try:
            return await self.keys.read(key)
        except (AccessDenied, VaultRefused):
            return None


def is_bad(row: Fields) -> bool:
    """Whether Vault says an error of this item alone."""
    return bool(row.text("error", absent=""))
