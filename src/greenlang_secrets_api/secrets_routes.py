"""The endpoints of secrets: each parses, makes one call of the library, and answers."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlencode

from greenlang_secrets.access import Action
from greenlang_secrets.errors import (
    SecretNotFound,
    VersionNotFound,
)
from greenlang_secrets.model import Secret, SecretMetadata, SecretVersion
from greenlang_secrets_api import queries
from greenlang_secrets_api.answers import Answer, Header, json_answer
from greenlang_secrets_api.cursors import Cursors
from greenlang_secrets_api.documents import (
    entry_document,
    history_document,
    secret_document,
)
from greenlang_secrets_api.endpoints import Call, Endpoint, RateClass, scoped
from greenlang_secrets_api.polling import changed
from greenlang_secrets_api.preconditions import Tags, etag
from greenlang_secrets_api.problems import ProblemError
from greenlang_secrets_api.secrets_changes import CHANGES
from greenlang_secrets_api.targets import Kind, render

__all__ = ["ENDPOINTS"]

MAX_PAGE: Final = 100
_JSON: Final[Header] = (b"content-type", b"application/json")
_STALE: Final[Header] = (b"x-secret-stale", b"true")
_PLAIN: Final = frozenset({"tenant"})
"""Parameters that say where to read, and not what."""


async def list_secrets(call: Call) -> Answer:
    """One page of what lies directly below a prefix, without values."""
    prefix = call.noted.path = call.query.get("prefix", "")
    limit = queries.number(call.query, "limit", default=MAX_PAGE, most=MAX_PAGE)
    with_deleted = queries.flag(call.query, "deleted")
    cursors = await _cursors(call, prefix)
    after = call.query.get("after")

    page = await call.secrets.page(
        prefix, limit=limit, after=None if after is None else cursors.open(after)
    )

    items = [
        entry_document(entry)
        for entry in page.items
        if with_deleted or entry.metadata is None or entry.metadata.live
    ]
    if page.next is None:
        return json_answer(200, {"items": items, "next": None})
    cursor = cursors.seal(page.next)
    return json_answer(200, {"items": items, "next": cursor}, _following(call, cursor))


async def read(call: Call) -> Answer:
    """One version of a secret with its values, or 304 if the caller has it."""
    fields = queries.names(call.query, "fields")
    version = queries.version(call.query)
    fresh = queries.flag(call.query, "fresh")
    known = _known(call)
    began = time.monotonic()

    secret = await call.secrets.get(call.path, version=version, fresh=fresh)
    waited: tuple[Header, ...] = ()
    if known is not None and version is None and known.match(secret.version):
        secret, waited = await changed(call, secret, known)

    call.noted.cache = _source(secret, began)
    _note(call, secret, follows=version is None)  # who pins a version does not follow the secret
    headers = [etag(secret.version), (b"age", b"%d" % secret.age), *waited]
    if secret.stale:
        headers.append(_STALE)
    if known is not None and known.match(secret.version):
        return Answer(304, b"", tuple(headers))
    return json_answer(200, secret_document(call.path, secret, fields), *headers)


def read_at_once(call: Call) -> Answer | None:
    """What `read` answers to a plain request for a secret that is fresh in the cache."""
    if not call.query.keys() <= _PLAIN or _known(call) is not None:
        return None
    secret = call.secrets.cached(call.path)
    if secret is None:
        return None
    call.noted.cache = "hit"
    _note(call, secret, follows=True)
    document = secret_document(call.path, secret, None)
    return json_answer(200, document, etag(secret.version), (b"age", b"%d" % secret.age))


def _note(call: Call, secret: Secret, *, follows: bool) -> None:
    """Note what is given out, and to whom if it is to follow the secret."""
    call.noted.version = secret.version
    call.noted.secret_type = secret.type
    if follows:
        who = call.acting.principal
        call.state["service"].consumers.read(
            call.acting.scope, call.path, principal=who.subject, version=secret.version
        )


async def head(call: Call) -> Answer:
    """What `read` says besides the values; they are not read for it."""
    version = queries.version(call.query)
    queries.flag(call.query, "fresh")  # it always is

    metadata = await call.secrets.metadata(call.path)

    row = _live_row(call.path, metadata, version)
    call.noted.version = row.version
    headers = (etag(row.version), (b"age", b"0"))
    known = _known(call)
    if known is not None and known.match(row.version):
        return Answer(304, b"", headers)
    return Answer(200, None, (_JSON, *headers))


async def versions(call: Call) -> Answer:
    """A secret's history, newest first, without values."""
    limit = queries.number(call.query, "limit", default=MAX_PAGE, most=MAX_PAGE)
    cursors = await _cursors(call, f"{call.path}/versions")
    after = call.query.get("after")
    below = None if after is None else cursors.open(after)
    if below is not None and not (below.isascii() and below.isdecimal() and len(below) < 10):
        raise ProblemError("invalid_cursor")

    metadata = await call.secrets.metadata(call.path)

    rows = [row for row in metadata.versions if below is None or row.version < int(below)]
    shown = rows[:limit]
    if len(rows) <= limit:
        return json_answer(200, history_document(call.path, metadata, shown, None))
    cursor = cursors.seal(str(shown[-1].version))
    document = history_document(call.path, metadata, shown, cursor)
    return json_answer(200, document, _following(call, cursor))


def _live_row(path: str, metadata: SecretMetadata, version: int | None) -> SecretVersion:
    """The row that a read would give, or the error it would raise."""
    row = metadata.current if version is None else metadata.find(version)
    if row is None:
        if version is None:
            raise SecretNotFound(path=path)
        raise VersionNotFound(path=path, version=version)
    if row.state != "live":
        raise row.gone(path)
    return row


def _known(call: Call) -> Tags | None:
    """What the caller has already."""
    raw = call.header(b"if-none-match")
    return None if raw is None else Tags.parse(raw, header="If-None-Match")


def _source(secret: Secret, began: float) -> str:
    """Where a value came from, as audit records say it."""
    if secret.stale:
        return "stale"
    return "hit" if secret.fetched_at < began else "miss"


def _following(call: Call, cursor: str) -> Header:
    """The header that leads to the next page of the same listing (RFC 8288)."""
    query = urlencode({**call.query, "after": cursor})
    return (b"link", f'<{render(call.target)}?{query}>; rel="next"'.encode())


async def _cursors(call: Call, listing: str) -> Cursors:
    keys = await call.state["keyring"].keys()
    return Cursors(keys.cursors, call.acting.scope, listing)


ENDPOINTS: Final = (
    *CHANGES,
    Endpoint(
        kind=Kind.LIST,
        method="GET",
        handler=list_secrets,
        access=(Action.LIST,),
        rate=RateClass.LIST,
        parameters=scoped("prefix", "limit", "after", "deleted"),
    ),
    Endpoint(
        kind=Kind.SECRET,
        method="GET",
        handler=read,
        at_once=read_at_once,
        access=(Action.READ,),
        rate=RateClass.READ,
        parameters=scoped("version", "fields", "fresh"),
    ),
    Endpoint(
        kind=Kind.SECRET,
        method="HEAD",
        handler=head,
        access=(Action.READ,),
        rate=RateClass.READ,
        parameters=scoped("version", "fresh"),
    ),
    Endpoint(
        kind=Kind.VERSIONS,
        method="GET",
        handler=versions,
        access=(Action.VERSIONS,),
        rate=RateClass.READ,
        parameters=scoped("limit", "after"),
    ),
)
"""The rows of the method table that read and write secrets."""
