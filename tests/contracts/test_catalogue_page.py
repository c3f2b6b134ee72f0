"""The guide to a catalogue on PostgreSQL leads to one: its statements and commands are run."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from contracts.inventory import PROGRAM
from contracts.markdown import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "run-the-catalogue-on-postgresql.md"
_TLS = "?sslmode=verify-full&sslrootcert=/etc/ssl/db-ca.pem"


def _texts(language: str) -> list[str]:
    return [block.text for block in blocks(PAGE.read_text("utf-8")) if block.language == language]


def _run(server: Any, *statements: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(server.url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(run())


@pytest.fixture
def administered(postgres_server) -> Iterator[Any]:
    """A PostgreSQL whose administrator has done what the page says."""
    [script] = _texts("sql")
    statements = [statement for statement in script.split(";") if statement.strip()]
    try:
        _run(postgres_server, *statements)
        yield postgres_server
    finally:
        _run(
            postgres_server,
            "DROP DATABASE IF EXISTS catalogue WITH (FORCE)",
            "DROP ROLE IF EXISTS catalogue_owner",
            "DROP ROLE IF EXISTS catalogue_service",
        )


@pytest.mark.timeout(240)
def test_the_guide_leads_to_a_catalogue(administered: Any, vault_server, tmp_path: Path) -> None:
    """Its roles, its files, its settings and its commands, in its order, give a catalogue that can
    be used; only the host is another, without TLS.
    """
    here = f"{administered.host}:{administered.port}"
    lines = [line for text in _texts("sh") for line in text.splitlines()]
    [owner_url] = [words[1] for words in map(shlex.split, lines) if words[0] == "echo"]
    [settings] = _texts("ini")
    (tmp_path / "owner.url").write_text(
        owner_url.replace("db.internal:5432", here).replace(_TLS, "")
    )
    (tmp_path / "service.password").write_text("a-password-of-the-service\n")
    environment = dict(
        line.replace("db.internal:5432", here).replace(_TLS, "").split("=", 1)
        for line in settings.splitlines()
    )
    commands = [line for line in lines if not line.startswith(("install ", "echo "))]

    done = {
        line: subprocess.run(
            [sys.executable, "-m", "greenlang_secrets.cli", *shlex.split(line)[1:]],
            cwd=tmp_path,
            env={
                **os.environ,
                **environment,
                "VAULT_ADDR": vault_server.addr,
                "VAULT_TOKEN": vault_server.root_token,
                "GREENLANG_SECRETS_TENANT_TOKEN_ROLE": "none",
            },
            check=False,
            capture_output=True,
            text=True,
        )
        for line in commands
        if "rebuild" not in line  # its mount is another test's: test_commands.py runs it
    }

    assert [run.stderr for run in done.values() if run.returncode] == []
    assert all(line.startswith(PROGRAM) for line in commands)
    assert "usable\ttrue" in done[f"{PROGRAM} catalogue status"].stdout
    assert "undo 0004" in done[commands[-1]].stdout
