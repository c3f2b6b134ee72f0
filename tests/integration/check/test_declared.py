"""Files that are printed from declared needs, compared with them by the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from greenlang_secrets.cli.group import cli

DECLARED = """\
import greenlang_secrets as gs


class Needs(gs.Needs):
    postgresql: gs.DatabaseCredentials = gs.need("database/postgresql", gs.DatabaseCredentials)
    stripe: gs.SecretValue = gs.need("api-keys/stripe", field="key")
"""

STORE = """\
apiVersion: external-secrets.io/v1
kind: ClusterSecretStore
metadata: {name: vault-kv}
spec:
  provider:
    vault: {server: "https://vault:8200", path: secret, version: v2, auth: {kubernetes: {role: orders}}}
"""

FILES = {
    "policies/orders.hcl": "--policy",
    "external-secrets.yaml": "--external-secret",
    "annotations.yaml": "--annotations",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that declares its needs, with all that is printed from them, the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.delitem(sys.modules, "orders", raising=False)
    (tmp_path / "orders.py").write_text(DECLARED)
    (tmp_path / "policies").mkdir()
    (tmp_path / "store.yaml").write_text(STORE)
    for name, option in FILES.items():
        done = run("needs", "orders:Needs", option)
        assert done.exit_code == 0, done.output
        (tmp_path / name).write_text(done.stdout)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


@pytest.fixture
def check(vault_server, folder: Path):
    """The command on the folder, asking the shared server; gives code and findings."""
    (folder / "token").write_text(vault_server.root_token)

    def checked(*options: str) -> tuple[int, set[tuple[str, str, int]]]:
        server = ("--server", vault_server.addr, "--token-file", "token")
        done = run("check", ".", *options, *server, "--json")
        if done.exit_code == 2:
            return 2, set()
        found = json.loads(done.stdout)["findings"]
        return done.exit_code, {(each["rule"], each["file"], each["line"]) for each in found}

    return checked


def test_what_is_printed_is_what_is_declared(check) -> None:
    """Policy, ExternalSecrets and annotations are equal to the class, and fit one another."""
    assert check("--needs", "orders:Needs") == (0, set())


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_found_at_its_line(check, folder: Path, name: str) -> None:
    """An edit by hand turns the check red, where it is."""
    lines = (folder / name).read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if "greenlang/api-keys/stripe" in text)
    lines[line - 1] = lines[line - 1].replace("stripe", "mapbox")
    (folder / name).write_text("\n".join([*lines, ""]))

    code, found = check("--needs", "orders:Needs")

    assert code == 1
    assert ("needs_differ", name, line) in found


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_is_found_at_its_end(check, folder: Path, name: str) -> None:
    """What is missing at the end is told of the last line there is."""
    lines = (folder / name).read_text().splitlines()[:-3]
    (folder / name).write_text("\n".join([*lines, ""]))

    code, found = check("--needs", "orders:Needs")

    assert code == 1
    assert ("needs_differ", name, len(lines)) in found


def test_a_new_need_makes_every_file_old(check, folder: Path, monkeypatch) -> None:
    """A line more in the class is missed in all that was printed before."""
    (folder / "orders.py").write_text(DECLARED + '    more: gs.Secret = gs.need("more")\n')
    monkeypatch.delitem(sys.modules, "orders")

    code, found = check("--needs", "orders:Needs")

    assert code == 1
    assert {(rule, file) for rule, file, _ in found} == {("needs_differ", name) for name in FILES}


def test_a_file_that_was_not_compared_is_told(check) -> None:
    """Without the option nothing is imported, and nothing passes unseen."""
    code, found = check()

    assert code == 1
    assert found == {("needs_unchecked", name, 1) for name in FILES}


@pytest.mark.parametrize(
    ("tree", "line"),
    [
        ("secret/greenlang/api-keys/stripe key\nsecret/greenlang/database/postgresql", None),
        ("secret/greenlang/api-keys/stripe key", 10),
        ("secret/greenlang/api-keys/stripe id\nsecret/greenlang/database/postgresql", 5),
    ],
)
def test_a_need_that_nobody_provides_is_found(
    check, folder: Path, tree: str, line: int | None
) -> None:
    """With the secrets that there are, a path or a field that the class misspells is told."""
    (folder / "tree.txt").write_text(tree)
    for name in ("external-secrets.yaml", "annotations.yaml"):
        (folder / name).unlink()

    code, found = check("--needs", "orders:Needs", "--tree", "tree.txt")

    assert found == ({("unknown_path", "policies/orders.hcl", line)} if line else set())
    assert code == (1 if line else 0)


def test_a_head_that_was_edited_is_told(check, folder: Path) -> None:
    """A file whose first line is no command any more is not left out."""
    text = (folder / "annotations.yaml").read_text()
    (folder / "annotations.yaml").write_text(text.replace("--annotations", "--notes", 1))

    assert check("--needs", "orders:Needs") == (1, {("needs_differ", "annotations.yaml", 1)})


def test_a_class_that_nothing_is_printed_from_is_refused(check, folder: Path) -> None:
    """An option that compares nothing would only look like a proof."""
    for name in FILES:
        (folder / name).unlink()

    assert check("--needs", "orders:Needs") == (2, set())


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["orders:Needs"], "Give one of"),
        (["nowhere:Needs", "--policy"], "no module nowhere"),
        (["orders:Nothing", "--policy"], "no class of needs"),
        (["orders:gs", "--policy"], "no class of needs"),
        (["orders", "--policy"], "MODULE:CLASS"),
        (["orders:Needs", "--policy", "--name", "A B"], "--name is not"),
    ],
)
def test_a_command_that_cannot_be_followed_says_why(
    folder: Path, words: list[str], complaint: str
) -> None:
    """Wrong names are usage, exit code 2, and told in one line."""
    done = run("needs", *words)

    assert done.exit_code == 2
    assert complaint in done.stderr
