"""Where another environment is: a file of variables, an address, or this environment itself."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from greenlang_secrets.cli.input import read_file

__all__ = ["environ_of"]

_HERE: Final = "."
_OURS: Final = ("VAULT_", "BAO_", "GREENLANG_SECRETS_")


def environ_of(where: str) -> Mapping[str, str]:
    """Return the variables of an environment.

    ``.`` is this process's; an address is this process's with another ``VAULT_ADDR``; else it is a
    file with a line ``NAME=VALUE`` for each variable, where nothing of Vault's or ours comes from
    this process.

    Raises:
        click.UsageError: the file cannot be read, or a line is no such line.
    """
    if where == _HERE:
        return dict(os.environ)
    if where.startswith(("http://", "https://")):
        others = {name: text for name, text in os.environ.items() if name != "BAO_ADDR"}
        return {**others, "VAULT_ADDR": where}
    foreign = {name: text for name, text in os.environ.items() if not name.startswith(_OURS)}
    return {**foreign, **_variables(where)}


def _variables(file: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(read_file(file).splitlines(), 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, separator, raw = text.partition("=")
        try:
            words = shlex.split(raw, comments=True)
        except ValueError:
            words = ["", ""]
        if not separator or not name.isidentifier() or len(words) > 1:
            raise click.UsageError(f"Line {number} of {Path(file).name!r} is not NAME=VALUE.")
        found[name] = words[0] if words else ""
    return found
