"""Every example in Python that the documentation has runs, and prints what it shows."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import pydantic
import pytest

import greenlang_secrets as gs
from contracts.markdown import ROOT, Block, blocks, pages

_numbers = itertools.count(1)

pydantic.create_model("First")  # it looks for its plugins then, on the disk, and not in a page

TYPED_IN = {"README.md", "docs/tutorial/first-steps.md"}
"""Pages whose programs are files that `test_first_steps` runs beside a real stack."""

SEED = {
    "database/postgresql": {"username": "app", "password": "p"},
    "api-keys/stripe": {"key": "k"},
}

ENGINES: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "transit": ("transit", {"keys/pii-encryption-key": {}}),
    "pki_int": (
        "pki",
        {
            "root/generate/internal": {"common_name": "GreenLang", "key_type": "ec"},
            "roles/greenlang-services": {
                "allowed_domains": ["greenlang.internal"],
                "allow_subdomains": True,
                "key_type": "ec",
            },
        },
    ),
}


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _pages_with(language: str) -> list[Path]:
    return [page for page in pages() if any(block.language == language for block in _of(page))]


def _of(page: Path) -> list[Block]:
    return blocks(page.read_text("utf-8"))


def _tests_something(block: Block) -> bool:
    return "def test_" in block.text


@pytest.fixture
def environment(vault_server, monkeypatch) -> Iterator[None]:
    """What `make dev` gives a second shell: a Vault, seeded, in a mount of this test's own."""
    mount = f"docs-{next(_numbers)}"
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        status, _ = runner.run(
            vault_server.request(
                "POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}}
            )
        )
        assert status in {200, 204}
        for path, data in SEED.items():
            runner.run(
                vault_server.request("POST", f"{mount}/data/greenlang/{path}", {"data": data})
            )
        made = [mount]
        for name, (kind, settings) in ENGINES.items():
            status, _ = runner.run(
                vault_server.request("POST", f"sys/mounts/{name}", {"type": kind})
            )
            if status == 400:  # a server that somebody else runs, and has provisioned
                continue
            made.append(name)
            for path, body in settings.items():
                status, _ = runner.run(vault_server.request("POST", f"{name}/{path}", body))
                assert status in {200, 204}
        monkeypatch.setenv("VAULT_ADDR", vault_server.addr)
        monkeypatch.setenv("VAULT_TOKEN", vault_server.root_token)
        monkeypatch.setenv("GREENLANG_SECRETS_KV_MOUNT", mount)
        monkeypatch.setenv("GREENLANG_SECRETS_TENANT_TOKEN_ROLE", "none")
        yield
        for name in made:
            runner.run(vault_server.request("DELETE", f"sys/mounts/{name}"))


@pytest.fixture
def database(environment, vault_server, postgres_server) -> Iterator[None]:
    """A database engine before a real PostgreSQL, and the secret that says where that is."""
    kv = os.environ["GREENLANG_SECRETS_KV_MOUNT"]
    admin = urlsplit(postgres_server.url)
    place = {"host": postgres_server.host, "port": str(postgres_server.port)}
    login = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}'"
    writes: dict[str, dict[str, Any]] = {
        "sys/mounts/database": {"type": "database"},
        "database/config/pg": {
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "*",
            "connection_url": "postgresql://{{username}}:{{password}}@"
            f"{place['host']}:{place['port']}/postgres?sslmode=disable",
            "username": unquote(admin.username or ""),
            "password": unquote(admin.password or ""),
        },
        "database/roles/orders": {
            "db_name": "pg",
            "creation_statements": [login],
            "default_ttl": "1h",
            "max_ttl": "24h",
        },
        "database/static-roles/reports": {
            "db_name": "pg",
            "username": "docs_reports",
            "rotation_period": "24h",
        },
        f"{kv}/data/greenlang/database/orders": {
            "data": {"username": "u", "password": "p", "database": "postgres", **place}
        },
        f"{kv}/metadata/greenlang/database/orders": {"custom_metadata": {"type": "database"}},
        f"{kv}/data/greenlang/database/billing": {
            "data": {
                "username": "billing_a",
                "password": "first",
                "database": "postgres",
                **place,
            }
        },
        f"{kv}/metadata/greenlang/database/billing": {"custom_metadata": {"type": "database"}},
    }

    async def prepare() -> None:
        connection = await asyncpg.connect(postgres_server.url)
        await connection.execute("DROP ROLE IF EXISTS docs_reports, billing_a, billing_b")
        await connection.execute("CREATE ROLE billing_a WITH LOGIN PASSWORD 'first'")
        await connection.execute("CREATE ROLE billing_b WITH LOGIN PASSWORD 'second'")
        await connection.execute("CREATE ROLE docs_reports WITH LOGIN PASSWORD 'first'")
        await connection.close()
        for path, body in writes.items():
            status, answer = await vault_server.request("POST", path, body)
            assert status in {200, 204}, (path, answer)

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(prepare())
        yield
        runner.run(vault_server.request("DELETE", "sys/mounts/database"))


@pytest.fixture
def sources_of_changes(environment, vault_server, postgres_server, monkeypatch) -> None:
    """A database that replicas share, and the file of Vault's audit device."""
    monkeypatch.setenv("REPLICAS_DATABASE_URL", postgres_server.url)
    monkeypatch.setenv("GREENLANG_SECRETS_VAULT_AUDIT_LOG", str(vault_server.audit_file))


def compiled(block: Block, page: str) -> CodeType:
    """Return a block's code, which may await at its top level; lines are the page's."""
    text = "\n" * (block.line - 1) + block.text
    return compile(text, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


def run_page(found: list[Block], page: str) -> list[tuple[str, str]]:
    """Run a page's Python blocks in one namespace; return (shown, printed) for each block that
    is followed by a block of text.
    """
    outputs: list[tuple[str, str]] = []
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        opened = gs.SecretsService.open()
        names: dict[str, Any] = {"gs": gs, "asyncio": asyncio, "__name__": "__docs__"}
        names["secrets"] = runner.run(opened.__aenter__())
        try:
            for block, following in itertools.pairwise([*found, Block("", "", 0)]):
                if block.language != "python" or _tests_something(block):
                    continue
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    result = eval(compiled(block, page), names)  # noqa: S307  our own pages
                    if inspect.iscoroutine(result):
                        runner.run(result)
                if following.language == "text":
                    outputs.append((following.text, printed.getvalue()))
        finally:
            runner.run(opened.__aexit__(None, None, None))
    return outputs


@pytest.mark.parametrize(
    "page",
    [page for page in _pages_with("python") if _relative(page) not in TYPED_IN],
    ids=_relative,
)
def test_python_of_a_page_runs_and_prints_what_it_shows(
    page: Path, environment, request: pytest.FixtureRequest
) -> None:
    """The blocks of a page run in order on a real server, and print what follows them."""
    if "database_credentials" in page.read_text("utf-8"):
        request.getfixturevalue("database")
    if "Invalidation.open" in page.read_text("utf-8"):
        request.getfixturevalue("sources_of_changes")
    for shown, printed in run_page(_of(page), str(page)):
        assert printed == shown


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\nsecrets.no_such_method\n```\n", AttributeError),
        ("```python\nawait secrets.get('missing')\n```\n", gs.SecretNotFound),
        ("```python\nawait nothing\n```\n", NameError),
    ],
)
def test_an_example_that_fails_is_found(text: str, error: type[Exception], environment) -> None:
    """The control: a block that raises fails its page."""
    with pytest.raises(error):
        run_page(blocks(text), "page.md")


def test_an_example_that_prints_something_else_is_found(environment) -> None:
    """The control: what is printed is compared with what is shown."""
    [(shown, printed)] = run_page(blocks("```python\nprint(1)\n```\n\n```text\n2\n```\n"), "p.md")

    assert (shown, printed) == ("2\n", "1\n")


@pytest.mark.parametrize(
    "page",
    [page for page in pages() if any(map(_tests_something, _of(page)))],
    ids=_relative,
)
def test_tests_of_a_page_pass(page: Path, vault_server, tmp_path: Path) -> None:
    """The tests that a page shows pass, each block as a file of its own."""
    shown = [block for block in _of(page) if _tests_something(block)]
    for number, block in enumerate(shown):
        (tmp_path / f"test_{number}.py").write_text(block.text, "utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:anyio", "-o", "asyncio_mode=auto", "."],
        cwd=tmp_path,
        env={
            **os.environ,
            "VAULT_ADDR": vault_server.addr,
            "VAULT_TOKEN": vault_server.root_token,
        },
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout
    assert f"{len(shown)} passed" in done.stdout
