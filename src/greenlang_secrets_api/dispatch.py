"""From a request to the one endpoint that answers it, through the checks in their order.

Sizes (413, 431), work (503), authentication (401), the path's grammar, the method and the
query (400, 405), the rate (429), permission (403), the body (406, 408, 413, 415, 422), and only
then the endpoint, which is the first to speak to Vault. Whoever fails an early check learns
nothing of the later ones. From permission on, everything is recorded before it is answered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from greenlang_secrets.access import Principal, TenantContext
from greenlang_secrets.errors import (
    AccessDenied,
    InvalidPath,
    OutcomeUnknown,
)
from greenlang_secrets.paths import Tenant, TenantId
from greenlang_secrets_api.accepting import check_accept
from greenlang_secrets_api.addresses import client_address, counted_as
from greenlang_secrets_api.answers import Answer, Header
from greenlang_secrets_api.auditing import AuditedRequest, record_refused_bearer
from greenlang_secrets_api.bodies import read_document
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.correlation import request_info
from greenlang_secrets_api.endpoints import Call, Endpoint, EndpointTable, Noted, RateClass
from greenlang_secrets_api.idempotency import key_of, once
from greenlang_secrets_api.overload import deadline
from greenlang_secrets_api.problems import ProblemError, problem_of
from greenlang_secrets_api.queries import parse_query
from greenlang_secrets_api.rate_limit import RateLimiter
from greenlang_secrets_api.request_info import RequestInfo
from greenlang_secrets_api.state import State
from greenlang_secrets_api.targets import ROUTES, Kind, Target, is_ours, is_plain, parse

__all__ = ["Dispatch"]

FRESH_COST: Final = 10
"""What a read with `fresh=true` counts as: it always asks Vault."""

_LENGTH: Final = re.compile(rb"[0-9]{1,15}\Z")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that found its endpoint."""

    target: Target
    endpoint: Endpoint
    principal: Principal | None
    query: Mapping[str, str]
    noted: Noted
    scope: Scope
    receive: Receive


class Dispatch:
    """Answers everything under ``/api/v1/secrets``, and passes on what is elsewhere."""

    def __init__(self, app: ASGIApp, *, endpoints: EndpointTable, config: ApiConfig) -> None:
        self._app = app
        self._endpoints = endpoints
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other scopes pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._check_sizes(scope["headers"])
        raw_path: bytes = scope["raw_path"]
        if is_ours(raw_path):
            with scope["state"]["work"].work():
                answer = await self._answer(raw_path, scope, receive)
            await answer.send(send)  # no work: how long it takes is the client's to say
        elif is_plain(raw_path):
            await self._app(scope, receive, send)
        else:
            raise InvalidPath

    async def _answer(self, raw_path: bytes, scope: Scope, receive: Receive) -> Answer:
        state: State = scope["state"]
        headers: list[Header] = scope["headers"]
        info = request_info(scope)
        info.address = client_address(scope, self._config.trusted_proxies)
        target = _parsed(raw_path)
        if isinstance(target, InvalidPath):
            info.route = "invalid"
            await self._principal(None, state, headers, info)
            raise target
        info.route = ROUTES[target.kind]
        principal = await self._principal(target, state, headers, info)
        endpoint = self._endpoints.find(target, scope["method"])
        info.timed = True
        query = parse_query(scope["query_string"], endpoint.parameters)
        noted = info.noted = Noted(action=endpoint.action, path=target.path)
        asked = _Asked(target, endpoint, principal, query, noted, scope, receive)
        info.headers = await _counted(asked, state["limiter"], info)
        if principal is None or not endpoint.audited:
            return await self._perform(asked)
        await state["keyring"].keys()  # without them no record can be made
        record = AuditedRequest(state["audit_log"], info, principal, endpoint, noted)
        try:
            answer = await self._perform(asked, record)
        except Exception as error:
            if isinstance(error, OutcomeUnknown) and endpoint.changes:
                state["indexing"].changed(record.scope, target.path or "")
            if isinstance(error, AccessDenied):
                who = (principal.home.key, principal.subject)
                state["metrics"].refusals.denied(error.reason, who)
            await record.failed(error)
            raise
        await record.answered(answer)
        info.timed = not any(name == b"preference-applied" for name, _ in answer.headers)
        return answer

    async def _perform(self, asked: _Asked, record: AuditedRequest | None = None) -> Answer:
        endpoint, query, headers = asked.endpoint, asked.query, asked.scope["headers"]
        try:
            context = _allowed(asked, record)
        except AccessDenied:  # by us: the library, which counts what it denies, was not asked
            asked.scope["state"]["service"].tally.count_refused(endpoint.action)
            raise
        check_accept(headers)
        document: Mapping[str, object] = {}
        if endpoint.takes_body is not None:
            # No work: how long that takes is the caller's to say, and bounded by itself.
            with asked.scope["state"]["work"].stepped_out():
                document = await read_document(
                    asked.receive,
                    headers,
                    media_type=endpoint.takes_body,
                    limit=self._config.max_body,
                    within=self._config.body_timeout,
                    optional=not endpoint.needs_body,
                )
        body = endpoint.body(document)
        asked.noted.reason = endpoint.reason(body)
        call = Call(
            target=asked.target,
            query=query,
            headers=headers,
            state=asked.scope["state"],
            context=context,
            noted=asked.noted,
            gone=partial(_until_gone, asked.receive),
            document=document,
            body=body,
        )
        answer = None if endpoint.at_once is None else endpoint.at_once(call)
        return answer or await _within_deadline(endpoint, call, record)

    def _check_sizes(self, headers: list[Header]) -> None:
        total = 0
        for name, value in headers:
            total += len(name) + len(value) + 4  # ": " and the end of the line
            if name == b"content-length" and (
                _LENGTH.match(value) is None or int(value) > self._config.max_body
            ):
                raise ProblemError("too_large")
        if total > self._config.max_headers:
            raise ProblemError("headers_too_large")

    async def _principal(
        self, target: Target | None, state: State, headers: list[Header], info: RequestInfo
    ) -> Principal | None:
        try:
            return await state["authenticator"].authenticate(headers)
        except ProblemError as error:
            # Health is public, and a bearer only adds to it: a probe with an expired one
            # still wants to know.
            if target is not None and target.kind is Kind.HEALTH:
                return None
            code, problem = problem_of(error)
            if problem.status == 401:
                metrics = state["metrics"]
                await state["limiter"].refused(info.address)
                metrics.refusals.denied("token")  # and not what the limit has made a 429
                await record_refused_bearer(
                    state["audit_log"], metrics.audit, info, code, problem.status
                )
            raise


async def _within_deadline(endpoint: Endpoint, call: Call, record: AuditedRequest | None) -> Answer:
    key = key_of(call.headers) if endpoint.takes_key else None
    with deadline(changes=endpoint.changes) as until:
        timed = replace(call, deadline=until)

        async def work() -> Answer:
            if record is not None:
                await record.intent()
            return await endpoint.handler(timed)

        return await (work() if key is None else once(timed, endpoint.method, key, work))


async def _until_gone(receive: Receive) -> None:
    """Return when the caller has closed the connection; its body has been read, or is ignored."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _parsed(raw_path: bytes) -> Target | InvalidPath:
    """The target, or why there is none: that is only said to whoever has a bearer."""
    try:
        return parse(raw_path)
    except InvalidPath as error:
        return error


async def _counted(asked: _Asked, limiter: RateLimiter, info: RequestInfo) -> tuple[Header, ...]:
    """Count the request where it acts, and return the headers that tell what is left."""
    rate, principal = asked.endpoint.rate, asked.principal
    if rate is None:  # `EndpointTable` refuses this
        return ()
    named = asked.query.get("tenant")
    if rate is RateClass.PROBE or principal is None:
        where, who = "", counted_as(info.address)
    elif named is not None and principal.tenant is None:
        # Whether it is a tenant's id is seen later. No subject has a NUL, so the tenant's own
        # principal of the same name is another one.
        where, who = named, f"\0{principal.subject}"
    else:
        where, who = principal.home.key, principal.subject
    return await limiter.hit(
        where,
        who,
        rate,
        cost=FRESH_COST if asked.query.get("fresh") == "true" else 1,
        path=asked.target.path if _rotates(asked) else None,
    )


def _rotates(asked: _Asked) -> bool:
    """Whether the request uses up what a secret may be rotated: not if its sender may not, or he
    could keep those who may from rotating it.
    """
    principal = asked.principal
    if asked.target.kind is not Kind.ROTATE or principal is None:
        return False
    return asked.endpoint.allows(TenantContext(principal=principal, scope=principal.home))


def _allowed(asked: _Asked, record: AuditedRequest | None) -> TenantContext | None:
    """Return where it is done; None for a caller who need not say who it is.

    Raises:
        AccessDenied: it is not the caller's to do, or not there.
    """
    context = None if asked.principal is None else _context(asked.principal, asked.query)
    if record is not None and context is not None:
        record.scope = context.scope
    if not asked.endpoint.allows(context):
        raise AccessDenied(reason="permission")
    return context


def _context(principal: Principal, query: Mapping[str, str]) -> TenantContext:
    """Where the principal acts: at home, or a platform principal in the tenant it names."""
    named = query.get("tenant")
    if named is None:
        return TenantContext(principal=principal, scope=principal.home)
    if principal.tenant is not None:
        # Its own tenant too: an identity comes from the bearer alone.
        raise AccessDenied(reason="tenant")
    return TenantContext(principal=principal, scope=Tenant(TenantId(named)))
