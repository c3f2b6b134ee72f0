"""A development stack and a Prometheus that scrapes it, for as long as the preview needs them."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import anyio

from observability.servers import Prometheus
from observability.tools import ROOT
from observability.workload import Stack

__all__ = ["SCRAPE_SECONDS", "development_stack", "scraping"]

SCRAPE_SECONDS: Final = 1
"""A minute then has as many points as a quarter of an hour has with the intervals that are shipped."""

_READY_WITHIN: Final = 120.0  # seconds; two or three of servers' starts on an idle machine
_ENDS_WITHIN: Final = 90.0
_RULES: Final = ROOT / "observability" / "prometheus" / "rules"


@asynccontextmanager
async def development_stack(environment: Mapping[str, str]) -> AsyncIterator[Stack]:
    """Run ``greenlang-secrets dev`` in a folder that goes at the end.

    Raises:
        TimeoutError: it was not ready in two minutes.
        RuntimeError: it ended before it was ready; the text has its last words.
    """
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        ready, log = here / "ready.json", here / "log"
        command = ("dev", "--port", "0", "--data-dir", here / "data", "--ready-file", ready)
        with log.open("wb") as written:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "greenlang_secrets.cli", *map(str, command)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=written,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(environment),
            )
        try:
            with anyio.fail_after(_READY_WITHIN):
                while not await anyio.Path(ready).exists():
                    if process.returncode is not None:
                        said = await anyio.Path(log).read_text("utf-8")
                        raise RuntimeError(f"the stack ended before it was ready: {said[-1000:]}")
                    await anyio.sleep(0.2)
            yield Stack.read(ready)
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        with anyio.move_on_after(_ENDS_WITHIN) as scope:
            await process.wait()
        if scope.cancelled_caught:
            process.kill()
            await process.wait()


def scraping(stack: Stack) -> Prometheus:
    """Return a Prometheus, not started, that scrapes a stack and knows the shipped rules."""
    openbao = _job("openbao", stack.vault_addr, "/v1/sys/metrics") | {
        "params": {"format": ["prometheus"]},
        # Also where the listener asks nobody for a token: it is not looked at then.
        "authorization": {"credentials": stack.vault_token},
    }
    return Prometheus(
        {
            "global": {
                "scrape_interval": f"{SCRAPE_SECONDS}s",
                "scrape_timeout": f"{SCRAPE_SECONDS}s",
                "evaluation_interval": f"{SCRAPE_SECONDS}s",
            },
            "rule_files": [str(path) for path in sorted(_RULES.glob("*.yaml"))],
            "scrape_configs": [_job("greenlang-secrets", stack.api_url, "/metrics"), openbao],
        }
    )


def _job(name: str, url: str, path: str) -> dict[str, Any]:
    labels = {"environment": "development", "namespace": "preview"}
    target = {"targets": [urlsplit(url).netloc], "labels": labels}
    return {"job_name": name, "metrics_path": path, "static_configs": [target]}
