"""The page `/docs`: the OpenAPI document for people, as one HTML file without scripts.

Nothing on it comes from elsewhere, so its policy allows nothing but its own style sheet, by
that sheet's digest. What it says it takes from the document, and everything taken is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

from greenlang_secrets_api.docs_markup import Markup, inline, join, prose, tag
from greenlang_secrets_api.docs_schema import example_block, schema_block, type_in_words
from greenlang_secrets_api.docs_style import STYLE

__all__ = ["docs_page", "docs_policy"]

_METHODS: Final = ("get", "head", "post", "put", "patch", "delete")
_PROBLEM: Final = "problem-"
Part = Mapping[str, Any]


def docs_page(document: Part) -> bytes:
    """Return the page of an OpenAPI document, in UTF-8."""
    info = document["info"]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{info['title']} API"),
        tag("style", Markup(STYLE)),
    )
    body = tag(
        "body",
        tag("a", "Skip to the operations", href="#operations", class_="skip"),
        _contents(document),
        tag(
            "main",
            _introduction(document),
            tag("div", *_groups(document), id="operations"),
            _problems(document),
            tag(
                "footer",
                inline(
                    f"Made from the declarations of version {info['version']}. "
                    "This page runs no script and loads nothing."
                ),
            ),
        ),
    )
    page = tag("html", head, body, lang="en")
    return f"<!DOCTYPE html>\n{page}\n".encode()


def docs_policy() -> str:
    """Return the page's `Content-Security-Policy`: its own style, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _operations(document: Part) -> Iterator[tuple[str, str, Part, Part]]:
    """Each operation: method, address, itself, and what its address says for all methods."""
    for address, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield method.upper(), address, item[method], item


def _of(document: Part, group: str) -> list[tuple[str, str, Part, Part]]:
    return [each for each in _operations(document) if group in each[2]["tags"]]


# ---------------------------------------------------------------- around the operations


def _contents(document: Part) -> Markup:
    groups = [
        tag(
            "li",
            tag("a", group["name"], href=f"#group-{group['name']}"),
            tag(
                "ul",
                *(
                    tag(
                        "li",
                        tag(
                            "a",
                            _method(method),
                            tag("span", operation["summary"]),
                            href=f"#{operation['operationId']}",
                        ),
                    )
                    for method, _, operation, _ in _of(document, group["name"])
                ),
            ),
        )
        for group in document["tags"]
    ]
    problems = tag("li", tag("a", "Problems", href="#problems"))
    return tag(
        "nav",
        tag("p", tag("a", document["info"]["title"], href="#top"), class_="brand"),
        tag("ul", *groups, problems),
        aria_label="Contents",
    )


def _introduction(document: Part) -> Markup:
    info = document["info"]
    bearer = document["components"]["securitySchemes"]["bearer"]
    sample = 'curl -H "Authorization: Bearer $TOKEN" \\\n  $API/api/v1/secrets/api-keys/stripe'
    return tag(
        "header",
        tag("h1", info["title"], " ", tag("small", info["version"])),
        prose(info["description"]),
        tag("h2", "The first request"),
        tag("p", inline(bearer["description"] + " Send it as `Authorization: Bearer`:")),
        tag("pre", tag("code", sample)),
        tag(
            "p",
            "The document this page is made from is ",
            tag("a", "openapi.json", href="openapi.json"),
            ", in OpenAPI 3.1, for generators of clients and for tools.",
        ),
        id="top",
    )


def _groups(document: Part) -> Iterator[Markup]:
    for group in document["tags"]:
        yield tag(
            "section",
            tag("h2", group["name"]),
            tag("p", inline(group["description"])),
            *(_operation(document, *each) for each in _of(document, group["name"])),
            id=f"group-{group['name']}",
        )


# ---------------------------------------------------------------- one operation


def _operation(document: Part, method: str, address: str, operation: Part, item: Part) -> Markup:
    parameters = [
        _found(document, parameter)
        for parameter in (*item.get("parameters", ()), *operation["parameters"])
    ]
    title = tag(
        "h3",
        tag("a", operation["summary"], href=f"#{operation['operationId']}"),
    )
    return tag(
        "article",
        title,
        tag("p", _method(method), tag("code", _breakable(address)), class_="address"),
        _needs(operation),
        prose(str(operation["description"]).partition("\n\nNeeds ")[0]),
        _parameters(document, parameters),
        _body(document, operation),
        _sample(document, method, address, operation),
        tag("h4", "Answers"),
        *(
            _answer(document, status, answer)
            for status, answer in operation["responses"].items()
            if not _is_problem(answer)
        ),
        _own_problems(operation),
        id=str(operation["operationId"]),
    )


def _needs(operation: Part) -> Markup:
    permissions = operation["x-permissions"]
    chips = [tag("code", permission) for permission in permissions]
    needed = join(chips, " or ") if chips else Markup("no bearer needed")
    return tag(
        "p",
        tag("span", "Needs ", needed) if chips else tag("span", needed),
        tag("span", "Counts as ", tag("code", operation["x-rate-class"])),
        class_="needs",
    )


def _parameters(document: Part, parameters: list[Part]) -> Markup:
    if not parameters:
        return Markup("")
    schemas = document["components"]["schemas"]
    rows = [
        join(
            [
                tag(
                    "dt",
                    tag("code", parameter["name"]),
                    tag("span", parameter["in"], class_="mark"),
                ),
                tag(
                    "dd",
                    tag("span", inline(type_in_words(parameter["schema"], schemas)), class_="type"),
                    inline(f" {parameter['description']}"),
                ),
            ]
        )
        for parameter in parameters
    ]
    return join([tag("h4", "Parameters"), tag("dl", *rows, class_="fields")])


def _body(document: Part, operation: Part) -> Markup:
    if "requestBody" not in operation:
        return Markup("")
    schemas = document["components"]["schemas"]
    blocks = [
        join(
            [
                tag("p", tag("code", media_type)),
                schema_block(content["schema"], schemas),
            ]
        )
        for media_type, content in operation["requestBody"]["content"].items()
    ]
    return join([tag("h4", "Body"), *blocks])


def _sample(document: Part, method: str, address: str, operation: Part) -> Markup:
    """The operation as a command line that works once `API` and `TOKEN` are set."""
    parts = [{"GET": "curl", "HEAD": "curl -I"}.get(method, f"curl -X {method}")]
    if operation["x-permissions"]:
        parts.append('-H "Authorization: Bearer $TOKEN"')
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"-H {shlex.quote(f'Content-Type: {media_type}')}")
        parts.append(f"-d {shlex.quote(_compact(_first_example(document, content['schema'])))}")
    parts.append("$API" + address.replace("{path}", "api-keys/stripe"))
    between = " " if len(parts) == 2 else " \\\n  "
    return join([tag("h4", "Try it"), tag("pre", tag("code", between.join(parts)))])


def _answer(document: Part, status: str, answer: Part) -> Markup:
    headers = [tag("code", name) for name in answer.get("headers", {}) if name != "X-Request-ID"]
    parts = [
        tag("span", status, class_=f"status s{status[0]}"),
        inline(str(answer["description"]).partition(" `")[0]),
    ]
    details: list[Markup] = []
    for media_type, content in answer.get("content", {}).items():
        if media_type != "application/json":
            continue
        schemas = document["components"]["schemas"]
        details.append(
            tag(
                "details",
                tag("summary", "Members"),
                schema_block(content["schema"], schemas),
            )
        )
        example = content.get("example") or _first_example(document, content["schema"])
        details.append(
            tag("details", tag("summary", "Example"), example_block(example), open="open")
        )
    return tag(
        "div",
        tag("p", *parts),
        tag("p", "Headers: ", join(headers, ", "), class_="aside") if headers else Markup(""),
        *details,
        class_="answer",
    )


def _own_problems(operation: Part) -> Markup:
    chips = []
    for status, answer in operation["responses"].items():
        codes = answer.get("x-problems", ())
        if codes:
            chips.append(
                tag(
                    "li",
                    tag("span", status, class_=f"status s{status[0]}"),
                    join((_problem_link(code) for code in codes), " "),
                )
            )
    return tag("details", tag("summary", "Problems"), tag("ul", *chips, class_="problems"))


# ---------------------------------------------------------------- problems


def _problems(document: Part) -> Markup:
    schemas = document["components"]["schemas"]
    names = [name for name in schemas if name.startswith(_PROBLEM)]
    names.sort(key=lambda name: (schemas[name]["properties"]["status"]["const"], name))
    cards = [_problem(document, name, schemas[name]) for name in names]
    return tag(
        "section",
        tag("h2", "Problems"),
        tag(
            "p",
            inline(
                "Errors are `application/problem+json`. `code` is stable; titles and details are "
                "fixed for each code, and never quote Vault or a value."
            ),
        ),
        *cards,
        id="problems",
    )


def _problem(document: Part, name: str, schema: Part) -> Markup:
    members = schema["properties"]
    example = schema["examples"][0]
    status = str(example["status"])
    facts = {
        fact: member
        for fact, member in members.items()
        if "const" not in member and fact != "request_id"
    }
    retry = "A later try may succeed." if example["retryable"] else ""
    schemas = document["components"]["schemas"]
    return tag(
        "article",
        tag(
            "h3",
            tag("span", status, class_=f"status s{status[0]}"),
            tag("a", tag("code", str(example["code"])), href=f"#{name}"),
        ),
        tag(
            "p",
            tag("strong", str(example["title"])),
            ". ",
            inline(str(example["detail"])),
            " ",
            retry,
        ),
        schema_block({"properties": facts}, schemas),
        tag("details", tag("summary", "Example"), example_block(example)),
        id=name,
        class_="problem",
    )


# ---------------------------------------------------------------- what the document says where


def _is_problem(answer: Part) -> bool:
    """Whether an answer is nothing but problems; the health's 503 is an answer as well."""
    return str(answer["description"]).startswith("`")


def _problem_link(code: str) -> Markup:
    return tag("a", tag("code", code), href=f"#{_PROBLEM}{code.replace('_', '-')}")


def _found(document: Part, parameter: Part) -> Part:
    if "$ref" not in parameter:
        return parameter
    found: Part = document["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
    return found


def _first_example(document: Part, schema: Part) -> object:
    name = schema["$ref"].rpartition("/")[2]
    return document["components"]["schemas"][name]["examples"][0]


def _compact(example: object) -> str:
    return json.dumps(example, ensure_ascii=False)


def _method(method: str) -> Markup:
    return tag("span", method, class_=f"method {method.lower()}")


def _breakable(address: str) -> Markup:
    """An address that may break after its slashes: it is wider than a phone."""
    first, *rest = address.split("/")
    return join([first, *(piece for part in rest for piece in ("/", tag("wbr"), part))])
