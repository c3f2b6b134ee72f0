"""Writes ``openbao.txt``: the metrics of a real OpenBao that has been used for a while.

Many of its metrics are there only once something has happened, or for a minute after it. So a
server with raft is asked for all that we ask of one, and scraped until it tells nothing new.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

import aiohttp

from greenlang_secrets.testing import OpenBaoServer
from observability.external_metrics import FOLDER

__all__ = ["main"]

_NAME: Final = re.compile(r"^[a-zA-Z_:][\w:]*", re.MULTILINE)
_FOR: Final = 45.0  # seconds: figures of leases, raft and the runtime come every 10 s
_EVERY: Final = 5.0


async def _use(server: OpenBaoServer) -> None:
    """Ask for what makes metrics: secrets, logins, leases, certificates, and a quota that is hit."""
    for method, path, body in (
        ("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}),
        ("POST", "sys/mounts/transit", {"type": "transit"}),
        ("POST", "sys/mounts/pki", {"type": "pki"}),
        ("POST", "sys/auth/approle", {"type": "approle"}),
        ("POST", "transit/keys/key", {}),
        ("POST", "transit/encrypt/key", {"plaintext": "aGVsbG8="}),
        ("POST", "pki/root/generate/internal", {"common_name": "root.example", "ttl": "1h"}),
        ("POST", "pki/roles/web", {"allow_any_name": True, "max_ttl": "30m"}),
        ("POST", "pki/issue/web", {"common_name": "web.example"}),
        ("POST", "auth/approle/role/app", {"token_ttl": "5m"}),
        ("POST", "auth/token/create", {"ttl": "5m"}),
        ("POST", "secret/data/a", {"data": {"k": "v"}}),
        ("POST", "sys/quotas/rate-limit/one", {"path": "secret/", "rate": 1}),
    ):
        await server.request(method, path, body)
    _, role = await server.request("GET", "auth/approle/role/app/role-id")
    _, secret = await server.request("POST", "auth/approle/role/app/secret-id", {})
    login = {
        "role_id": role["data"]["role_id"],
        "secret_id": secret["data"]["secret_id"],
    }
    _, session = await server.request("POST", "auth/approle/login", login)
    token = {"token": session["auth"]["client_token"]}
    for path in ("lookup", "renew", "revoke"):
        await server.request("POST", f"auth/token/{path}", token)
    for _ in range(5):
        await server.request("GET", "secret/data/a")


async def _scrape(server: OpenBaoServer) -> frozenset[str]:
    async with (
        aiohttp.ClientSession(headers={"X-Vault-Token": server.root_token}) as session,
        session.get(f"{server.addr}/v1/sys/metrics", params={"format": "prometheus"}) as answer,
    ):
        text = await answer.text()
    # Not by prometheus_client's parser: it gives counters the `_total` that OpenBao's have not.
    return frozenset(_NAME.findall(text))


async def _collect() -> frozenset[str]:
    found: frozenset[str] = frozenset()
    with tempfile.TemporaryDirectory() as folder:
        server = OpenBaoServer(data_dir=Path(folder))
        await server.start()
        try:
            for _ in range(round(_FOR / _EVERY)):
                await _use(server)
                found |= await _scrape(server)
                await asyncio.sleep(_EVERY)
        finally:
            await server.stop()
    return found


def main() -> None:
    """Write the file anew."""
    found = asyncio.run(_collect())
    path = FOLDER / "openbao.txt"
    path.write_text("\n".join([*sorted(found), ""]), "utf-8")
    sys.stdout.write(f"{len(found)} names in {path}\n")


if __name__ == "__main__":
    main()
