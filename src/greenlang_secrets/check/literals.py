"""Secrets written down: known kinds of tokens, private keys, passwords in URLs, and chance.

A finding says where a text looks like a secret and why, and never the text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from greenlang_secrets.check.documents import Document, Value
from greenlang_secrets.check.findings import Finding

__all__ = ["literals", "suspicious"]

_KNOWN: Final = (
    ("a token of Vault", re.compile(r"(?<![\w.])(?:hv[sbr]|s|b|r)\.[A-Za-z0-9_-]{24,}")),
    ("an access key of AWS", re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])")),
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/]{16}")),
    ("a token of GitHub", re.compile(r"(?<!\w)(?:gh[pousr]_\w{36}|github_pat_\w{40})")),
    ("a token of Slack", re.compile(r"(?<!\w)xox[abprs]-[\w-]{20,}")),
    ("a key of Stripe", re.compile(r"(?<!\w)[rs]k_live_\w{20,}")),
    ("a key of Google", re.compile(r"(?<!\w)AIza[\w-]{35}")),
    ("a JSON web token", re.compile(r"(?<!\w)eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}")),
)
_URL: Final = re.compile(
    r"[a-z][a-z0-9+.-]*://[^\s:/@{}$<>]+:(?P<password>(?!password@)[^\s:/@{}$<>]{6,})@"
)
_WORD: Final = re.compile(r"(?<![\w+/=])[A-Za-z0-9+/_-]{24,}={0,2}(?![\w+/=])")
_NAME: Final = re.compile(
    r"(?:password|passwd"
    r"|(?:^|[_.-])(?:secret|secret_?key|secret_?access_?key|token|api_?key|private_?key|credentials?))$",
    re.IGNORECASE,
)
# What stands where a secret would and is none: a file, a switch, a number, or a placeholder.
_HARMLESS: Final = re.compile(r"/.*|true|false|none|\d{0,5}|.*(?:\{\{|\$[({]).*", re.IGNORECASE)
_BITS: Final = 4.2
"""Entropy of a character from which on a word looks like chance: names of 24 and more have less."""


def suspicious(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield (offset, reason, the text that looks like a secret) of what is in a text."""
    for reason, pattern in _KNOWN:
        for found in pattern.finditer(text):
            yield found.start(), reason, found.group()
    for found in _URL.finditer(text):
        yield found.start(), "a URL with a password", found["password"]
    for found in _WORD.finditer(text):
        if _by_chance(found.group()):
            yield found.start(), "a text that looks like chance", found.group()


def _by_chance(word: str) -> bool:
    kinds = (str.isdigit, str.isupper, str.islower)
    if not all(any(kind(sign) for sign in word) for kind in kinds):
        return False
    # A path or a sentence in another case has few digits, and few changes between kinds.
    digits = sum(map(str.isdigit, word))
    if digits < 3 or max(map(len, re.split(r"[/_-]", word))) < 16:
        return False
    entropy = -sum(
        count / len(word) * math.log2(count / len(word)) for count in Counter(word).values()
    )
    return entropy >= min(_BITS, math.log2(len(word)) - 0.6)


def literals(document: Document) -> Iterator[Finding]:
    """Yield the secrets that are written down in a manifest."""
    told: set[int] = set()
    for value, what, fix in _by_place(document):
        told.add(id(value))
        yield Finding(rule="secret_literal", place=document.place(value.line), what=what, fix=fix)
    for key, value in document.value.walk():
        if not value.text or id(value) in told:
            continue
        for offset, reason, _ in suspicious(value.text):
            yield Finding(
                rule="secret_literal",
                place=document.place(value.line + value.text.count("\n", 0, offset)),
                what=f"{key or 'an item'} has {reason}",
                fix="Move it to Vault, rotate it, and have an ExternalSecret or the agent bring it.",
            )


def _by_place(document: Document) -> Iterator[tuple[Value, str, str]]:
    if document.kind == "Secret":
        for part in ("data", "stringData"):
            for key, value in document.value.at(part).members.items():
                if value.text:
                    yield (
                        value,
                        f"{part}.{key} is a secret in a manifest",
                        "Put it into Vault, and make the Secret with an ExternalSecret.",
                    )
    if document.kind == "ConfigMap":
        for key, value in document.value.at("data").members.items():
            if _named(key, value):
                yield (
                    value,
                    f"data.{key} of a ConfigMap is named like a secret",
                    "Put it into Vault, and read it from there or from a Secret.",
                )
    for key, value in document.value.walk():
        name, literal = value.at("name").text, value.at("value")
        if key == "env" and _named(name, literal):
            yield (
                literal,
                f"the variable {name} has its value in the manifest",
                "Mount a file from a Secret or from the agent: who sees the pod sees its variables.",
            )


def _named(name: str, value: Value) -> bool:
    return (
        bool(value.text)
        and _NAME.search(name) is not None
        and _HARMLESS.fullmatch(value.text) is None
    )
