"""What commands take: pairs, files and stdin as the data of a secret, lists of versions."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

__all__ = ["VersionList", "parse_data", "read_file"]


class VersionList(click.ParamType[list[int]]):
    """Versions separated by commas, such as ``1,2``."""

    name = "N[,N...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[int]:
        """Return the numbers; whether they may be versions is the library's to say."""
        try:
            return [int(part) for part in str(value).split(",")]
        except ValueError:
            self.fail("give numbers separated by commas, such as 1,2", param, ctx)


def parse_data(pairs: Sequence[str], data_file: str | None) -> dict[str, str]:
    """Return a secret's data from ``K=V`` pairs, or from a file with a JSON object.

    ``K=@FILE`` takes the value from a file, ``K=@-`` from stdin.

    Raises:
        click.UsageError: there is neither, or both, or it is not readable. The text names
            keys and files, never a value.
    """
    if bool(pairs) == (data_file is not None):
        raise click.UsageError("Give K=V pairs, or --data-file with a JSON object.")
    if data_file is not None:
        return _json_object(data_file)
    data: dict[str, str] = {}
    for number, pair in enumerate(pairs, 1):
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise click.UsageError(f"Pair {number} is not K=V, K=@FILE or K=@-.")
        if key in data:
            raise click.UsageError(f"The key {key!r} is there twice.")
        data[key] = read_file(value[1:]) if value.startswith("@") else value
    return data


def read_file(name: str) -> str:
    """Return the text of a file, or of stdin for ``-``.

    Raises:
        click.UsageError: it cannot be read, or is not UTF-8.
    """
    try:
        octets = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return octets.decode()
    except OSError as error:
        raise click.UsageError(f"The file {name!r} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"The file {name!r} is not UTF-8.") from None


def _json_object(name: str) -> dict[str, str]:
    try:
        # As pairs, so that a key that is there twice is seen.
        members = json.loads(read_file(name), object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, _Members) or not all(isinstance(value, str) for _, value in members):
        raise click.UsageError(f"{name!r} must hold a JSON object whose values are strings.")
    data = dict(members)
    if len(data) != len(members):
        raise click.UsageError(f"{name!r} has a key twice.")
    return data


class _Members(list[tuple[str, Any]]):
    """A JSON object, as it was written."""
