"""Every code block is in a language that is checked, and passes what checks it.

Here are the languages that are read. Python runs (`test_docs_examples`) and is typed
(`test_typed_blocks`), shells are read by a shell and hold to what there is (`test_shell_blocks`),
logrotate's configuration is one that the log takes (`test_logrotate`), and policies, SQL and
Valkey's commands are given to the servers they are for, below.
"""

from __future__ import annotations

import email
import json
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml
from jsonschema import Draft202012Validator
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from contracts.manifests import complaints as complaints_of_manifest
from contracts.markdown import ROOT, Block, blocks, pages
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.provision.consumers import read_consumers
from greenlang_secrets.rotation.policy_file import parse_policies
from greenlang_secrets_api.openapi import ANSWER_HEADERS, REQUEST_HEADERS
from support.openapi_replies import described

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*=\S.*")
_DRAWN = re.compile("[│▼┌└]")
_FILLED_IN = re.compile(r"\{\{.*?\}\}")
_TEMPLATE = re.compile(r"\{\{ secret [\w./@-]+#\w+(?: \| \w+)? \}\}")
_RULE = re.compile(r"([a-z][a-z-]*) += +(\S.*)")
_TERMINALS = {"a-z", "digit", "letter", "letter-or-digit"}

SCHEMAS = described().document["components"]


def compiles(block: Block) -> list[str]:
    """Return what Python says against a block, which may await at its top level."""
    try:
        compile(block.text, "block", "exec", flags=0x2000, dont_inherit=True)
    except SyntaxError as error:
        return [str(error)]
    return []


def is_body(block: Block) -> list[str]:
    """Return why a block is no JSON, or no body that the OpenAPI document describes."""
    try:
        body = json.loads(block.text)
    except ValueError as error:
        return [str(error)]
    found = {name: list(_against(name, body)) for name in SCHEMAS["schemas"]}
    if any(not each for each in found.values()):
        return []
    return [
        f"like no schema of the service, least unlike {min(found, key=lambda n: len(found[n]))}"
    ]


def _against(name: str, body: object) -> Iterator[str]:
    schema = {"$ref": f"#/components/schemas/{name}", "components": SCHEMAS}
    for error in Draft202012Validator(schema).iter_errors(body):
        if error.instance != "…":  # any text
            yield error.message


def is_ours(block: Block) -> list[str]:
    """Return why a YAML block is no manifest, and no file of policies or roles of ours."""
    try:
        documents = list(yaml.safe_load_all(block.text))
    except yaml.YAMLError as error:
        return [str(error)]
    if all(isinstance(each, dict) and "apiVersion" in each for each in documents):
        return [complaint for each in documents for complaint in complaints_of_manifest(each)]
    try:
        if "policies" in documents[0]:
            parse_policies(block.text, name="block", default_interval=3600)
        else:
            _read_roles(block.text, documents[0])
    except ConfigurationError as error:
        return [str(error)]
    return []


def _read_roles(text: str, document: Mapping[str, Any]) -> None:
    """Read roles beside a policy of each name that they have."""
    roles = document.get("kubernetes", {}).get("roles", {}).values()
    with tempfile.TemporaryDirectory() as folder:
        for name in {"any", *(name for role in roles for name in role.get("policies", ()))}:
            (Path(folder) / f"{name}.hcl").write_text('path "a" {}\n', "utf-8")
        file = Path(folder) / "roles.yaml"
        file.write_text(text, "utf-8")
        read_consumers(Path(folder), file)


def is_environment(block: Block) -> list[str]:
    """Return the lines of a file of variables that set none."""
    lines = [line for line in block.text.splitlines() if line and not line.startswith("#")]
    return [line for line in lines if not _VARIABLE.fullmatch(line)]


def are_headers(block: Block) -> list[str]:
    """Return the headers of a block that the service neither takes nor gives."""
    message = email.message_from_string(block.text)
    known = {name.lower() for name in (*ANSWER_HEADERS, *REQUEST_HEADERS)}
    unread = [line for line in message.get_payload().splitlines() if line]  # type: ignore[union-attr]
    return unread + [name for name in message if name.lower() not in known]


def is_toml(block: Block) -> list[str]:
    """Return why a block is no TOML."""
    try:
        tomllib.loads(block.text)
    except tomllib.TOMLDecodeError as error:
        return [str(error)]
    return []


def is_grammar(block: Block) -> list[str]:
    """Return the lines that are no rule, and the names that no rule defines."""
    rules = [_RULE.fullmatch(line) for line in block.text.splitlines()]
    found = [line for line, rule in zip(block.text.splitlines(), rules, strict=True) if not rule]
    defined = {rule[1] for rule in rules if rule} | _TERMINALS
    used = [re.sub(r'"[^"]*"|;.*', " ", rule[2]) for rule in rules if rule]
    names = {name for each in used for name in re.findall(r"[A-Za-z][A-Za-z-]*", each)}
    return found + sorted(names - defined)


def elsewhere(block: Block) -> list[str]:
    """Return nothing: another contract reads these."""
    del block
    return []


CHECKS: dict[str, Callable[[Block], list[str]]] = {
    "abnf": is_grammar,
    "console": elsewhere,
    "hcl": elsewhere,
    "http": are_headers,
    "ini": is_environment,
    "json": is_body,
    "python": compiles,
    "sh": elsewhere,
    "sql": elsewhere,
    "toml": is_toml,
    "valkey": elsewhere,
    "yaml": is_ours,
}

LOGROTATE = "docs/how-to/rotate-the-audit-log.md"
RUN = {"README.md", "docs/tutorial/first-steps.md"}
"""Pages whose shell blocks are run, and every output compared, by `test_first_steps`."""


def complaints(page: str, text: str) -> list[str]:
    """Return what is wrong with the blocks of a page, one line each."""
    found = []
    before = Block("", "", 0)
    for block in blocks(text):
        if block.language == "text":
            wrong = [] if _is_checked_text(page, before, block) else ["neither output nor drawing"]
        elif block.language == "logrotate":
            wrong = [] if page == LOGROTATE else ["test_logrotate reads another page"]
        elif block.language in CHECKS:
            wrong = CHECKS[block.language](block)
        else:
            wrong = [f"nothing checks {block.language or 'a block without a language'}"]
        found += [f"{page}:{block.line}: {each}" for each in wrong]
        before = block
    return found


def _is_checked_text(page: str, before: Block, block: Block) -> bool:
    """Say if a text is compared with what a block before it prints, or is a drawing."""
    if before.language == "python" and page not in RUN:
        return "def test_" not in before.text
    return page in RUN or bool(_DRAWN.search(block.text)) or _is_template(block.text)


def _is_template(text: str) -> bool:
    """Say if a text is a template of ours, with each place in it well written."""
    places = _FILLED_IN.findall(text)
    return bool(places) and all(_TEMPLATE.fullmatch(place) for place in places)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_a_page_is_checked(page: Path) -> None:
    """No block is in a language that nothing checks, and each passes."""
    assert complaints(page.relative_to(ROOT).as_posix(), page.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("language", "text", "complaint"),
    [
        ("", "anything", "nothing checks a block without a language"),
        ("ruby", "puts 1", "nothing checks ruby"),
        ("text", "greenlang-secrets list", "neither output nor drawing"),
        ("text", "key = {{ secret api-keys/stripe }}", "neither output nor drawing"),
        ("logrotate", "/var/log/x {}", "test_logrotate reads another page"),
        ("python", "def", "invalid syntax (block, line 1)"),
        (
            "json",
            "{",
            "Expecting property name enclosed in double quotes: line 2 column 1 (char 2)",
        ),
        ("json", '{"fly": 1}', "like no schema of the service"),
        ("yaml", "a: [", "while parsing a flow node"),
        ("yaml", "apiVersion: v1\nkind: Pod\nmetadata: {fly: 1}", "fly"),
        ("yaml", "version: 1\npolicies: [{path: a, kind: fly}]", "kind"),
        ("yaml", "version: 1\nkubernetes: {fly: 1}", "fly"),
        ("ini", "fly", "fly"),
        ("http", "X-Fly: 1", "X-Fly"),
        ("toml", "a =", "Invalid value"),
        ("abnf", "a = fly", "fly"),
    ],
)
def test_a_block_that_is_wrong_is_found(language: str, text: str, complaint: str) -> None:
    """The control: whatever a block may be, what is wrong with it is told."""
    [found] = complaints("a.md", f"```{language}\n{text}\n```\n")

    assert found.startswith("a.md:2: ")
    assert complaint in found


# ---------------------------------------------------------------- given to servers


def pages_with(language: str) -> pytest.MarkDecorator:
    """Parametrize a test by the pages with blocks in a language."""
    found = [page for page in pages() if _of(page, language)]
    return pytest.mark.parametrize(
        "page", found, ids=[page.relative_to(ROOT).as_posix() for page in found]
    )


def _of(page: Path, language: str) -> list[str]:
    return [block.text for block in blocks(page.read_text("utf-8")) if block.language == language]


async def policy_refused(vault_server, policy: str) -> bool:
    """Say if a server refuses a policy."""
    status, _ = await vault_server.request("PUT", "sys/policies/acl/docs", {"policy": policy})
    await vault_server.request("DELETE", "sys/policies/acl/docs")
    return status == 400


@pages_with("hcl")
async def test_policies_of_a_page_are_taken(page: Path, vault_server) -> None:
    """A server takes each policy that a page shows."""
    assert [text for text in _of(page, "hcl") if await policy_refused(vault_server, text)] == []


async def test_a_policy_that_is_refused_is_found(vault_server) -> None:
    """The control: a capability that there is not is refused."""
    assert await policy_refused(vault_server, 'path "a" { capabilities = ["fly"] }')


async def run_sql(url: str, statements: str) -> None:
    """Run statements in a transaction that is rolled back, all but the making of databases."""
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        for statement in statements.split(";"):
            if statement.strip().startswith("CREATE DATABASE"):
                # It is read, and then refused for being in a transaction.
                with pytest.raises(asyncpg.ActiveSQLTransactionError):
                    async with connection.transaction():
                        await connection.execute(statement)
            elif statement.strip():
                await connection.execute(statement)
    finally:
        await transaction.rollback()
        await connection.close()


@pages_with("sql")
async def test_sql_of_a_page_runs(page: Path, postgres_server) -> None:
    """PostgreSQL runs the statements of a page, one block after the other."""
    await run_sql(postgres_server.url, ";".join(_of(page, "sql")))


@pytest.mark.parametrize("statement", ["CREATE FLY a", "CREATE DATABASE"])
async def test_sql_that_does_not_run_is_found(statement: str, postgres_server) -> None:
    """The control: a statement that PostgreSQL does not know fails its page."""
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await run_sql(postgres_server.url, statement)


async def run_valkey(server, text: str) -> None:
    """Run the commands of a block, and take away the users that they make."""
    client = Redis.from_url(server.url)
    try:
        for line in text.splitlines():
            words = line.split()
            try:
                await client.execute_command(*words)
            finally:
                if words[:2] == ["ACL", "SETUSER"]:
                    await client.acl_deluser(words[2])
    finally:
        await client.aclose()


@pages_with("valkey")
async def test_commands_for_valkey_run(page: Path, valkey_server) -> None:
    """Valkey takes the commands of a page."""
    for text in _of(page, "valkey"):
        await run_valkey(valkey_server, text)


async def test_a_command_that_valkey_refuses_is_found(valkey_server) -> None:
    """The control: a rule that Valkey does not know fails its page."""
    with pytest.raises(ResponseError):
        await run_valkey(valkey_server, "ACL SETUSER fly +@fly")
