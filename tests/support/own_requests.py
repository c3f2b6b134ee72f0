"""What a service asks of Vault by itself, kept away from tests that watch what callers cause."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from greenlang_secrets.watching import VaultWatch

CANARY = VaultWatch._keep_trying
"""What makes the canary again and again."""


@contextmanager
def no_canary_on_its_own() -> Iterator[None]:
    """Services that start in the block make no canary every 15 s: in Vault's audit log it would be
    taken for a caller's request.
    """

    async def never(_: VaultWatch) -> None:
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VaultWatch, "_keep_trying", never)
        yield
