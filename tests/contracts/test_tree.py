"""Rules that hold for every file of the repository."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from contracts.markdown import ROOT, pages, prose

LONGEST_SOURCE = 400
"""Lines of a file under src/ at most: what is read in one sitting."""

SHAPELESS = {"utils", "util", "helpers", "helper", "common", "misc", "base"}

# Written in pieces, or this file would break its own rules.
_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("crates", "io"),
        ("golang", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
    )
]
_FOREIGN = [
    "".join(parts)
    for parts in (
        ("cla", "ude"),
        ("anth", "ropic"),
        ("chat", "gpt"),
        ("open", "ai"),
        ("copi", "lot"),
        ("gem", "ini"),
        ("co-auth", "ored-by"),
        ("generated", " with"),
        ("sub", "agent"),
    )
]
_ELSEWHERE = ["".join(parts) for parts in (("RELIA", "BILITY"), ("OBSERV", "ABILITY.md"))]
_ELSEWHERE += [f"{name}.md" for name in ("DES" + "IGN", "RE" + "ST", "VAU" + "LT", "FIE" + "LD")]

# That of the agent, in its image, is one of no machine.
_MACHINE = re.compile(r"(?<![\w.~$}…-])/(?:work|root|home(?!/vault\b)|Users)/[\w.]")
_HOST = re.compile("|".join(re.escape(host) for host in _HOSTS))
_TOOL = re.compile("|".join(re.escape(word) for word in _FOREIGN), re.IGNORECASE)
_NOTE = re.compile(r"\b(?:" + "|".join(re.escape(word) for word in _ELSEWHERE) + r")(?!\w)")
_LIST_NUMBER = re.compile(r"^\s*\d+\. ")
# A full stop, then another sentence.
_TWO_SENTENCES = re.compile(r"[a-z0-9`)\]\"'*][.!?] +[A-Z`*\[]")


def tree() -> list[PurePosixPath]:
    """Return every file that git knows or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    names = {PurePosixPath(name) for name in listed.split("\0") if name}
    return sorted(name for name in names if (ROOT / name).is_file())


def findings(name: PurePosixPath, text: str) -> Iterator[str]:
    """Yield what is wrong with a file, one line each."""
    lines = text.splitlines()
    if name.stem.lower() in SHAPELESS:
        yield f"{name}: a file is named for what it owns"
    if name.parts[0] == "src" and name.suffix == ".py" and len(lines) > LONGEST_SOURCE:
        yield f"{name}: {len(lines)} lines, at most {LONGEST_SOURCE}"
    for number, line in enumerate(lines, 1):
        if _MACHINE.search(line):
            yield f"{name}:{number}: a path of one machine"
        if _HOST.search(line):
            yield f"{name}:{number}: the host of a registry"
        if _TOOL.search(line):
            yield f"{name}:{number}: a word that is not the project's"
        if _NOTE.search(line):
            yield f"{name}:{number}: a document that is not in the repository"


def test_every_file_keeps_the_rules() -> None:
    """No file names a machine, a registry or what is not here, none is too long or shapeless."""
    found = [
        complaint
        for name in tree()
        for complaint in findings(name, (ROOT / name).read_text("utf-8", "replace"))
    ]

    assert found == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("src/a/utils.py", "x = 1\n"),
        ("tests/helpers.py", "x = 1\n"),
        ("src/a/kv.py", "x = 1\n" * 401),
        ("README.md", "see /" + "root/.cache\n"),
        ("README.md", "cd /" + "work/main\n"),
        ("README.md", "(/" + "home/me/x)\n"),
        ("requirements/dev.txt", "--index-url https://" + "pypi" + ".org/simple\n"),
        ("Makefile", "docker pull " + "ghcr" + ".io/x\n"),
        ("src/a.py", "# made by " + "Cla" + "ude\n"),
        ("src/a.py", "# see " + "RELIA" + "BILITY, finding 1\n"),
        ("docs/a.md", "see " + "DES" + "IGN.md\n"),
    ],
)
def test_a_broken_rule_is_found(name: str, text: str) -> None:
    """The control: each rule complains of what breaks it."""
    assert len(list(findings(PurePosixPath(name), text))) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("src/a/kv.py", "x = 1\n" * 400),
        ("docs/a.md", "the folder `/homework`, https://example.org/root, ~/work/x\n"),
        ("docs/a.md", "the design, Vault's REST API\n"),
        ("k8s/a.yaml", "-config=/" + "home/vault/config.json\n"),
    ],
)
def test_a_kept_rule_raises_no_alarm(name: str, text: str) -> None:
    """What keeps the rules is left alone."""
    assert list(findings(PurePosixPath(name), text)) == []


def two_sentences(text: str) -> list[int]:
    """Return the numbers of the lines of a page on which a second sentence begins."""
    return [
        number for number, line in prose(text) if _TWO_SENTENCES.search(_LIST_NUMBER.sub("", line))
    ]


def test_markdown_has_one_sentence_per_line() -> None:
    """A change of one sentence shows as a change of one line."""
    found = {
        page.relative_to(ROOT).as_posix(): numbers
        for page in pages()
        if (numbers := two_sentences(page.read_text("utf-8")))
    }

    assert found == {}


def test_a_second_sentence_on_a_line_is_found() -> None:
    """The control: prose is looked at, code and tables are not."""
    text = "One. Two.\n```sh\nOne. Two.\n```\n| One. Two. |\nOne.\nTwo, e.g. three.\n"

    assert two_sentences(text) == [1]
