"""The endpoints of secrets: each parses, makes one call of the library, and answers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final, TypeVar
from urllib.parse import urlencode

from greenlang_secrets.access import Action
from greenlang_secrets.errors import (
    SecretExists,
    SecretNotFound,
    VersionConflict,
    VersionNotFound,
)
from greenlang_secrets.model import Secret, SecretMetadata, SecretType, SecretVersion, SecretWritten
from greenlang_secrets_api import queries
from greenlang_secrets_api.accepting import preferred_wait
from greenlang_secrets_api.answers import Answer, Header, json_answer
from greenlang_secrets_api.bodies import (
    JSON,
    MERGE_PATCH,
    PatchBody,
    UndeleteBody,
    WriteBody,
)
from greenlang_secrets_api.cursors import Cursors
from greenlang_secrets_api.documents import (
    entry_document,
    history_document,
    moment,
    secret_document,
)
from greenlang_secrets_api.endpoints import Call, Endpoint, RateClass, scoped
from greenlang_secrets_api.preconditions import Tags, etag
from greenlang_secrets_api.problems import ProblemError
from greenlang_secrets_api.targets import PREFIX, Kind, Target, render

__all__ = ["ENDPOINTS"]

T = TypeVar("T")

MAX_PAGE: Final = 100
MAX_REASON: Final = 512  # characters of an Audit-Reason
_NO_VERSION: Final = 2**31 - 1  # stands for tags that are no version of ours: matches none
_JSON: Final[Header] = (b"content-type", b"application/json")
_STALE: Final[Header] = (b"x-secret-stale", b"true")


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
    link = f'<{PREFIX}?{urlencode({**call.query, "after": cursor})}>; rel="next"'
    return json_answer(200, {"items": items, "next": cursor}, (b"link", link.encode()))


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
        secret, waited = await _changed(call, secret, known)

    call.noted.version = secret.version
    call.noted.secret_type = secret.type
    call.noted.cache = _source(secret, began)
    headers = [etag(secret.version), (b"age", b"%d" % secret.age), *waited]
    if secret.stale:
        headers.append(_STALE)
    if known is not None and known.match(secret.version):
        return Answer(304, b"", tuple(headers))
    return json_answer(200, secret_document(call.path, secret, fields), *headers)


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


async def create(call: Call) -> Answer:
    """A new secret."""
    body = call.body_as(WriteBody)

    written = await call.secrets.create(
        call.path,
        body.data,
        type=body.type or SecretType.GENERIC,
        custom_metadata=body.custom_metadata,
    )

    return _created(call, written)


async def update(call: Call) -> Answer:
    """A new version of a live secret; with ``If-None-Match: *`` a new secret."""
    body = call.body_as(WriteBody)
    if _only_create(call):
        call.noted.action = Action.CREATE
        try:
            return await create(call)
        except SecretExists as error:
            # RFC 9110, 13.1.2: a condition that does not hold is a 412.
            raise VersionConflict(
                path=call.path, current_version=error.facts.get("current_version")
            ) from None

    async def put(expected_version: int | None) -> SecretWritten:
        return await call.secrets.put(
            call.path,
            body.data,
            expected_version=expected_version,
            must_exist=True,
            type=body.type,
            custom_metadata=body.custom_metadata,
        )

    return _updated(call, await _if_match(call, put))


async def patch(call: Call) -> Answer:
    """A new version that differs in the keys that are named; null removes one."""
    data = call.body_as(PatchBody).data

    async def put(expected_version: int | None) -> SecretWritten:
        return await call.secrets.patch(call.path, data, expected_version=expected_version)

    return _updated(call, await _if_match(call, put))


async def delete(call: Call) -> Answer:
    """The current version, or those named, are deleted, or destroyed for good."""
    versions = queries.versions(call.query)
    reason = (call.header(b"audit-reason") or "").strip()
    if not queries.flag(call.query, "destroy"):
        await _if_match(
            call,
            lambda expected: call.secrets.delete(call.path, versions, expected_version=expected),
        )
        return Answer(204)
    call.noted.action = Action.DESTROY
    if versions is None:
        queries.refuse("versions", "missing")
    if not reason or len(reason) > MAX_REASON or not reason.isprintable():
        raise ProblemError(
            "invalid_request", errors=[{"header": "Audit-Reason", "code": "missing_or_malformed"}]
        )
    call.noted.reason = reason
    await _if_match(
        call,
        lambda expected: call.secrets.destroy(
            call.path, versions, reason=reason, expected_version=expected
        ),
    )
    return Answer(204)


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
    following = None
    if len(rows) > limit:
        following = cursors.seal(str(shown[-1].version))
    return json_answer(200, history_document(call.path, metadata, shown, following))


async def undelete(call: Call) -> Answer:
    """Deleted versions are brought back."""
    undeleted = await call.secrets.undelete(call.path, call.body_as(UndeleteBody).versions)

    document = {
        "path": call.path,
        "restored": undeleted.restored,
        "already_live": undeleted.already_live,
        "current_version": undeleted.current_version,
    }
    return json_answer(200, document)


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


async def _changed(call: Call, secret: Secret, known: Tags) -> tuple[Secret, tuple[Header, ...]]:
    """The secret once it is none of those the caller knows, waited for as long as it prefers."""
    seconds = preferred_wait(call.headers)
    if not seconds:
        return secret, ()
    applied = (b"preference-applied", b"wait=%d" % seconds)
    call.extend(seconds)
    with (
        call.state["work"].stepped_out() as may_wait,
        call.state["waits"].up_to(seconds if may_wait else 0),
    ):
        async with aclosing(call.secrets.watch(call.path)) as watch:
            async for changed in watch:
                if not known.match(changed.version):
                    return changed, (applied,)
    # Also of a version with the same data, which `watch` does not tell, and of a deletion.
    return await call.secrets.get(call.path), (applied,)


def _source(secret: Secret, began: float) -> str:
    """Where a value came from, as audit records say it."""
    if secret.stale:
        return "stale"
    return "hit" if secret.fetched_at < began else "miss"


async def _cursors(call: Call, listing: str) -> Cursors:
    keys = await call.state["keyring"].keys()
    return Cursors(keys.cursors, call.acting.scope, listing)


def _only_create(call: Call) -> bool:
    raw = call.header(b"if-none-match")
    if raw is None:
        return False
    if not Tags.parse(raw, header="If-None-Match").any or call.header(b"if-match") is not None:
        raise ProblemError(
            "invalid_request", errors=[{"header": "If-None-Match", "code": "only_star_and_alone"}]
        )
    return True


async def _if_match(call: Call, act: Callable[[int | None], Awaitable[T]]) -> T:
    """Do `act` with the version that `If-Match` expects; None without it, or for ``*``.

    A list is tried with its newest version first. If that is not the current one, but the
    current one is listed too, it is tried once more; the write itself carries CAS.
    """
    raw = call.header(b"if-match")
    tags = None if raw is None else Tags.parse(raw, header="If-Match")
    if tags is None or tags.any:
        return await act(None)
    newest = max(tags.strong, default=_NO_VERSION)
    try:
        return await act(newest)
    except VersionConflict as conflict:
        current = conflict.facts.get("current_version")
        if current == newest or current not in tags.strong:
            raise
        return await act(int(current))


def _updated(call: Call, written: SecretWritten) -> Answer:
    call.noted.version = written.version
    document = {**_written_document(call, written), "unchanged": written.unchanged}
    return json_answer(200, document, etag(written.version))


def _created(call: Call, written: SecretWritten) -> Answer:
    call.noted.version = written.version
    location = render(Target(Kind.SECRET, call.path))
    if "tenant" in call.query:
        location += "?" + urlencode({"tenant": call.query["tenant"]})
    return json_answer(
        201,
        _written_document(call, written),
        (b"location", location.encode()),
        etag(written.version),
    )


def _written_document(call: Call, written: SecretWritten) -> dict[str, object]:
    return {
        "path": call.path,
        "version": written.version,
        "created_at": moment(written.created_at),
    }


ENDPOINTS: Final = (
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
        kind=Kind.SECRET,
        method="POST",
        handler=create,
        changes=True,
        takes_key=True,
        access=(Action.CREATE,),
        rate=RateClass.WRITE,
        takes_body=JSON,
        body=WriteBody.parse,
    ),
    Endpoint(
        kind=Kind.SECRET,
        method="PUT",
        handler=update,
        changes=True,
        access=(Action.UPDATE,),
        rate=RateClass.WRITE,
        takes_body=JSON,
        body=WriteBody.parse,
    ),
    Endpoint(
        kind=Kind.SECRET,
        method="PATCH",
        handler=patch,
        changes=True,
        access=(Action.UPDATE,),
        rate=RateClass.WRITE,
        takes_body=MERGE_PATCH,
        body=PatchBody.parse,
    ),
    Endpoint(
        kind=Kind.SECRET,
        method="DELETE",
        handler=delete,
        changes=True,
        access=(Action.DELETE,),
        rate=RateClass.ADMIN,
        parameters=scoped("versions", "destroy"),
    ),
    Endpoint(
        kind=Kind.VERSIONS,
        method="GET",
        handler=versions,
        access=(Action.VERSIONS,),
        rate=RateClass.READ,
        parameters=scoped("limit", "after"),
    ),
    Endpoint(
        kind=Kind.UNDELETE,
        method="POST",
        handler=undelete,
        changes=True,
        access=(Action.UNDELETE,),
        rate=RateClass.ADMIN,
        takes_body=JSON,
        body=UndeleteBody.parse,
    ),
)
"""The rows of the method table that read and write secrets."""
