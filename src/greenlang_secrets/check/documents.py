"""YAML and JSON with line numbers: each value knows where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from greenlang_secrets.check.findings import Place

__all__ = ["Document", "NotYaml", "Value", "documents"]

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NotYaml(Exception):
    """A text is no YAML. It carries the line, and none of the text: that may hold a secret."""

    def __init__(self, line: int) -> None:
        super().__init__("not readable as YAML")
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A scalar, a mapping or a list, and its line.

    Attributes:
        text: a scalar as it is written, without quotes; empty for null and for others.
        line: where it begins; of a block scalar, its first line of text.
    """

    line: int
    text: str = field(default="", repr=False)
    members: dict[str, Value] = field(default_factory=dict)
    items: list[Value] = field(default_factory=list)

    def at(self, *names: str) -> Value:
        """Return a member of a member, or an empty value on this line where there is none."""
        found = self
        for name in names:
            found = found.members.get(name) or Value(line=found.line)
        return found

    def walk(self) -> Iterator[tuple[str, Value]]:
        """Yield each value below with its key; items of a list have the list's key."""
        todo = [("", self)]
        while todo:
            key, value = todo.pop()
            yield key, value
            todo += [(key, item) for item in reversed(value.items)]
            todo += reversed(value.members.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a file."""

    file: Path
    value: Value

    @property
    def kind(self) -> str:
        """Its kind, or nothing."""
        return self.value.at("kind").text

    @property
    def name(self) -> str:
        """``metadata.name``."""
        return self.value.at("metadata", "name").text

    @property
    def namespace(self) -> str:
        """``metadata.namespace``; empty for what has none, or gets one by kustomize."""
        return self.value.at("metadata", "namespace").text

    def place(self, line: int) -> Place:
        """Return where a line of this document is."""
        name = "/".join(part for part in (self.namespace, self.name) if part)
        return Place(file=self.file, line=line, object=f"{self.kind} {name}".strip())


def documents(file: Path, text: str, *, first_line: int = 1) -> Iterator[Document]:
    """Yield the documents of a text whose first line is `first_line` of the file.

    Items of a ``List`` are documents of their own.

    Raises:
        NotYaml: it cannot be read, or a value is below itself.
    """
    try:
        roots = list(yaml.compose_all(text, _LOADER))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise NotYaml(first_line + (0 if mark is None else mark.line)) from None
    for root in roots:
        value = _value(root, first_line, ())
        if value.at("kind").text.endswith("List") and value.at("items").items:
            for item in value.at("items").items:
                yield Document(file=file, value=item)
        else:
            yield Document(file=file, value=value)


def _value(node: yaml.Node, first: int, above: tuple[int, ...]) -> Value:
    line = first + node.start_mark.line
    if id(node) in above:
        raise NotYaml(line)
    above = (*above, id(node))
    if isinstance(node, yaml.MappingNode):
        members = {str(key.value): _value(value, first, above) for key, value in node.value}
        return Value(line=line, members=members)
    if isinstance(node, yaml.SequenceNode):
        return Value(line=line, items=[_value(item, first, above) for item in node.value])
    null = node.tag == "tag:yaml.org,2002:null"
    block = isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}
    return Value(line=line + block, text="" if null else str(node.value))
