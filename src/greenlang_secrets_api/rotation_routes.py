"""The endpoints of rotation: each parses, asks the manager or the catalogue, and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

import anyio

from greenlang_secrets.access import Action, Permission, require
from greenlang_secrets.catalogue.rotations import PageOrder, page_mark
from greenlang_secrets.errors import AccessDenied, RotationInProgress, SecretsError
from greenlang_secrets.paths import SecretPath
from greenlang_secrets.rotation.started import RotationRun
from greenlang_secrets.rotation_model import (
    ACTIVE,
    ConsumerReport,
    RotationRow,
    RotationStanding,
    RotationState,
    RotationTrigger,
)
from greenlang_secrets_api import queries
from greenlang_secrets_api.accepting import preferred_wait
from greenlang_secrets_api.answers import Answer, Header, json_answer
from greenlang_secrets_api.bodies import JSON
from greenlang_secrets_api.cursors import Cursors
from greenlang_secrets_api.documents import moment
from greenlang_secrets_api.draining import draining_of
from greenlang_secrets_api.endpoints import Call, Endpoint, RateClass, scoped
from greenlang_secrets_api.rotation_bodies import PolicyBody, RotateBody
from greenlang_secrets_api.rotation_documents import (
    PROMOTED,
    run_document,
    schedule_document,
    status_document,
)
from greenlang_secrets_api.targets import Kind, Target, render

__all__ = ["ENDPOINTS"]

MAX_WAIT: Final = 30
"""Seconds of `Prefer: wait` that are honoured: a rotation that takes longer waits for others."""
MAX_PAGE: Final = 100

_SETTLED: Final = (
    RotationState.OVERLAP,  # right after the promotion: by then it is known how long the old lives
    RotationState.FAILED,
    RotationState.CONFLICT,
    RotationState.AWAITING_OPERATOR,
)
"""What a caller waits for: that it is promoted, or that this takes longer than a wait."""


async def rotate(call: Call) -> Answer:
    """A rotation begins; with `Prefer: wait` its promotion is waited for."""
    body = call.body_as(RotateBody)
    if body.force and Permission.ADMIN not in call.acting.principal.permissions:
        raise AccessDenied(reason="permission")

    manager = call.state["rotation"]
    try:
        run = await manager.rotate(
            call.path,
            context=call.acting,
            trigger=RotationTrigger.FORCED if body.force else RotationTrigger.MANUAL,
            reason=body.reason,
            force=body.force,
        )
    except RotationInProgress:
        if not call.noted.taken_over:
            raise
        # The same request was begun before, and nobody knows what came of it: this did.
        row = await manager.status(call.path, context=call.acting)
        return _answer(call, row.standing, ())
    standing, waited = await _promoted(call, run)
    return _answer(call, standing, waited)


def _answer(call: Call, standing: RotationStanding, waited: tuple[Header, ...]) -> Answer:
    call.noted.version = standing.version
    document = run_document(call.path, standing)
    if standing.version is not None:
        return json_answer(200, document, *waited)
    query = {"id": standing.rotation_id or ""}
    if "tenant" in call.query:
        query["tenant"] = call.query["tenant"]
    location = f"{render(Target(Kind.ROTATION_STATUS))}?{urlencode(query)}"
    return json_answer(202, document, (b"location", location.encode()), *waited)


async def _promoted(call: Call, run: RotationRun) -> tuple[RotationStanding, tuple[Header, ...]]:
    """Wait as the caller prefers; the rotation goes on if it does not wait, or goes."""
    seconds = min(preferred_wait(call.headers), MAX_WAIT)
    if not seconds:
        return await run.until(within=0.0), ()
    who = (call.acting.scope.key, call.acting.principal.subject)
    found: RotationStanding | None = None
    with call.state["work"].stepped_out(draining_of(call.state), who) as may_wait:
        if may_wait:
            call.extend(seconds)
            found = await _until_settled(call, run, seconds)
    if found is None:
        return await run.until(within=0.0), ()
    return found, ((b"preference-applied", b"wait=%d" % seconds),)


async def _until_settled(call: Call, run: RotationRun, seconds: float) -> RotationStanding | None:
    """How it stands after the wait; None if the caller has gone."""
    found: RotationStanding | None = None
    failure: SecretsError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_end_when_gone, call.gone, tasks.cancel_scope)
        try:
            found = await run.until(*_SETTLED, within=seconds)
        except SecretsError as error:  # by itself, and not in a group
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return found


async def _end_when_gone(gone: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
    await gone()
    scope.cancel()


async def status(call: Call) -> Answer:
    """How rotations stand in the caller's scope; of one alone, also who is behind."""
    require(call.acting, Action.ROTATION_STATUS)
    limit = queries.number(call.query, "limit", default=MAX_PAGE, most=MAX_PAGE)
    state = queries.choice(call.query, "state", RotationState)
    rotation_id = queries.rotation_id(call.query)
    path = call.query.get("path")
    if path is not None:
        call.noted.path = path
        SecretPath.parse(path)
    store = call.state["catalogue"].rotations
    cursors = await _cursors(call, f"{state or ''} {rotation_id or ''} {path or ''}")
    scope, after = call.acting.scope, call.query.get("after")

    rows = await store.page(
        scope,
        order="path",
        after=None if after is None else cursors.open(after),
        limit=limit + 1,
        state=state,
        rotation_id=rotation_id,
        path=path,
    )
    summary = await store.summary(scope)
    now, by_name = datetime.now(UTC), path is not None or rotation_id is not None
    items = [
        status_document(row, await _behind(call, row), now=now, by_name=by_name)
        for row in rows[:limit]
    ]

    stats = call.state["rotation"].stats
    document = {
        "enabled": call.state["rotation"].config.enabled,
        "scheduler": {"running": stats.scheduler_running, "last_tick": moment(stats.last_tick)},
        "summary": _summary(summary.by_state, summary.overdue),
        "items": items,
    }
    return _page(call, document, cursors, rows[:limit], more=len(rows) > limit, order="path")


async def _behind(call: Call, row: RotationRow) -> list[ConsumerReport]:
    """The consumers that are behind, while there is an old credential for them to use."""
    version = row.standing.version
    if version is None or row.standing.state not in PROMOTED:
        return []
    store = call.state["catalogue"].rotations
    return await store.behind(row.scope, row.path, version=version)


async def schedule(call: Call) -> Answer:
    """The policies of the caller's scope, by when they are due."""
    require(call.acting, Action.ROTATION_STATUS)
    limit = queries.number(call.query, "limit", default=MAX_PAGE, most=MAX_PAGE)
    cursors = await _cursors(call, "")
    after = call.query.get("after")

    rows = await call.state["catalogue"].rotations.page(
        call.acting.scope,
        order="next_due",
        after=None if after is None else cursors.open(after),
        limit=limit + 1,
    )

    items = [schedule_document(row) for row in rows[:limit]]
    document: dict[str, object] = {"items": items}
    return _page(call, document, cursors, rows[:limit], more=len(rows) > limit, order="next_due")


async def set_policy(call: Call) -> Answer:
    """A secret gets a policy, or another one."""
    policy = call.body_as(PolicyBody).policy(
        default_interval=call.state["rotation"].config.default_interval
    )

    row = await call.state["rotation"].set_policy(call.path, policy, context=call.acting)

    call.noted.secret_type = row.secret_type
    return json_answer(200, schedule_document(row))


async def remove_policy(call: Call) -> Answer:
    """A secret has no policy any more."""
    await call.state["rotation"].remove_policy(call.path, context=call.acting)

    return Answer(204)


def _summary(counts: Mapping[RotationState, int], overdue: int) -> Mapping[str, int]:
    """How many stand where, in words that need no knowledge of the steps."""

    def count(*states: RotationState) -> int:
        return sum(counts.get(state, 0) for state in states)

    return {
        "idle": count(RotationState.IDLE),
        "running": count(*ACTIVE),
        "overlap": count(RotationState.OVERLAP, RotationState.OLD_REVOKED),
        "awaiting_operator": count(RotationState.AWAITING_OPERATOR),
        "failed": count(RotationState.FAILED, RotationState.REVOKE_STUCK, RotationState.CONFLICT),
        "overdue": overdue,
    }


async def _cursors(call: Call, asked: str) -> Cursors:
    keys = await call.state["keyring"].keys()
    return Cursors(keys.cursors, call.acting.scope, f"{call.target.kind} {asked}")


def _page(
    call: Call,
    document: dict[str, object],
    cursors: Cursors,
    rows: list[RotationRow],
    *,
    more: bool,
    order: PageOrder,
) -> Answer:
    """Answer a page; with `more` it leads to the next one."""
    if not more:
        return json_answer(200, {**document, "next": None})
    cursor = cursors.seal(page_mark(rows[-1], order))
    query = urlencode({**call.query, "after": cursor})
    link = f'<{render(call.target)}?{query}>; rel="next"'
    return json_answer(200, {**document, "next": cursor}, (b"link", link.encode()))


ENDPOINTS: Final = (
    Endpoint(
        kind=Kind.ROTATE,
        method="POST",
        handler=rotate,
        changes=True,
        takes_key=True,
        access=(Action.ROTATE,),
        rate=RateClass.ROTATE,
        takes_body=JSON,
        needs_body=False,
        body=RotateBody.parse,
        reason=lambda body: body.reason if isinstance(body, RotateBody) else None,
    ),
    Endpoint(
        kind=Kind.ROTATION_STATUS,
        method="GET",
        handler=status,
        access=(Action.ROTATION_STATUS,),
        rate=RateClass.LIST,
        parameters=scoped("id", "path", "state", "limit", "after"),
    ),
    Endpoint(
        kind=Kind.ROTATION_SCHEDULE,
        method="GET",
        handler=schedule,
        access=(Action.ROTATION_STATUS,),
        rate=RateClass.LIST,
        parameters=scoped("limit", "after"),
    ),
    Endpoint(
        kind=Kind.ROTATION_SCHEDULE,
        method="PUT",
        handler=set_policy,
        changes=True,
        access=(Action.SCHEDULE,),
        rate=RateClass.ROTATE,
        takes_body=JSON,
        body=PolicyBody.parse,
    ),
    Endpoint(
        kind=Kind.ROTATION_SCHEDULE,
        method="DELETE",
        handler=remove_policy,
        changes=True,
        access=(Action.SCHEDULE,),
        rate=RateClass.ROTATE,
    ),
)
"""The rows of the method table for rotation."""
