"""The page `/docs`: everything of the document, nothing from elsewhere, no script."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from api.live import Api
from greenlang_secrets_api.docs_page import docs_page, docs_policy
from greenlang_secrets_api.problem_table import PROBLEMS
from support.openapi_replies import described

VOID = {"meta", "wbr"}
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "nav", "main", "header", "section"),
    *("article", "footer", "div", "p", "h1", "h2", "h3", "h4", "ul", "li", "dl", "dt", "dd"),
    *("a", "code", "pre", "span", "small", "strong", "em", "details", "summary", "wbr"),
}
ATTRIBUTES = {
    *("charset", "name", "content", "lang", "id", "class", "href", "open", "aria-label"),
}


class Reader(HTMLParser):
    """Reads a page strictly: every element closed in order, every name known."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.style = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED:
            self.faults.append(f"element {tag}")
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            if name not in ATTRIBUTES:
                self.faults.append(f"attribute {name}")
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"{tag} is closed out of order")

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            self.style += data
        else:
            self.text += data

    def close(self) -> None:
        super().close()
        self.faults += [f"{tag} is never closed" for tag in self._open]
        for link in self.links:
            if link != "openapi.json" and link.removeprefix("#") not in self.ids:
                self.faults.append(f"link {link}")
        self.faults += [f"id {each} twice" for each in set(self.ids) if self.ids.count(each) > 1]
        if re.search(r"url\(|@import|https?:", self.style):
            self.faults.append("the style sheet loads something")


def read(page: str) -> Reader:
    """Return what a page holds, and what is wrong with it."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


PAGE = docs_page(described().document).decode()


async def test_it_is_served_with_a_policy_that_allows_its_style_alone(api: Api) -> None:
    """Without a bearer; nothing is loaded and no script runs, whatever the page says."""
    reply = await api.ask("GET", "/docs")
    digest = base64.b64encode(hashlib.sha256(read(reply.body.decode()).style.encode()).digest())

    assert (reply.status, reply.body.decode()) == (200, PAGE)
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.headers["Content-Security-Policy"] == docs_policy()
    assert docs_policy() == (
        f"default-src 'none'; style-src 'sha256-{digest.decode()}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


def test_it_is_whole_and_needs_nothing() -> None:
    """Elements are closed, links lead to what is there, nothing is loaded, no script runs."""
    assert PAGE.startswith("<!DOCTYPE html>\n")
    assert read(PAGE).faults == []


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ("<script>1</script>", ["element script"]),
        ("<img src='x'>", ["element img", "attribute src"]),
        ("<p onclick='x'></p>", ["attribute onclick"]),
        ("<p style='x'></p>", ["attribute style"]),
        ("<a href='https://elsewhere.example'></a>", ["link https://elsewhere.example"]),
        ("<a href='#nowhere'></a>", ["link #nowhere"]),
        ("<p id='readSecret'></p>", ["id readSecret twice"]),
        ("</p>", ["p is closed out of order"]),
        ("<style>@import 'x'</style>", ["the style sheet loads something"]),
    ],
)
def test_a_page_that_is_not_is_found(change: str, faults: list[str]) -> None:
    """The control: what the page must not have is told."""
    found = read(PAGE.replace("</main>", f"{change}</main>")).faults

    assert [fault for fault in faults if fault not in found] == []


def test_every_operation_and_every_problem_is_on_it() -> None:
    """Each has a place with its own address, and says what the document says."""
    page = read(PAGE)
    operations = [
        operation
        for item in described().document["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]

    assert [each["operationId"] for each in operations if each["operationId"] not in page.ids] == []
    assert [each["summary"] for each in operations if each["summary"] not in page.text] == []
    for code, row in PROBLEMS.items():
        assert f"problem-{code.replace('_', '-')}" in page.ids
        assert row.title in page.text
        assert row.detail.replace("`", "") in page.text


def test_every_parameter_and_member_is_on_it() -> None:
    """Nothing that may be sent or is answered is left to the document alone."""
    text = read(PAGE).text
    components: Any = described().document["components"]
    members = {
        name for schema in components["schemas"].values() for name in schema.get("properties", {})
    }

    assert [
        each["name"] for each in components["parameters"].values() if each["name"] not in text
    ] == []
    assert [name for name in members if name not in text] == []


def test_what_the_document_says_is_text() -> None:
    """Markup in a summary, a description, a path or an example stays text."""
    document: Any = described().document
    evil = "<script>alert(1)</script>\"'&"
    [address] = [
        each for each in document["paths"] if each.endswith("/status") and "rot" not in each
    ]
    operation = {**document["paths"][address]["get"], "summary": evil, "description": evil}
    paths = {**document["paths"], f"/{evil}": {"get": {**operation, "operationId": "evil"}}}
    info = {**document["info"], "title": evil, "description": f"- {evil}\n- `{evil}`\n\n**{evil}**"}

    page = read(docs_page({**document, "paths": paths, "info": info}).decode())

    assert page.faults == []
    assert page.text.count("<script>alert(1)</script>\"'&") >= 6
