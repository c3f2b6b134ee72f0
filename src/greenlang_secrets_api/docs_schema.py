"""A JSON Schema as a person reads it: members, their types in words, what they mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from greenlang_secrets_api.docs_markup import Markup, inline, join, tag

__all__ = ["example_block", "schema_block", "type_in_words"]

_LONGEST_PATTERN: Final = 40  # characters; a longer one is said in words by the description


def schema_block(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Markup:
    """Return the members of a schema, those of its parts folded in."""
    schema = _resolved(schema, schemas)
    if "oneOf" in schema:
        parts = [_resolved(part, schemas) for part in schema["oneOf"]]
        return join(
            tag(
                "div",
                tag("p", tag("em", "or " if number else "either "), inline(_said(part))),
                schema_block(part, schemas),
                class_="choice",
            )
            for number, part in enumerate(parts)
        )
    members = schema.get("properties", {})
    required = set(schema.get("required", ()))
    rows = [
        _member(name, member, schemas, needed=name in required) for name, member in members.items()
    ]
    return tag("dl", *rows, class_="fields") if rows else Markup("")


def type_in_words(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """Return what kind of value it is, and its bounds; a pattern stands between backticks."""
    schema = _resolved(schema, schemas)
    if "const" in schema:
        return f"always {json.dumps(schema['const'])}"
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    kind = schema.get("type", "")
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    inner = schema.get("items", schema.get("additionalProperties"))
    if words in {"array", "object"} and isinstance(inner, Mapping):
        words += f" of {_kind(_resolved(inner, schemas))}s"
    return ", ".join([words, *_bounds(schema)])


def example_block(example: object) -> Markup:
    """Return an example as JSON."""
    return tag("pre", tag("code", json.dumps(example, indent=2, ensure_ascii=False)))


def _kind(schema: Mapping[str, Any]) -> str:
    return "object" if "oneOf" in schema else str(schema["type"])


def _bounds(schema: Mapping[str, Any]) -> list[str]:
    found = [str(schema["format"])] if "format" in schema else []
    for least, most, what in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " character"),
        ("minItems", "maxItems", " item"),
        ("minProperties", "maxProperties", " member"),
    ):
        match schema.get(least), schema.get(most):
            case None, None:
                pass
            case low, None:
                found.append(f"{_counted(low, what)} or more")
            case None, high:
                found.append(f"{_counted(high, what)} at most")
            case low, high:
                found.append(f"{low} to {_counted(high, what)}")
    pattern = schema.get("pattern", "")
    if pattern and "format" not in schema and len(pattern) <= _LONGEST_PATTERN:
        found.append(f"matching `{pattern}`")
    if "default" in schema:
        found.append(f"default {json.dumps(schema['default'])}")
    return found


def _counted(number: object, what: str) -> str:
    return f"{number}{what}{'s' if what and number != 1 else ''}"


def _member(
    name: str, schema: Mapping[str, Any], schemas: Mapping[str, Any], *, needed: bool
) -> Markup:
    whole = _resolved(schema, schemas)
    inner = whole.get("items", whole)
    below = schema_block(inner, schemas)
    mark = Markup("") if needed else tag("span", "optional", class_="mark")
    return join(
        [
            tag("dt", tag("code", name), mark),
            tag(
                "dd",
                tag("span", inline(type_in_words(schema, schemas)), class_="type"),
                inline(" " + _said(whole)),
                tag("details", tag("summary", "Members"), below) if below else Markup(""),
            ),
        ]
    )


def _said(schema: Mapping[str, Any]) -> str:
    return str(schema.get("description", ""))


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema a reference means; what stands beside the reference comes first."""
    if "$ref" not in schema:
        return schema
    meant = schemas[str(schema["$ref"]).rpartition("/")[2]]
    return {**meant, **{key: value for key, value in schema.items() if key != "$ref"}}
