"""The vocabulary of the document's schemas: objects that are closed, strings, numbers, times."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Schema", "closed", "moment", "number", "ref", "text"]

Schema = dict[str, object]


def ref(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def closed(
    said: str,
    members: Mapping[str, Schema],
    *,
    optional: tuple[str, ...] = (),
    example: object = None,
) -> Schema:
    """Return an object with these members, all but `optional` ones required, and no others."""
    schema: Schema = {
        "type": "object",
        "description": said,
        "properties": dict(members),
        "required": [name for name in members if name not in optional],
        "additionalProperties": False,
    }
    if example is not None:
        schema["examples"] = [example]
    return schema


def text(said: str, **more: object) -> Schema:
    """Return a string, as `said` describes it."""
    return {"type": "string", "description": said, **more}


def number(said: str, *, least: int = 0, **more: object) -> Schema:
    """Return a whole number from `least` on."""
    return {"type": "integer", "minimum": least, "description": said, **more}


def moment(said: str, *, nullable: bool = False) -> Schema:
    """Return a point in time as RFC 3339 has it."""
    return {
        "type": ["string", "null"] if nullable else "string",
        "format": "date-time",
        "description": said,
    }
