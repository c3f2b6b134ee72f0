"""Where a file of the repository stands in the site, and a page's links, led there.

Pages of ``docs/`` stand where they are. What they link to outside, a runbook, a test, a manifest,
stands below ``repository/``: Markdown as it is, anything else as a page that shows it, and a
folder as its README or as a list of what is in it. So every link of the repository is one of the
site, and the site needs no other place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["ROOT", "elsewhere", "led", "linked", "place", "shown"]

ROOT = Path(__file__).resolve().parents[1]
DOCS = PurePosixPath("docs")
OTHERS = PurePosixPath("repository")

_LINK = re.compile(r"(?P<text>\[[^\]]*\]\()(?P<target>[^)\s#:]+)(?P<rest>(?:#[^)\s]*)?\))")
_FENCE = re.compile(r"^\s*```")


def place(file: PurePosixPath) -> PurePosixPath:
    """Return where a file or folder of the repository stands in the site, as a source of pages."""
    if file.is_relative_to(DOCS):
        return file.relative_to(DOCS)
    if (ROOT / file).is_dir():
        return place(file / "README.md") if _has_readme(file) else OTHERS / file / "index.md"
    return OTHERS / (file if file.suffix == ".md" else file.with_name(f"{file.name}.md"))


def linked(text: str, page: PurePosixPath) -> Iterator[PurePosixPath]:
    """Yield the files and folders of the repository that the page `page` links to."""
    for line in _outside_code(text):
        for found in _LINK.finditer(line):
            yield _target(page, found["target"])


def led(text: str, page: PurePosixPath) -> str:
    """Return the text of `page` with each link led to where its target stands in the site."""
    here = place(page).parent

    def lead(found: re.Match[str]) -> str:
        there = place(_target(page, found["target"]))
        return f"{found['text']}{os.path.relpath(there, here)}{found['rest']}"

    lines, inside = text.split("\n"), False
    for number, line in enumerate(lines):
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            lines[number] = _LINK.sub(lead, line)
    return "\n".join(lines)


def elsewhere() -> set[PurePosixPath]:
    """Return what pages link to outside ``docs/``, and what that links to, and so on.

    A folder with a README is that README; what does not exist is for the build to complain of.
    """
    pages = [path.relative_to(ROOT) for path in (ROOT / DOCS).rglob("*.md")]
    to_read = [PurePosixPath(page) for page in pages]
    found: set[PurePosixPath] = set()
    while to_read:
        page = to_read.pop()
        for target in linked((ROOT / page).read_text("utf-8"), page):
            file = target / "README.md" if _has_readme(target) else target
            if file.is_relative_to(DOCS) or file in found or not (ROOT / file).exists():
                continue
            found.add(file)
            if file.suffix == ".md":
                to_read.append(file)
    return found


def shown(file: PurePosixPath) -> str:
    """Return the Markdown of the page that shows a file or folder from outside ``docs/``."""
    path = ROOT / file
    if path.is_dir():
        names = sorted(each.name for each in path.iterdir() if each.is_file())
        return f"# {file}\n\n" + "".join(f"- `{name}`\n" for name in names)
    text = path.read_text("utf-8")
    if file.suffix == ".md":
        return led(text, file)
    # Search finds pages, and not every line of a test.
    return f"---\nsearch:\n  exclude: true\n---\n# {file}\n\n````text\n{text}````\n"


def _target(page: PurePosixPath, link: str) -> PurePosixPath:
    return PurePosixPath(os.path.normpath(page.parent / link))


def _has_readme(file: PurePosixPath) -> bool:
    return (ROOT / file / "README.md").is_file()


def _outside_code(text: str) -> Iterator[str]:
    inside = False
    for line in text.split("\n"):
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            yield line
