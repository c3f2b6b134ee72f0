"""Canaries: values planted to see whether they come out anywhere, in any disguise."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from functools import cache
from urllib.parse import quote

__all__ = ["new_canary", "shown_in"]

PIECE = 12
"""Characters in a row that count as shown: enough to guess the rest, too many for chance."""


def new_canary() -> str:
    """Return a new random text with characters that JSON, URLs and `repr` spell differently.

    Random, because a traceback prints source lines: a literal would be found in its own test.
    """
    return f'{secrets.token_hex(8)}"/ü\\{secrets.token_hex(8)}'


def shown_in(text: str | bytes, canary: str) -> str | None:
    """Return the disguise in which `text` shows `canary`, or 12 characters of it; None if it
    does not.

    Looked for: raw, base64 (both alphabets, every alignment), hex, URL-encoded,
    JSON-escaped, `repr`-escaped, and each of them reversed.
    """
    haystack = text.decode("latin-1") if isinstance(text, bytes) else text
    return next((disguise for form, disguise in _forms(canary) if form in haystack), None)


@cache
def _forms(canary: str) -> tuple[tuple[str, str], ...]:
    """Every form to look for, once, with the name of its disguise."""
    forms: dict[str, str] = {}
    for start in range(max(1, len(canary) - PIECE + 1)):
        for disguise, form in _disguises(canary[start : start + PIECE]):
            forms.setdefault(form, disguise)
            forms.setdefault(form[::-1], f"reversed {disguise}")
    return tuple(forms.items())


def _disguises(piece: str) -> Iterator[tuple[str, str]]:
    octets = piece.encode()
    yield "raw", piece
    yield "raw octets", octets.decode("latin-1")
    for shift in range(3):
        # What stands before decides where the piece falls in a group of three octets; the
        # characters it shares with its neighbours are cut off.
        whole = base64.b64encode(b"\0" * shift + octets).decode()
        inner = whole[-(-shift * 8 // 6) : (shift + len(octets)) * 8 // 6]
        yield "base64", inner
        yield "base64", inner.replace("+", "-").replace("/", "_")
    yield "hex", octets.hex()
    yield "hex", octets.hex().upper()
    for safe in ("", "/"):
        yield "URL-encoded", quote(piece, safe=safe)
    every = "".join(f"%{octet:02X}" for octet in octets)
    yield "URL-encoded", every
    yield "URL-encoded", every.lower()
    yield "JSON-escaped", json.dumps(piece)[1:-1]
    yield "JSON-escaped", json.dumps(piece, ensure_ascii=False)[1:-1]
    yield "repr-escaped", repr(piece)[1:-1]
    yield "repr-escaped", ascii(piece)[1:-1]
    yield "repr-escaped", repr(octets)[2:-1]
