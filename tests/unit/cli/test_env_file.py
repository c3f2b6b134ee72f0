"""Where another environment is, as ``diff`` is told."""

from __future__ import annotations

import click
import pytest

from greenlang_secrets.cli.env_file import environ_of


@pytest.fixture(autouse=True)
def here(monkeypatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", "http://here.example")
    monkeypatch.setenv("BAO_ADDR", "http://here.example")
    monkeypatch.setenv("VAULT_TOKEN", "ours")
    monkeypatch.setenv("HOME", "/nowhere")


def test_the_present_environment_is_a_dot():
    """It is what commands take without being told."""
    assert environ_of(".")["VAULT_TOKEN"] == "ours"


def test_an_address_keeps_the_login():
    """Only where Vault is differs."""
    environ = environ_of("https://there.example")

    assert environ["VAULT_ADDR"] == "https://there.example"
    assert "BAO_ADDR" not in environ
    assert environ["VAULT_TOKEN"] == "ours"


def test_a_file_takes_nothing_of_ours(tmp_path):
    """A token of this environment never goes to the other Vault; other variables are kept."""
    file = tmp_path / "env"
    file.write_text(
        "\n# comment\nVAULT_ADDR='http://there.example'\nexport A=\"x y\" # why\nEMPTY=\n"
    )

    environ = environ_of(str(file))

    assert environ["VAULT_ADDR"] == "http://there.example"
    assert (environ["A"], environ["EMPTY"], environ["HOME"]) == ("x y", "", "/nowhere")
    assert "VAULT_TOKEN" not in environ
    assert "BAO_ADDR" not in environ


@pytest.mark.parametrize("line", ["A", "=b", "A B=c", "A=b c", "A='b", "1=2"])
def test_another_line_is_refused_and_not_shown(tmp_path, line):
    """The number of the line is told, and nothing of it, as it may be a token."""
    file = tmp_path / "env"
    file.write_text(f"OK=1\n{line}\n")

    with pytest.raises(click.UsageError, match=r"^Line 2 of 'env' is not NAME=VALUE\.$"):
        environ_of(str(file))
