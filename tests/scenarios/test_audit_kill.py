"""The service dies in the midst of its work: what it had given out is recorded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from api.conftest import mount_kv
from api.issuer import AUDIENCE, ISSUER, Issuer
from api.live import BASE
from support.zygote import Zygote, kill

KILLS = int(os.environ.get("GREENLANG_SECRETS_TEST_KILLS", "20"))
RATE = 500
"""Reads in a second that the client asks for."""

READERS = 25


@dataclass
class Readers:
    """A client that reads all the time, and notes each value that it has in hand."""

    tokens: list[str]
    url: str = ""
    asked: int = 0
    received: dict[str, tuple[str, str]] = field(default_factory=dict)

    async def read(self, number: int) -> None:
        """Read as one of several principals, a little slower than the service could."""
        headers = {"Authorization": f"Bearer {self.tokens[number % len(self.tokens)]}"}
        loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession() as session:
            due = loop.time()
            while True:
                due = max(due + READERS / RATE, loop.time())
                await asyncio.sleep(due - loop.time())
                self.asked += 1
                request_id = f"r-{number}-{self.asked}"
                path = f"k/{self.asked % 10}"
                with contextlib.suppress(aiohttp.ClientError, OSError, ValueError):
                    async with session.get(
                        f"{self.url}{BASE}/{path}", headers={**headers, "X-Request-ID": request_id}
                    ) as response:
                        document = json.loads(await response.read())
                        if response.status == 200:
                            self.received[request_id] = path, document["data"]["k"]


@pytest.fixture
async def environment(vault: Any, tmp_path: Path, issuer: Issuer) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("VAULT_", "BAO_", "GREEN"))}
    return own | {
        "VAULT_ADDR": vault.addr,
        "VAULT_TOKEN": vault.root_token,
        "GREENLANG_SECRETS_KV_MOUNT": await mount_kv(vault),
        "GREENLANG_SECRETS_STATE_DIR": str(tmp_path / "state"),
        "GREENLANG_SECRETS_TENANT_TOKEN_ROLE": "none",
        "GREENLANG_SECRETS_RATE_LIMIT_READ": "off",
        "GREENLANG_SECRETS_JWT_ISSUER": ISSUER,
        "GREENLANG_SECRETS_JWT_AUDIENCE": AUDIENCE,
        "GREENLANG_SECRETS_JWT_JWKS_FILE": str(issuer.write(tmp_path / "jwks.json")),
    }


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


async def verified(environment: Mapping[str, str], file: Path) -> tuple[int, str]:
    """What `greenlang-secrets audit verify` says of a log: its exit code and output."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "greenlang_secrets.cli", "audit", "verify", str(file)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(child.communicate(), 60)
    return int(child.returncode or 0), output.decode()


def edited(log: Path, folder: Path, number: int) -> Path:
    """Return a copy of the log in which one line names another path."""
    folder.mkdir()
    for file in log.parent.glob(f"{log.name}*"):
        shutil.copy(file, folder)
    copy = folder / log.name
    lines = copy.read_bytes().splitlines(keepends=True)
    before = lines[number - 1]
    lines[number - 1] = before.replace(b'"path":"k/', b'"path":"x/')
    assert lines[number - 1] != before
    copy.write_bytes(b"".join(lines))
    return copy


@pytest.mark.timeout(120 + 20 * KILLS)
async def test_every_value_that_was_given_out_is_recorded(
    environment: dict[str, str], vault: Any, tmp_path: Path, issuer: Issuer
) -> None:
    """The service is killed 20 times under 500 reads a second: each value that a client has in
    hand stands in the audit log by its request's id, the log verifies, and a line that is edited
    afterwards is named by its number.
    """
    mount, log = environment["GREENLANG_SECRETS_KV_MOUNT"], tmp_path / "state" / "audit.jsonl"
    for number in range(10):
        body = {"data": {"k": f"value-{number}"}}
        status, _ = await vault.request("POST", f"{mount}/data/tenants/acme/k/{number}", body)
        assert status == 200
    dice = random.Random(20261125)  # noqa: S311  moments, no secrets
    readers = Readers([issuer.tenant("acme", sub=f"reader-{n}") for n in range(5)])

    async with Zygote.open(environment, tmp_path / "log") as zygote, asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[None]] = []
        for _ in range(KILLS):
            pid, readers.url = await zygote.serve(tmp_path / "url")
            tasks = tasks or [group.create_task(readers.read(n)) for n in range(READERS)]
            enough = len(readers.received) + dice.randint(10, 150)
            async with asyncio.timeout(60):
                while len(readers.received) < enough:
                    await asyncio.sleep(0.001)
            kill(pid)
        for task in tasks:
            task.cancel()

    records = [json.loads(line) for line in log.read_bytes().splitlines() if line.endswith(b"}")]
    given = {
        record["request_id"]: record["path"]
        for record in records
        if (record["action"], record["result"], record["tenant"]) == ("read", "ok", "acme")
    }
    assert len(readers.received) >= 10 * KILLS
    assert {value for _, value in readers.received.values()} == {f"value-{n}" for n in range(10)}
    assert {
        request: path for request, (path, _) in readers.received.items()
    }.items() <= given.items()
    code, said = await verified(environment, log)
    assert (code, said.count("line ")) == (0, 0), said
    reads = [number for number, record in enumerate(records, 1) if record["action"] == "read"]
    line = reads[len(reads) // 2]
    code, said = await verified(environment, edited(log, tmp_path / "copy", line))
    assert code == 1
    assert f"line {line}:" in said or f":{line}:" in said, said
