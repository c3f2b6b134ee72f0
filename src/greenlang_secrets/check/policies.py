"""Vault policies: the part of HCL they are written in, strictly, and which rule decides a path.

What a policy comes to is asked of a server; this is for lines, comments and what nobody uses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Grant", "NotAPolicy", "Policy", "deciding", "parse"]

_TOKEN: Final = re.compile(
    r"(?P<space>[ \t\r]+)|(?P<newline>\n)|(?P<comment>(?:#|//)[^\n]*|/\*.*?\*/)"
    r'|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<word>[A-Za-z_][\w-]*|\d+\w*)|(?P<sign>[{}\[\]=,])',
    re.DOTALL,
)
_CAPABILITIES: Final = frozenset(
    [
        "create",
        "read",
        "update",
        "patch",
        "delete",
        "list",
        "scan",
        "sudo",
        "deny",
        "subscribe",
        "recover",
    ]
)
_ATTRIBUTES: Final = frozenset(
    [
        "capabilities",
        "allowed_parameters",
        "denied_parameters",
        "required_parameters",
        "min_wrapping_ttl",
        "max_wrapping_ttl",
        "mfa_methods",
        "control_group",
        "expiration",
        "comment",
        "pagination_limit",
        "response_keys_filter_path",
        "subscribe_event_types",
    ]
)
_EXEMPT: Final = re.compile(r"\bused by:", re.IGNORECASE)


class NotAPolicy(Exception):
    """A text is no policy; `what` is wrong in `line`."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One ``path`` block.

    Attributes:
        capabilities: with the line of each.
        comment: what stands above it, or above the blocks that follow one another without a
            blank line.
    """

    path: str
    line: int
    capabilities: dict[str, int]
    comment: str

    @property
    def wildcard(self) -> bool:
        """Whether it is for more than one path."""
        return self.path.endswith("*") or "+" in self.path.split("/")

    @property
    def exempt(self) -> bool:
        """Whether its comment says who uses it, where no manifest does: ``used by: ...``."""
        return _EXEMPT.search(self.comment) is not None

    def matches(self, path: str) -> bool:
        """Return whether it is about `path`, as Vault matches it."""
        pattern = "/".join(
            "[^/]+" if part == "+" else re.escape(part)
            for part in self.path.removesuffix("*").split("/")
        )
        return re.fullmatch(pattern + (".*" if self.path.endswith("*") else ""), path) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A file, named for its policy.

    Attributes:
        rules: the text, as Vault gets it.
        used_by: whether the comment that begins it says who uses it (``used by: ...``).
    """

    file: Path
    rules: str
    grants: tuple[Grant, ...]
    used_by: bool

    @property
    def name(self) -> str:
        """The file's name without ``.hcl``."""
        return self.file.stem


def deciding(grants: tuple[Grant, ...], path: str) -> tuple[Grant, ...]:
    """Return the blocks that decide about `path`: those of the most specific pattern."""
    found = [grant for grant in grants if grant.matches(path)]
    best = max((_priority(grant) for grant in found), default=None)
    return tuple(grant for grant in found if _priority(grant) == best)


def _priority(grant: Grant) -> tuple[bool, int, bool, int, int, str]:
    # Vault's order ("Policies", "Priority matching"); an exact path is above all patterns.
    path = grant.path
    first = min((path.find(sign) for sign in "+*" if sign in path), default=len(path))
    plus = path.split("/").count("+")
    return not grant.wildcard, first, not path.endswith("*"), -plus, len(path), path


def parse(file: Path, text: str) -> Policy:
    """Return a policy; what this does not know it refuses, and does not skip.

    Raises:
        NotAPolicy: it is no policy, or names an unknown capability or attribute.
    """
    return Policy(
        file=file,
        rules=text,
        grants=tuple(_Reader(text).grants()),
        used_by=_EXEMPT.search(_comment(text.splitlines(), 0, step=1)) is not None,
    )


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


class _Reader:
    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._tokens = list(_tokens(text))
        self._next = 0
        self._ends: dict[int, str] = {}  # the line a block ends in, to that block's comment

    def grants(self) -> Iterator[Grant]:
        while self._peek().kind != "end":
            word = self._take()
            if word.text not in {"path", '"path"'}:
                raise NotAPolicy(word.line, "expected a path block")
            path = self._string()
            self._sign("{")
            capabilities: dict[str, int] = {}
            while self._peek().text != "}":
                self._attribute(capabilities)
            end = self._take()
            if not capabilities:
                raise NotAPolicy(word.line, "a path without capabilities")
            above = self._ends.get(word.line - 1, "")
            comment = _comment(self._lines, word.line - 2, step=-1) or above
            self._ends[end.line] = comment
            yield Grant(path=path, line=word.line, capabilities=capabilities, comment=comment)

    def _attribute(self, capabilities: dict[str, int]) -> None:
        name = self._take()
        if name.kind not in {"word", "string"} or name.text.strip('"') not in _ATTRIBUTES:
            raise NotAPolicy(name.line, "an unknown attribute of a path")
        if self._peek().text == "=":
            self._take()
        elif self._peek().text != "{":
            raise NotAPolicy(name.line, "an attribute without a value")
        if name.text.strip('"') != "capabilities":
            self._skip()
            return
        self._sign("[")
        while self._peek().text != "]":
            line = self._peek().line
            capability = self._string()
            if capability not in _CAPABILITIES:
                raise NotAPolicy(line, "an unknown capability")
            capabilities[capability] = line
            if self._peek().text != "]":
                self._sign(",")
        self._take()

    def _skip(self) -> None:
        """Pass over a value, whose brackets must fit."""
        closing: list[str] = []
        while True:
            token = self._take()
            if token.kind == "end" or (token.text in {"}", "]"} and not closing):
                raise NotAPolicy(token.line, "a value that does not end")
            if token.text in {"{", "["}:
                closing.append("}" if token.text == "{" else "]")
            elif token.text in {"}", "]"} and token.text != closing.pop():
                raise NotAPolicy(token.line, "brackets that do not fit")
            if not closing:
                return

    def _string(self) -> str:
        token = self._take()
        if token.kind != "string":
            raise NotAPolicy(token.line, "expected a string in quotes")
        return re.sub(r"\\(.)", r"\1", token.text[1:-1])

    def _sign(self, text: str) -> None:
        token = self._take()
        if token.text != text:
            raise NotAPolicy(token.line, f"expected {text}")

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token


def _tokens(text: str) -> Iterator[_Token]:
    position, line = 0, 1
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise NotAPolicy(line, "a character that no policy has there")
        kind = str(found.lastgroup)
        if kind not in {"space", "newline", "comment"}:
            yield _Token(kind, found.group(), line)
        line += found.group().count("\n")
        position = found.end()
    yield _Token("end", "", line)


def _comment(lines: list[str], start: int, *, step: int) -> str:
    """The comment lines from `start` on, upwards or downwards."""
    found = []
    while 0 <= start < len(lines) and lines[start].lstrip().startswith(("#", "//")):
        found.append(lines[start].strip())
        start += step
    return "\n".join(found[::step])
