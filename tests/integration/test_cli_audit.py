"""audit verify and audit tail, on real logs and with keys from a real OpenBao."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from greenlang_secrets.audit.event import AuditEvent
from greenlang_secrets.audit.records import ChainKey, Position, members_of, sealed
from greenlang_secrets.background import Supervisor
from greenlang_secrets.cli.group import cli
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.service_keys import load_service_keys
from greenlang_secrets.vault import VaultClient
from support.audit import BEGINNING, CHAIN_KEY, KEY, event, intent, lines_of, written

KEY_LINE = f"1 {KEY.reveal()}\n"


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    """The log that the setting names."""
    for name in list(os.environ):
        if name.startswith(("VAULT_", "BAO_", "GREENLANG_SECRETS_")):
            monkeypatch.delenv(name)
    path = tmp_path / "audit.jsonl"
    monkeypatch.setenv("GREENLANG_SECRETS_AUDIT_LOG", str(path))
    return path


def invoke(*arguments: str, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(cli, ["audit", *arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def log_of(path: Path, *events: AuditEvent) -> list[bytes]:
    """Write a log of these events, with its sidecar."""
    lines, after = [], BEGINNING
    for each in events:
        line, after = sealed(members_of(each), after, CHAIN_KEY)
        lines.append(line)
    written(path, lines, after)
    return lines


# ---------------------------------------------------------------- verify


def test_a_good_log_is_said_to_be_good(path):
    """Without a file it is the setting's, and the exit code is 0."""
    lines, after = lines_of(3)
    written(path, lines, after)

    result = invoke("verify", "--key-file", "-", stdin=KEY_LINE)

    assert result.exit_code == 0
    assert result.stdout == ("3 records (1 to 3), 0 flaws, 0 changes without an outcome\n")


def test_an_edited_line_is_named_by_file_and_number(path):
    """Each flaw is a line that an editor can jump to, and the exit code is 1."""
    lines, after = lines_of(3)
    lines[1] = lines[1].replace(b'"read"', b'"list"')
    written(path, lines, after)

    result = invoke("verify", str(path), "--key-file", "-", stdin=KEY_LINE)

    assert result.exit_code == 1
    assert result.stdout == (
        f"{path}:2: edited: The HMAC is not that of what the line says: it was edited.\n"
        "2 records (1 to 3), 1 flaws, 0 changes without an outcome\n"
    )


def test_several_files_are_one_log(path):
    """Rotated files come first; without them the beginning is missing, which is a note."""
    lines, after = lines_of(5)
    before = written(path.with_name("audit.jsonl.1"), lines[:3])
    written(path, lines[3:], after)

    whole = invoke("verify", str(before), str(path), "--key-file", "-", stdin=KEY_LINE)
    part = invoke("verify", "--key-file", "-", stdin=KEY_LINE)

    assert (whole.exit_code, part.exit_code) == (0, 0)
    assert "note" not in whole.stdout
    assert part.stdout.startswith("note: The log begins at record 4; give the file before it.\n")


def test_what_is_found_as_json(path):
    """A program gets the same, and the changes without an outcome if it asks."""
    log_of(path, intent("a" * 32), intent("b" * 32), event("write", operation_id="a" * 32))

    short = json.loads(invoke("verify", "--key-file", "-", "--json", stdin=KEY_LINE).stdout)
    full = json.loads(
        invoke("verify", "--key-file", "-", "--json", "--unknown", stdin=KEY_LINE).stdout
    )

    assert short == {
        "good": True,
        "records": 3,
        "first": 1,
        "last": 3,
        "flaws": 0,
        "findings": [],
        "notices": [],
        "unknown_outcomes": 1,
    }
    [change] = full.pop("unknown")
    assert full == short
    assert (change["line"], change["operation_id"], change["action"]) == (2, "b" * 32, "write")
    assert (change["file"], change["tenant"], change["path"]) == (str(path), None, None)


def test_changes_without_an_outcome_are_listed(path):
    """Each with its line, where it was and its operation."""
    log_of(path, intent("a" * 32))

    result = invoke("verify", "--key-file", "-", "--unknown", stdin=KEY_LINE)

    assert result.exit_code == 0
    first, last = result.stdout.splitlines()
    assert first.startswith(f"{path}:1: outcome unknown: write of - in platform at ")
    assert first.endswith("operation " + "a" * 32)
    assert last == "1 records (1 to 1), 0 flaws, 1 changes without an outcome"


def test_a_flaw_as_json(path):
    """Its file, line, name and sentence."""
    written(path, [b"rubbish\n"])

    result = invoke("verify", "--key-file", "-", "--json", stdin=KEY_LINE)

    assert result.exit_code == 1
    assert json.loads(result.stdout)["findings"] == [
        {
            "file": str(path),
            "line": 1,
            "flaw": "unreadable",
            "text": "The line is no record: it does not end in an HMAC and a newline.",
        }
    ]


def test_a_ruined_log_is_told_in_part(path):
    """A thousand lines are enough; the rest is counted."""
    written(path, [b"rubbish\n"] * 1002)

    lines = invoke("verify", "--key-file", "-", stdin=KEY_LINE).stdout.splitlines()

    assert lines[1000] == "and 2 more"
    assert lines[-1] == "0 records, 1002 flaws, 0 changes without an outcome"


def test_keys_of_several_versions(path):
    """The key file has a line for each version; blank ones do not count."""
    first, middle = lines_of(2)
    second, after = lines_of(2, middle, ChainKey(2, b"o" * 32))
    written(path, [*first, *second], after)
    other = "b29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb28="

    both = invoke("verify", "--key-file", "-", stdin=f"{KEY_LINE}\n2 {other}\n")
    one = invoke("verify", "--key-file", "-", stdin=KEY_LINE)

    assert "4 records" in both.stdout
    assert f"{path}:3: unknown_key: The key of version 2 was not given." in one.stdout
    assert one.exit_code == 1


@pytest.mark.parametrize("text", ["rubbish", "one a2V5", "1", "1 "])
def test_a_key_file_that_is_none_is_refused(path, text):
    """The line is named, and not shown."""
    result = invoke("verify", "--key-file", "-", stdin=text)

    assert result.exit_code == 2
    assert "Line 1 of the key file is not VERSION BASE64." in result.stderr


def test_a_log_that_is_not_there_is_named(path):
    """What to give is said, with the exit code of configuration."""
    results = [
        invoke("verify", "--key-file", "-", stdin=KEY_LINE),
        invoke("verify", str(path), "--key-file", "-", stdin=KEY_LINE),
        invoke("tail"),
    ]

    for result in results:
        assert result.exit_code == 2
        assert f"The audit log '{path}' cannot be read (No such file or directory)" in result.stderr


@pytest.fixture
def vault(path, vault_server, mount, monkeypatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", vault_server.addr)
    monkeypatch.setenv("VAULT_TOKEN", vault_server.root_token)
    monkeypatch.setenv("GREENLANG_SECRETS_KV_MOUNT", mount)
    monkeypatch.setenv("GREENLANG_SECRETS_TENANT_TOKEN_ROLE", "none")


@pytest.fixture
async def sealed_by_service(vault, path) -> Path:
    """A log that was sealed with the service's key, as Vault has it."""
    config = SecretsServiceConfig.from_env()
    async with Supervisor() as supervisor, VaultClient.open(config, supervisor) as client:
        keys = await load_service_keys(client, kv_mount=config.kv_mount)
    key = ChainKey.of(keys.audit, keys.version)
    lines, _ = lines_of(3, Position(chain="e" * 32), key)
    return written(path, lines)


def test_the_key_comes_from_vault(sealed_by_service):
    """Whoever may read the service's entry needs no key file."""
    result = invoke("verify")

    assert result.exit_code == 0
    assert result.stdout.endswith("3 records (1 to 3), 0 flaws, 0 changes without an outcome\n")


def test_a_vault_without_a_key_says_so(vault, path, mount):
    """A wrong mount is not taken for a forged log."""
    written(path, lines_of(1)[0])

    result = invoke("verify")

    assert result.exit_code == 2
    assert f"The KV mount '{mount}' has no audit key" in result.stderr


# ---------------------------------------------------------------- tail


def test_the_last_events_are_shown(path):
    """One a line, without Vault; what was not said is a dash."""
    log_of(
        path,
        event(path="first"),
        event(
            "write",
            path="database/postgresql",
            tenant="acme",
            principal="ann",
            version=3,
            code="none",
            source_address="192.0.2.7",
            request_id="r" * 32,
        ),
        event(path="last"),
    )

    result = invoke("tail", "-n", "2")

    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first.split("\t")[1:] == [
        *("ann", "acme", "write", "database/postgresql", "3", "outcome", "ok", "none"),
        *("192.0.2.7", "r" * 32),
    ]
    assert second.split("\t")[1:] == [
        *("-", "platform", "read", "last", "-", "outcome", "ok", "-", "-", "-")
    ]


def test_events_are_chosen(path):
    """By the tenant whose scope it was, by what was done, or both."""
    log_of(
        path,
        event("read", tenant="acme", path="1"),
        event("write", tenant="acme", path="2"),
        event("read", tenant="globex", path="3"),
        event("read", path="4"),
    )

    def paths(*arguments: str) -> list[str]:
        lines = invoke("tail", "--json", *arguments).stdout.splitlines()
        return [json.loads(line)["path"] for line in lines]

    assert paths() == ["1", "2", "3", "4"]
    assert paths("--tenant", "acme") == ["1", "2"]
    assert paths("--action", "read") == ["1", "3", "4"]
    assert paths("--tenant", "acme", "--action", "read", "-n", "1") == ["1"]


def test_a_record_is_shown_as_it_is(path):
    """--json gives the very lines, so that they can be checked elsewhere."""
    lines = log_of(path, event(path="é\n"), event())

    assert invoke("tail", "--json").stdout.encode() == b"".join(lines)


def test_a_path_does_not_move_the_cursor(path):
    """What a caller put into a path is spelled out for a terminal."""
    log_of(path, event(path="a\x1b[2J\n\u202eb\ud800é"))

    result = invoke("tail")

    assert result.stdout.count("\n") == 1
    assert result.stdout.split("\t")[4] == r"a\x1b[2J\n\u202eb\ud800é"


def test_following_shows_what_comes_and_ends_with_ctrl_c(path):
    """A record that is written later appears, and an interrupt is a good end."""
    lines = log_of(path, event(path="first"))
    process = subprocess.Popen(
        [sys.executable, "-m", "greenlang_secrets.cli", "audit", "tail", "-f", "--json"],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == lines[0]
        more, _ = lines_of(1)
        with path.open("ab") as file:
            file.write(more[0])
        assert process.stdout.readline() == more[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
