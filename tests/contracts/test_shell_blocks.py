"""Shell blocks are read by a shell, and name only what there is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from contracts.markdown import ROOT, Block, blocks, pages
from contracts.shell import NOT_HERE, commands, script, unknown

SHELL = {"sh", "console"}


def shown(page: Path) -> list[Block]:
    """Return the shell blocks of a page."""
    return [block for block in blocks(page.read_text("utf-8")) if block.language in SHELL]


def refused(text: str) -> str:
    """Return what a shell says against a script that it only reads."""
    done = subprocess.run(
        ["sh", "-n"], input=text, capture_output=True, text=True, check=False, timeout=10
    )
    return done.stderr


of_each_page = pytest.mark.parametrize(
    "page", [page for page in pages() if shown(page)], ids=lambda page: str(page.relative_to(ROOT))
)


@of_each_page
def test_shell_of_a_page_names_what_there_is(page: Path) -> None:
    """Targets of make, programs, commands, options, addresses and files in a page exist."""
    assert unknown(page.read_text("utf-8")) == []


@of_each_page
def test_shell_of_a_page_is_read_by_a_shell(page: Path) -> None:
    """A shell finds nothing wrong with a block, and something in it."""
    for block in shown(page):
        assert refused(script(block)) == ""
        assert list(commands(script(block))), block


def test_what_a_shell_refuses_is_found() -> None:
    """The control: a quote that does not end is told."""
    assert refused("echo 'never ends\n") != ""


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("make fly", "make fly"),
        ('make dev ARGS="--fly"', "option dev --fly"),
        ("greenlang-secrets fly", "command fly"),
        ("greenlang-secrets catalogue fly", "command catalogue fly"),
        ("greenlang-secrets get a --fly", "option get --fly"),
        ("greenlang-secrets get a --fly=1", "option get --fly=1"),
        ("greenlang-secrets audit fly", "command audit fly"),
        ("greenlang-secrets audit tail --fly", "option audit tail --fly"),
        ("greenlang-secrets rotation schedule fly", "command rotation schedule fly"),
        ("greenlang-secrets rotation schedule set --fly", "option rotation schedule set --fly"),
        ("TOKEN=$(greenlang-secrets fly)", "command fly"),
        ("VAULT_ADDR=x greenlang-secrets fly", "command fly"),
        ("greenlang-secrets list a/ | fly > x", "program fly"),
        ("curl http://127.0.0.1:8750/fly", "address http://127.0.0.1:8750/fly"),
        (
            "curl http://127.0.0.1:8750/api/v1/secrets/a//b",
            "address http://127.0.0.1:8750/api/v1/secrets/a//b",
        ),
        ("docker run x", "program docker"),
        ("kubectl fly", "kubectl fly"),
        ("kubectl -n x get pods --fly", "option kubectl get --fly"),
        ("kubectl apply -f k8s/fly.yaml", "file k8s/fly.yaml"),
        ("bao fly", "bao fly"),
        ("bao write sys/x -fly", "option bao -fly"),
        ("vault token revoke -fly", "option bao -fly"),
        ("pip install 'greenlang-secrets[fly]'", "extra fly"),
        (".venv/bin/python -m observability.fly", "module observability.fly"),
        ("python docs/fly.py", "file docs/fly.py"),
        ("uvicorn --app-dir docs fly:app", "application docs fly:app"),
    ],
)
@pytest.mark.parametrize("fence", ["```sh\n{}\n```\n", "```console\n$ {}\nits answer\n```\n"])
def test_what_is_not_there_is_found(line: str, complaint: str, fence: str) -> None:
    """The control: whatever a line names that is not there is told, in both kinds of block."""
    assert unknown(fence.format(line)) == [complaint]


def test_a_program_that_cannot_be_asked_is_not_there() -> None:
    """The control: what is asked for its options is not excused from it."""
    assert {name for name in NOT_HERE if shutil.which(name)} <= {
        "pytest",
        "python",
        "python3",
        "py-spy",
    }
