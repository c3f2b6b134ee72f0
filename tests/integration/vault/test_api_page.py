"""The table of Vault's API and a real server agree, both ways."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

import pytest

from contracts.markdown import ROOT, rows, section

PAGE = (ROOT / "docs" / "reference" / "vault-api.md").read_text("utf-8")

ENGINES = {
    "KV version 2": {"type": "kv", "options": {"version": "2"}},
    "KV version 1": {"type": "kv"},
    "Database": {"type": "database"},
    "Transit": {"type": "transit"},
    "PKI": {"type": "pki"},
}
"""The heading of each engine's table, and how it is mounted."""

SYSTEM = {"Token": "auth/token/", "System": "sys/"}
"""The heading of each table of what is always there, and where it is."""

_VERB = re.compile(r"(GET|POST|PATCH|DELETE|LIST) (\S+)\Z")
_PLACE = re.compile(r"\{[^}]*\}")

Endpoints = set[tuple[str, str]]


def shown(heading: str, text: str = PAGE) -> tuple[Endpoints, set[str]]:
    """Return the endpoints that a table names, and the paths for which it names no verb."""
    endpoints: Endpoints = set()
    whole: set[str] = set()
    for row in rows(section(text, heading)):
        parts = row[0].split(", ")
        found = [match.groups() for part in parts if (match := _VERB.match(part))]
        endpoints |= {(verb, _PLACE.sub("{}", path)) for verb, path in found}
        if not found:
            whole |= {_PLACE.sub("{}", path) for path in parts}
    return endpoints, whole


def untold(announced: Endpoints, endpoints: Endpoints, whole: Iterable[str]) -> list[str]:
    """Return what the server announces and the table does not name."""
    return sorted(
        f"{verb} {path}"
        for verb, path in announced
        # OpenAPI has no LIST: a path that can be listed is announced for GET.
        if not any(
            named in ({"GET", "LIST"} if verb == "GET" else {verb}) and _is_said_by(path, said)
            for named, said in endpoints
        )
        and not any(path == each or path.startswith(f"{each}/") for each in whole)
    )


def _is_said_by(path: str, said: str) -> bool:
    """Whether a row says this path; it may name one value of a place in the middle, such as the
    kind of a data key, and another row the other one.
    """
    *before, last = path.split("/")
    *said_before, said_last = said.split("/")
    return last == said_last and all(
        each in {"{}", other} for each, other in itertools.zip_longest(before, said_before)
    )


def invented(announced: Endpoints, endpoints: Endpoints) -> list[str]:
    """Return what the table names and the server does not have."""
    return sorted(
        f"{verb} {path}"
        for verb, path in endpoints
        if not any(
            known == ("GET" if verb == "LIST" else verb)
            and re.fullmatch(re.escape(pattern).replace(r"\{\}", ".+"), path)
            for known, pattern in announced
        )
    )


@pytest.fixture
async def announced(new_vault_server):
    """What a fresh OpenBao announces, by the heading of its table."""
    server = await new_vault_server()
    mounts = {}
    for heading, how in ENGINES.items():
        name = heading.replace(" ", "-").lower()
        status, _ = await server.request("POST", f"sys/mounts/{name}", how)
        assert status in {200, 204}
        mounts[heading] = f"{name}/"
    status, document = await server.request("GET", "sys/internal/specs/openapi")
    assert status == 200
    places = {**mounts, **SYSTEM}
    found: dict[str, Endpoints] = {heading: set() for heading in places}
    for path, methods in document["paths"].items():
        for heading, place in places.items():
            below = path.removeprefix("/")
            if below.startswith(place):
                if heading in mounts:
                    below = below.removeprefix(place)
                below = _PLACE.sub("{}", below.rstrip("/"))
                verbs = {verb.upper() for verb in methods} & {"GET", "POST", "PATCH", "DELETE"}
                found[heading] |= {(verb, below) for verb in verbs}
    return found


async def test_every_endpoint_is_told_and_none_invented(announced) -> None:
    """Each endpoint of these engines has a row, and each row with a verb its endpoint."""
    for heading, endpoints in announced.items():
        named, whole = shown(heading)

        assert len(endpoints) >= 3, heading
        assert (heading, untold(endpoints, named, whole)) == (heading, [])
        assert (heading, invented(endpoints, named)) == (heading, [])


def test_a_difference_is_found() -> None:
    """The control: a row that is missing, or invented, is complained of."""
    named, whole = shown("Transit")
    real = {("POST", "sign/{}"), ("GET", "keys"), ("GET", "cache-config"), ("POST", "rewrap/{}")}

    assert untold(real, named, whole) == []
    assert untold(real | {("POST", "forge/{}")}, named, whole) == ["POST forge/{}"]
    assert untold(real, named - {("POST", "sign/{}")}, whole) == ["POST sign/{}"]
    assert invented(real, {("POST", "sign/{}"), ("LIST", "keys")}) == []
    assert invented(real, {("POST", "forge/{}"), ("PATCH", "keys")}) == [
        "PATCH keys",
        "POST forge/{}",
    ]
