"""A service that holds many secrets: read the whole way but for the wire.

100,000 reads at Vault would take minutes, and what is held does not depend on them: each answer is
JSON of its own, parsed as the transport parses it, read by the engine, and kept by the cache.
"""

from __future__ import annotations

import json
import secrets as random_values
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from unittest.mock import patch

import greenlang_secrets as gs
from benchmarks.servers import library_config
from greenlang_secrets.paths import KvPath
from greenlang_secrets.testing import OpenBaoServer
from greenlang_secrets.vault.kv import KvV2
from greenlang_secrets.vault.kv_answers import secret_of

__all__ = ["OCTETS", "filled", "paths_of"]

OCTETS = 300
"""Of a secret's values."""


def paths_of(count: int) -> list[str]:
    """Return so many paths."""
    return [f"services/{number // 100}/secret-{number}" for number in range(count)]


async def _answered(_: KvV2, path: KvPath, **__: object) -> gs.Secret:
    """What a read answers, from JSON that only this secret has."""
    user, password = random_values.token_hex(10), random_values.token_hex((OCTETS - 20) // 2)
    answer = {
        "data": {
            "data": {"username": user, "password": password},
            "metadata": {
                "created_time": "2026-11-26T05:17:02.913758415Z",
                "custom_metadata": None,
                "deletion_time": "",
                "destroyed": False,
                "version": 1,
            },
        }
    }
    return secret_of(path, json.loads(json.dumps(answer).encode())["data"])


@asynccontextmanager
async def filled(server: OpenBaoServer, paths: Sequence[str]) -> AsyncIterator[gs.SecretsService]:
    """Yield a service that holds a secret at each path."""
    async with gs.SecretsService.open(library_config(server)) as service:
        await hold(service, paths)
        yield service


async def hold(service: gs.SecretsService, paths: Sequence[str]) -> None:
    """Have a service hold these, too.

    Raises:
        RuntimeError: it has let go of some.
    """
    before = service.cache.stats().entries
    with patch.object(KvV2, "read", _answered):
        for path in paths:
            await service.get(path)
    if service.cache.stats().entries != before + len(paths):
        raise RuntimeError("the cache does not hold what it was given")
