"""The site of the documentation: built without a warning, complete, and alone in the world."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.markdown import ROOT
from documentation.navigation import navigation
from documentation.places import elsewhere, place

_LOADED = re.compile(
    r"<(?:script|img|iframe)\b[^>]*\bsrc=\"?(https?:)?//|<link\b[^>]*\brel=\"?"
    r"(?:stylesheet|preconnect|preload)[^>]*\bhref=\"?(https?:)?//"
)
INDEX = (ROOT / "docs/index.md").read_text("utf-8")


def build(config: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build a site strictly, as `make docs` does."""
    # Not --quiet: a warning that is not said is not counted.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(
        [*command, "--config-file", str(config), "--site-dir", str(target)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", target)
    assert done.returncode == 0, done.stderr
    return target


def test_every_page_and_all_that_it_links_to_is_in_the_site(site: Path) -> None:
    """Strictly built, the site has each page of docs/, and each file that a page links to."""
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    others = [place(file) for file in elsewhere()]

    made = [site / page.with_suffix(".html") for page in (*pages, *others)]

    readmes = [page.with_name("index.html") if page.stem == "README" else page for page in made]
    assert [page for page in readmes if not page.is_file()] == []
    assert place(Path("docs/index.md")).as_posix() == "index.md"
    assert len(others) > 50  # the control: there are such files


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """No page loads a script, a style, a font or a picture from another place."""
    loaded = {
        page.relative_to(site).as_posix(): found[0]
        for page in site.rglob("*.html")
        if (found := _LOADED.search(page.read_text("utf-8")))
    }

    assert loaded == {}


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://cdn.example/a.js">',
        '<link rel="stylesheet" href="https://fonts.example/a.css">',
        '<link rel=preconnect href="//fonts.example">',
        '<img alt="x" src="http://pictures.example/a.png">',
    ],
)
def test_what_is_loaded_from_elsewhere_is_found(tag: str) -> None:
    """The control: each way to load from another place is seen."""
    assert _LOADED.search(tag)


def unlisted(index: str) -> set[str]:
    """Return the pages of docs/ that the navigation of `index` lacks."""
    listed = {source for section in navigation(index) for _, source in section.pages}
    pages = (ROOT / "docs").rglob("*.md")
    return {page.relative_to(ROOT / "docs").as_posix() for page in pages} - listed - {"index.md"}


def test_every_page_is_in_the_index() -> None:
    """The index, which is the navigation, lists each page: a new one is added there."""
    assert unlisted(INDEX) == set()


def test_the_readme_is_read_in_one_sitting() -> None:
    """It is short, and leaves the promises with their tests to the page that has them all."""
    readme = (ROOT / "README.md").read_text("utf-8")

    assert len(readme.splitlines()) <= 150
    assert "| Promise |" not in readme
    assert "| Promise |" in (ROOT / "docs/explanation/promises.md").read_text("utf-8")


def twice(text: str) -> list[str]:
    """Return the pages that a list of pages has more than once, as two merged branches may."""
    entries = re.findall(r"^- \[[^\]]*\]\(([^)]*)\)", text, re.MULTILINE)
    return sorted({entry for entry in entries if entries.count(entry) > 1})


def test_no_page_is_listed_twice() -> None:
    """The index has each page once, and a copied line is found."""
    assert twice(INDEX) == []
    assert twice(INDEX + "\n- [Trace](how-to/trace.md)\n") == ["how-to/trace.md"]


def test_a_page_that_the_index_lacks_is_found() -> None:
    """The control: without its line, a page is missing."""
    lines = [line for line in INDEX.splitlines() if "how-to/trace.md" not in line]

    assert unlisted("\n".join(lines)) == {"how-to/trace.md"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[x](nowhere.md)", "nowhere.md"),
        ("[x](#nowhere)", "#nowhere"),
        ("[x](/index.md)", "/index.md"),
    ],
)
def test_a_link_that_leads_nowhere_ends_the_build(
    tmp_path: Path, text: str, complaint: str
) -> None:
    """The control: with the settings of the site, a broken link of a page is an error."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# A page\n\n{text}\n", "utf-8")
    config = tmp_path / "mkdocs.yml"
    config.write_text(f"INHERIT: {ROOT}/mkdocs.yml\ndocs_dir: docs\nhooks: []\n", "utf-8")

    done = build(config, tmp_path / "site")

    assert done.returncode == 1
    assert complaint in done.stderr
