"""Every problem's `type` names a page that says what it means and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from contracts.markdown import ROOT
from greenlang_secrets_api.problem_table import PROBLEMS
from greenlang_secrets_api.problems import TYPE_PREFIX, ProblemError, problem_answer

FOLDER = ROOT / "docs" / "problems"
_HEAD = re.compile(
    r"# (?P<title>.+)\n\nCode `(?P<code>[a-z_]+)`, status (?P<status>\d{3}); "
    r"the same request (?P<fate>may succeed later|will not succeed unchanged)\.\n"
    r"\n(?P<meaning>\S[\s\S]*?)\n\nWhat to do: (?P<action>\S[\s\S]*)\n\Z"
)


def differences(pages: Mapping[str, str]) -> list[str]:
    """Return what the pages, by file name, and the table of problems disagree on."""
    wanted = {f"{_name(code)}.md": code for code in PROBLEMS}
    found = [f"no page: {name}" for name in sorted(set(wanted) - set(pages))]
    found += [f"no such problem: {name}" for name in sorted(set(pages) - set(wanted))]
    for name, code in wanted.items():
        head = _HEAD.match(pages.get(name, ""))
        row = PROBLEMS[code]
        fate = "may succeed later" if row.retryable else "will not succeed unchanged"
        if name in pages and (
            head is None
            or head.group("title", "code", "status", "fate")
            != (row.title, code, str(row.status), fate)
        ):
            found.append(f"not as in the table: {name}")
    return found


def _name(code: str) -> str:
    """The last part of a problem's `type`."""
    answer = problem_answer(ProblemError(code), "x")
    found = re.search(rb'"type":"([^"]+)"', answer.body or b"")
    assert found is not None
    return found[1].decode().removeprefix(TYPE_PREFIX)


def the_pages() -> dict[str, str]:
    """Return the pages there are."""
    return {path.name: path.read_text("utf-8") for path in FOLDER.iterdir()}


def test_every_problem_has_a_page_and_every_page_a_problem() -> None:
    """The pages and the table have the same codes, titles, statuses and hopes."""
    assert differences(the_pages()) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda pages: pages.pop("invalid-path.md"), "no page: invalid-path.md"),
        (lambda pages: pages.update({"odd.md": ""}), "no such problem: odd.md"),
        (
            lambda pages: pages.update(
                {"too-large.md": pages["too-large.md"].replace("413", "400")}
            ),
            "not as in the table: too-large.md",
        ),
        (
            lambda pages: pages.update({"too-large.md": "# Too large\n"}),
            "not as in the table: too-large.md",
        ),
    ],
)
def test_a_difference_is_found(change, complaint: str) -> None:
    """The control: a page that is missing, invented, wrong or empty is told."""
    pages = the_pages()

    change(pages)

    assert differences(pages) == [complaint]
