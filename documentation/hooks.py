"""What mkdocs calls while it builds the site: see ``mkdocs.yml``."""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from documentation.navigation import navigation
from documentation.places import DOCS, ROOT, elsewhere, led, place, shown


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give the site the navigation that ``docs/index.md`` is."""
    sections = navigation((ROOT / DOCS / "index.md").read_text("utf-8"))
    config.nav = [
        {"Home": "index.md"},
        *(
            {
                section.title: [
                    source if words is None else {words: source} for words, source in section.pages
                ]
            }
            for section in sections
        ),
    ]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what the pages link to outside ``docs/``; it is found by links, or in the navigation."""
    for file in sorted(elsewhere()):
        files.append(
            File.generated(
                config,
                place(file).as_posix(),
                content=shown(file),
                inclusion=InclusionLevel.NOT_IN_NAV,
            )
        )
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links of a page of ``docs/`` to where their targets stand in the site."""
    del config, files
    if page.file.generated_by is not None:
        return markdown  # led when it was added
    return led(markdown, DOCS / page.file.src_uri)
