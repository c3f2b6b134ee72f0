"""What the page on migration puts side by side is there on both sides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import attrgetter

import hvac
import pytest

import greenlang_secrets as gs
from contracts.markdown import ROOT, rows, section

PAGE = (ROOT / "docs/how-to/migrate-from-hvac.md").read_text("utf-8")

_NAME = re.compile(r"`([A-Za-z][\w.]+\b)`")


def missing(text: str) -> Iterator[str]:
    """Yield the names of a page's tables that hvac or the library does not have."""
    with_client = hvac.Client(url="http://127.0.0.1:1")
    theirs = {"client": with_client, "hvac": hvac}
    for heading in ("Call by call", "Exceptions"):
        for line in section(text, heading).splitlines():
            if not line.startswith("| `"):
                continue
            before, after = line.split("|")[1:3]
            [name] = _NAME.findall(before)
            where, _, rest = name.partition(".")
            if not _has(theirs[where], rest):
                yield name
            yield from (each for each in _NAME.findall(after) if not _has(gs, each))
    with_client.adapter.close()


def _has(where: object, name: str) -> bool:
    try:
        attrgetter(name)(where)
    except AttributeError:
        return False
    return True


def test_each_call_is_there_on_both_sides() -> None:
    """Hvac has each call and exception of the tables, and the library what is beside it."""
    assert list(missing(PAGE)) == []
    assert len(rows(section(PAGE, "Call by call"))) > 15


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("client.sys.renew_lease", "client.sys.fly"),
        ("SecretsService.database_credentials", "SecretsService.fly"),
        ("hvac.exceptions.VaultDown", "hvac.exceptions.Fly"),
        ("`VersionConflict`", "`Fly`"),
    ],
)
def test_a_call_that_there_is_not_is_found(old: str, new: str) -> None:
    """The control: a name that either side does not have is told."""
    assert list(missing(PAGE.replace(old, new, 1))) == [new.strip("`")]
