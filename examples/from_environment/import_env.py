"""Writes each variable of a `.env` file as a secret of its own, and never shows a value.

`SIGNING_KEY` becomes `reports/signing-key` with the field `value`, where `reports` is the folder
that is given. A URL of PostgreSQL or Redis becomes a typed secret, with its parts as fields.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import greenlang_secrets as gs

LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*\Z", re.DOTALL)
SCHEMES = {
    "postgres": gs.SecretType.DATABASE,
    "postgresql": gs.SecretType.DATABASE,
    "redis": gs.SecretType.CACHE,
    "rediss": gs.SecretType.CACHE,
}
ANOTHER = "is another one, and left alone"


class Unreadable(Exception):
    """A line of the file cannot be read; the text says which, and not what stands there."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What becomes of one variable."""

    path: str
    type: gs.SecretType
    data: gs.SecretMap
    note: str = ""


def variables(text: str) -> Iterator[tuple[str, gs.SecretValue]]:
    """Yield the name and the value of each line: plain, in single or in double quotes.

    Raises:
        Unreadable: a line is none of these, such as one of a value that has several.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = LINE.match(line.strip())
        if found is None:
            raise Unreadable(f"Line {number} is not NAME=VALUE.")
        name, value = found.groups()
        if value[:1] in {"'", '"'}:
            if len(value) < 2 or value[-1] != value[0]:
                raise Unreadable(f"Line {number}, {name}: the quote is not closed on the line.")
            quote, value = value[0], value[1:-1]
            if quote == '"':
                value = re.sub(r"\\(.)", lambda it: "\n" if it[1] == "n" else it[1], value)
        else:
            value = re.sub(r"\s+#.*", "", value)
        yield name, gs.SecretValue(value)


def found_in(text: str, folder: str) -> list[Found]:
    """Return the secrets that the lines of a file become; an empty value becomes none.

    Raises:
        Unreadable: a line cannot be read, or a name is there twice.
    """
    found: dict[str, Found] = {}
    for name, value in variables(text):
        path = f"{folder}/{name.lower().replace('_', '-')}"
        if path in found:
            raise Unreadable(f"{name} is there twice.")
        if value.reveal():
            found[path] = url_at(path, value) or Found(
                path=path, type=gs.SecretType.GENERIC, data=gs.SecretMap({"value": value})
            )
    return list(found.values())


def url_at(path: str, value: gs.SecretValue) -> Found | None:
    """Return a typed secret if this is a URL of PostgreSQL or Redis, with a host and a password."""
    try:
        url = urlsplit(value.reveal())
        port = url.port
    except ValueError:
        return None
    scheme = url.scheme.partition("+")[0]  # postgresql+asyncpg, as SQLAlchemy has it
    kind = SCHEMES.get(scheme)
    if kind is None or not url.hostname or not url.password:
        return None
    name = "database" if kind is gs.SecretType.DATABASE else "db"
    parts = {
        "host": url.hostname,
        "port": "" if port is None else str(port),
        "username": unquote(url.username or ""),
        "password": unquote(url.password),
        name: unquote(url.path.strip("/")),
        "tls": "true" if scheme == "rediss" else "",
    }
    return Found(
        path=path,
        type=kind,
        data=gs.SecretMap({key: part for key, part in parts.items() if part}),
        note=", without the options after its '?'" if url.query else "",
    )


async def write(secrets: gs.SecretsService, found: Found) -> str:
    """Write one secret, unless there is one; return what became of it."""
    there = await secrets.get_or_none(found.path)
    if there is not None:
        return "is the same" if there.data == found.data else ANOTHER
    await secrets.create(found.path, found.data.reveal(), type=found.type)
    return "written"


async def main(file: Path, folder: str, *, write_them: bool) -> int:
    """Say what would be written, or write it; return the exit code."""
    try:
        found = found_in(await asyncio.to_thread(file.read_text, "utf-8"), folder)
    except UnicodeDecodeError:
        print("The file is not UTF-8.", file=sys.stderr)
        return 2
    except Unreadable as error:
        print(error, file=sys.stderr)
        return 2
    if not write_them:
        for each in found:
            print(f"{each.path}: {each.type.value} with {', '.join(each.data.keys())}{each.note}")
        print("Nothing is written yet: add --write.")
        return 0
    others = 0
    async with gs.SecretsService.open() as secrets:
        for each in found:
            outcome = await write(secrets, each)
            others += outcome == ANOTHER
            print(f"{each.path}: {outcome}")
    return 1 if others else 0


def run(arguments: list[str]) -> int:
    """Read the command line, and do what it says."""
    parser = argparse.ArgumentParser(description="Write the variables of a .env file as secrets.")
    parser.add_argument("file", type=Path, help="the .env file")
    parser.add_argument("folder", help="where the secrets go, such as reports")
    parser.add_argument("--write", action="store_true", help="write, and not only say what")
    options = parser.parse_args(arguments)
    return asyncio.run(main(options.file, options.folder, write_them=options.write))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
