"""Secrets in files: read anew each time, and what is wrong with a file that holds none.

Errors name the setting and the file, never what is in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import anyio.to_thread

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.settings import shown_path

__all__ = ["read_secret"]

LIMIT: Final = 64 * 1024
"""Octets of a file at most: a JWT with many claims has 8 KiB, so more is another file."""

Kind = Literal["word", "line"]


async def read_secret(path: Path, setting: str, *, kind: Kind = "word") -> SecretValue:
    """Return the secret in a file, without white space around it.

    A word is printable ASCII without white space, as tokens, secret ids and JWTs are: one
    with a line break would be a header or two. A line is any printable text in UTF-8, as a
    password may be.

    Raises:
        ConfigurationError: the file is missing, unreadable, empty, longer than 64 KiB, or
            holds something else; the text names `setting`.
    """
    outcome = await anyio.to_thread.run_sync(_read, path, kind)
    if isinstance(outcome, SecretValue):
        return outcome
    raise ConfigurationError(f"{setting} is {shown_path(str(path))}, {outcome}.")


def _read(path: Path, kind: Kind) -> SecretValue | str:
    """The secret, or what is wrong: a value, so that no traceback holds the file's octets."""
    try:
        with path.open("rb") as file:
            octets = file.read(LIMIT + 1)
    except FileNotFoundError:
        return "which does not exist"
    except OSError:
        return "which this process cannot read"
    if len(octets) > LIMIT:
        return "which is longer than 64 KiB; it holds something other than one secret"
    try:
        text = octets.decode("ascii" if kind == "word" else "utf-8").strip()
    except UnicodeDecodeError:
        text = "\0"
    if not text:
        return "which is empty"
    if not text.isprintable() or (kind == "word" and " " in text):
        expected = "one word of ASCII" if kind == "word" else "one line of UTF-8"
        return f"which holds something other than {expected}"
    return SecretValue(text)
