"""What the shell blocks of a page name, and whether it is there.

Ours is compared with the code: targets of ``make``, commands and options of the program,
addresses of the service, extras and files. Of others those that come as wheels are asked
themselves. The rest is a short list, each with what is known of it.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import click

from contracts.inventory import PROGRAM, command_tree, routes
from contracts.markdown import ROOT, Block, blocks
from greenlang_secrets.cli.group import cli
from greenlang_secrets.errors import InvalidPath
from greenlang_secrets_api.targets import is_ours, parse
from support.kubectl import KUBECTL

__all__ = ["commands", "script", "unknown", "unknown_in"]

BAO = Path(sys.executable).with_name("bao")

SHELL = frozenset({".", "[", "cat", "cd", "done", "echo", "eval", "export", "false", "install", "kill", "mkdir",
                   "sleep", "source", "true", "umask", "unset", "wait"})  # fmt: skip
"""What every shell and system has."""

NOT_HERE = {
    "helm": "no wheel; its values are held by tests/kubernetes and tests/contracts",
    "py-spy": "in the environment of the benchmarks, and needs root",
    "pytest": "the reader's, as a plugin has it",
    "python": "the reader's; files are looked for",
    "python3": "the reader's",
    "uvicorn": "runs an example; tests/integration/examples runs it as its page says",
    "setup-envtest": "comes with Kubernetes, see CONTRIBUTING.md",
}
"""Programs that cannot be asked where the tests run, and why."""

_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z_0-9]*=.*", re.DOTALL)
_EXAMPLE = "http://127.0.0.1:8000/"
"""Where an example serves."""

_ENDS = {"|", "||", "&&", ";", "&", "(", ")"}
_FILE = re.compile(r"(?:k8s|tests|src|docs|examples|observability|benchmarks)/[\w./-]+")


def script(block: Block) -> str:
    """Return what a shell reads: a console's commands, without prompts and without answers."""
    if block.language != "console":
        return block.text
    return "".join(
        f"{line[2:]}\n" for line in block.text.splitlines() if line.startswith(("$ ", "> "))
    )


def commands(text: str) -> Iterator[list[str]]:
    """Yield each simple command of a script as its words, those in ``$(…)`` too."""
    for line in text.replace("\\\n", " ").splitlines():
        while found := _SUBSTITUTION.search(line):
            yield from commands(found[1])
            line = f"{line[: found.start()]}substituted{line[found.end() :]}"  # noqa: PLW2901
        words: list[str] = []
        for word in [*_words(line), ";"]:
            if word not in _ENDS:
                words.append(word)
            elif words:
                yield _without_redirections(words)
                words = []


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def _without_redirections(words: list[str]) -> list[str]:
    kept: list[str] = []
    following = iter(words)
    for word in following:
        if set(word) <= set("<>&"):
            next(following, None)
            if kept and kept[-1].isdigit():
                kept.pop()
        else:
            kept.append(word)
    return kept


def unknown(text: str) -> list[str]:
    """Return what the shell blocks of a page name that does not exist."""
    shown = (block for block in blocks(text) if block.language in {"sh", "console"})
    return [complaint for block in shown for complaint in unknown_in(script(block))]


def unknown_in(text: str) -> list[str]:
    """Return what a script names that does not exist."""
    return [complaint for words in commands(text) for complaint in _unknown_in(words)]


def _unknown_in(words: list[str]) -> Iterator[str]:
    yield from (
        f"file {file[0]}"
        for word in words
        if (file := _FILE.match(word)) and not (ROOT / file[0]).exists()
    )
    while words and (words[0] in {"export", "env"} or _ASSIGNMENT.fullmatch(words[0])):
        words = words[1:]
    if not words:
        return
    program, *rest = words
    if program in _ASKED:
        yield from _ASKED[program](rest)
    elif program not in SHELL | NOT_HERE.keys():
        yield f"program {program}"


def _unknown_make(words: list[str]) -> Iterator[str]:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))
    for word in words:
        if word.startswith("ARGS="):
            if words[0] == "dev":
                yield from _unknown_options(["dev", *shlex.split(word[5:])])
        elif word not in targets and not _ASSIGNMENT.fullmatch(word):
            yield f"make {word}"


def _unknown_options(words: list[str]) -> Iterator[str]:
    tree: dict[str, click.Command] = dict(command_tree(cli))
    command: click.Command = cli
    name = PROGRAM
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = f"{name} {words[0]}"
        if name not in tree:
            yield f"command {name.removeprefix(PROGRAM).strip()}"
            return
        command, words = tree[name], words[1:]
    options = {option for parameter in command.params for option in parameter.opts}
    options |= {option for parameter in command.params for option in parameter.secondary_opts}
    for word in words:
        if word == "--":
            return
        if word.startswith("--") and word.partition("=")[0] not in options | {"--help"}:
            yield f"option {name.removeprefix(PROGRAM).strip()} {word}"


def _unknown_addresses(words: list[str]) -> Iterator[str]:
    yield from (f"address {word}" for word in words if _is_unknown_address(word))


def _is_unknown_address(word: str) -> bool:
    if not word.startswith("http") or word.startswith(_EXAMPLE):
        return False
    path = urlsplit(word).path
    if not is_ours(path.encode()):
        return (path,) not in routes()
    try:
        parse(path.encode())
    except InvalidPath:
        return True
    return False


def _unknown_kubectl(words: list[str]) -> Iterator[str]:
    verbs = re.findall(r"^  ([a-z-]+) ", _said(str(KUBECTL), "--help"), re.MULTILINE)
    verb = next((word for word in words if word in verbs), None)
    if verb is None:
        yield f"kubectl {' '.join(words)}"
        return
    help_text = _said(str(KUBECTL), verb, "--help") + _said(str(KUBECTL), "options")
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("-") and not re.search(rf"(?<![\w-]){option}\b", help_text):
            yield f"option kubectl {verb} {option}"


def _unknown_bao(words: list[str]) -> Iterator[str]:
    """The program of Vault has the same commands."""
    names = [word for word in words[:2] if re.fullmatch(r"[a-z]+", word)]
    known = ""
    for depth in range(1, len(names) + 1):
        page = _said(str(BAO), *names[:depth], "-h")
        if page.startswith(f"Usage: bao {' '.join(names[:depth])} "):
            known = page
    if not known:
        yield f"bao {' '.join(words)}"
        return
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("-") and option not in known:
            yield f"option bao {option}"


def _unknown_packages(words: list[str]) -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    for word in words[1:]:
        found = re.fullmatch(rf"{PROGRAM}\[([\w,-]+)\]", word)
        for extra in found[1].split(",") if found else ():
            if extra not in project["project"]["optional-dependencies"]:
                yield f"extra {extra}"


def _unknown_applications(words: list[str]) -> Iterator[str]:
    match words:
        case ["--app-dir", folder, app, *_]:
            if not (ROOT / folder / f"{app.partition(':')[0]}.py").is_file():
                yield f"application {folder} {app}"


def _unknown_modules(words: list[str]) -> Iterator[str]:
    match words:
        case ["-m", module, *_] if not (ROOT / f"{module.replace('.', '/')}.py").exists():
            yield f"module {module}"


@cache
def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


_ASKED: dict[str, Callable[[list[str]], Iterator[str]]] = {
    PROGRAM: _unknown_options,
    ".venv/bin/python": _unknown_modules,
    "bao": _unknown_bao,
    "curl": _unknown_addresses,
    "kubectl": _unknown_kubectl,
    "make": _unknown_make,
    "pip": _unknown_packages,
    "uvicorn": _unknown_applications,
    "vault": _unknown_bao,
}
