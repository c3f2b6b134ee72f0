"""The endpoints that change secrets: each parses, makes one call of the library, and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from urllib.parse import urlencode

from greenlang_secrets.access import SERVICE, Action, TenantContext
from greenlang_secrets.errors import SecretExists, VersionConflict
from greenlang_secrets.model import SecretType, SecretWritten
from greenlang_secrets_api import queries
from greenlang_secrets_api.answers import Answer, json_answer
from greenlang_secrets_api.bodies import JSON, MERGE_PATCH, PatchBody, UndeleteBody, WriteBody
from greenlang_secrets_api.documents import moment
from greenlang_secrets_api.endpoints import Call, Endpoint, RateClass, scoped
from greenlang_secrets_api.preconditions import Tags, etag
from greenlang_secrets_api.problems import ProblemError
from greenlang_secrets_api.targets import Kind, Target, render

__all__ = ["CHANGES"]

T = TypeVar("T")

MAX_REASON: Final = 512  # characters of an Audit-Reason
_NO_VERSION: Final = 2**31 - 1  # stands for tags that are no version of ours: matches none


async def create(call: Call) -> Answer:
    """A new secret."""
    body = call.body_as(WriteBody)

    type_ = body.type or SecretType.GENERIC

    try:
        written = await call.secrets.create(
            call.path,
            body.data,
            type=type_,
            custom_metadata=body.custom_metadata,
        )
    except SecretExists:
        found = await _made_before(call, body, type_) if call.noted.taken_over else None
        if found is None:
            raise
        written = found

    return _created(call, written, type_)


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

    return _updated(call, await _if_match(call, put), body.type)


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
        return _deleted(call)
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
    return _deleted(call)


async def undelete(call: Call) -> Answer:
    """Deleted versions are brought back."""
    undeleted = await call.secrets.undelete(call.path, call.body_as(UndeleteBody).versions)

    call.state["indexing"].changed(call.acting.scope, call.path)
    document = {
        "path": call.path,
        "restored": undeleted.restored,
        "already_live": undeleted.already_live,
        "current_version": undeleted.current_version,
    }
    return json_answer(200, document)


async def _made_before(call: Call, body: WriteBody, type_: SecretType) -> SecretWritten | None:
    """What an earlier attempt at the same request has made, whose outcome was not known.

    That the secret is what the request asks for is all that its sender wants to know.
    """
    # As the service: who may write need not be allowed to read, and gets no value either.
    ours = TenantContext(principal=SERVICE, scope=call.acting.scope)
    there = await call.state["service"].scoped(ours).get(call.path, fresh=True)
    if there.type is not type_ or there.data.reveal() != dict(body.data):
        return None
    return SecretWritten(path=call.path, version=there.version, created_at=there.created_at)


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


def _updated(call: Call, written: SecretWritten, type_: SecretType | None = None) -> Answer:
    _note(call, written, type_)
    document = {**_written_document(call, written), "unchanged": written.unchanged}
    return json_answer(200, document, etag(written.version))


def _created(call: Call, written: SecretWritten, type_: SecretType) -> Answer:
    _note(call, written, type_)
    location = render(Target(Kind.SECRET, call.path))
    if "tenant" in call.query:
        location += "?" + urlencode({"tenant": call.query["tenant"]})
    return json_answer(
        201,
        _written_document(call, written),
        (b"location", location.encode()),
        etag(written.version),
    )


def _deleted(call: Call) -> Answer:
    call.state["indexing"].changed(call.acting.scope, call.path)
    return Answer(204)


def _note(call: Call, written: SecretWritten, type_: SecretType | None) -> None:
    call.noted.version = written.version
    call.noted.secret_type = type_
    call.state["indexing"].wrote(call.acting.scope, call.path, written, type_)


def _written_document(call: Call, written: SecretWritten) -> dict[str, object]:
    return {
        "path": call.path,
        "version": written.version,
        "created_at": moment(written.created_at),
    }


CHANGES: Final = (
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
"""The rows of the method table that change secrets."""
