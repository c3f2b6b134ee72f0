"""Entity tags: a secret's version, quoted; `If-Match` and `If-None-Match` (RFC 9110, 13.1).

A tag is never derived from a value. Weak tags match in `If-None-Match` and never in
`If-Match`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from greenlang_secrets_api.answers import Header
from greenlang_secrets_api.problems import ProblemError

__all__ = ["Tags", "etag"]

# RFC 9110, 8.8.3: opaque-tag is quoted, without spaces or quotes inside.
_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_LIST: Final = re.compile(rf"[ \t,]*(?:{_TAG.pattern}[ \t]*(?:,[ \t,]*|\Z))+\Z")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,9}\Z")


def etag(version: int) -> Header:
    """Return the `ETag` header of a version."""
    return (b"etag", b'"%d"' % version)


@dataclass(frozen=True, slots=True)
class Tags:
    """The versions that a condition names.

    Attributes:
        any: the condition is ``*``.
        strong: versions named by strong tags.
        weak: versions named by weak ones.
    """

    any: bool
    strong: frozenset[int]
    weak: frozenset[int]

    @classmethod
    def parse(cls, raw: str, *, header: str) -> Tags:
        """Return what the field `header` says; tags that are no version of ours match nothing.

        Raises:
            ProblemError: ``invalid_request``, it is neither ``*`` nor a list of tags.
        """
        if raw.strip() == "*":
            return cls(any=True, strong=frozenset(), weak=frozenset())
        if _LIST.match(raw) is None:
            raise ProblemError("invalid_request", errors=[{"header": header, "code": "malformed"}])
        found = [(bool(weak), tag) for weak, tag in _TAG.findall(raw) if _VERSION.match(tag)]
        return cls(
            any=False,
            strong=frozenset(int(tag) for weak, tag in found if not weak),
            weak=frozenset(int(tag) for weak, tag in found if weak),
        )

    def match(self, version: int) -> bool:
        """Return whether `version` is named, weakly or strongly (for `If-None-Match`)."""
        return self.any or version in self.strong or version in self.weak
