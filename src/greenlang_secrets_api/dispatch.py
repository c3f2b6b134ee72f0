"""From a request to the one endpoint that answers it, through the checks in their order.

Sizes (413, 431), the work under way (503), authentication (401, or 429 for an address that
failed too often), the path's grammar and the method (400, 405), the query (400), the rate
limit (429), permission (403), the body (408, 413, 415, 422), and only then the endpoint,
which is the first to speak to Vault. Whoever fails an early check learns nothing of the
later ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from greenlang_secrets.access import Principal, TenantContext
from greenlang_secrets.errors import AccessDenied, InvalidPath
from greenlang_secrets.paths import Tenant, TenantId
from greenlang_secrets_api.addresses import client_address, counted_as
from greenlang_secrets_api.answers import Answer, Header
from greenlang_secrets_api.bodies import read_document
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.correlation import request_info
from greenlang_secrets_api.endpoints import Call, Endpoint, EndpointTable, RateClass
from greenlang_secrets_api.overload import deadline
from greenlang_secrets_api.problems import ProblemError
from greenlang_secrets_api.queries import parse_query
from greenlang_secrets_api.state import State
from greenlang_secrets_api.targets import Kind, Target, is_ours, is_plain, parse

__all__ = ["Dispatch"]

FRESH_COST: Final = 10
"""What a read counts as that always asks Vault."""

_SAFE: Final = frozenset({"GET", "HEAD"})
_LENGTH: Final = re.compile(rb"[0-9]{1,15}\Z")


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
        target = _parsed(raw_path)
        if isinstance(target, InvalidPath):
            request_info(scope).kind = "invalid"
            await self._authenticate(scope, state)
            raise target
        request_info(scope).kind = target.kind
        principal = await self._principal(target, scope, state)
        endpoint = self._endpoints.find(target, scope["method"])
        query = parse_query(scope["query_string"], endpoint.parameters)
        await self._count(endpoint, target, principal, query, scope)
        context = None if principal is None else _context(principal, query)
        if not endpoint.allows(context):
            raise AccessDenied
        document: Mapping[str, object] = {}
        if endpoint.takes_body:
            document = await read_document(
                receive,
                headers,
                limit=self._config.max_body,
                within=self._config.body_timeout,
            )
        call = Call(
            target=target,
            query=query,
            headers=headers,
            state=state,
            context=context,
            document=document,
        )
        with deadline(changes=endpoint.method not in _SAFE):
            return await endpoint.handler(call)

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

    async def _principal(self, target: Target, scope: Scope, state: State) -> Principal | None:
        if target.kind is not Kind.HEALTH:
            return await self._authenticate(scope, state)
        try:
            return await state["authenticator"].authenticate(scope["headers"])
        except ProblemError:
            # Health is public, and a bearer only adds to it: a probe with an expired one
            # still wants to know.
            return None

    async def _authenticate(self, scope: Scope, state: State) -> Principal:
        try:
            return await state["authenticator"].authenticate(scope["headers"])
        except ProblemError as problem:
            if problem.code == "invalid_token":
                await state["limiter"].refused(client_address(scope, self._config.trusted_proxies))
            raise

    async def _count(
        self,
        endpoint: Endpoint,
        target: Target,
        principal: Principal | None,
        query: Mapping[str, str],
        scope: Scope,
    ) -> None:
        """Count the request; what is left goes with whatever the answer will be."""
        rate = endpoint.rate
        if rate is None:  # EndpointTable refuses this
            return
        named = query.get("tenant")
        if rate is RateClass.PROBE or principal is None:
            address = client_address(scope, self._config.trusted_proxies)
            where, who = "", counted_as(address)
        elif named is not None and principal.tenant is None:
            where, who = named, principal.subject  # whether it is a tenant's id is seen later
        else:
            where, who = principal.home.key, principal.subject
        request_info(scope).limits = await scope["state"]["limiter"].hit(
            where,
            who,
            rate,
            cost=FRESH_COST if query.get("fresh") == "true" else 1,
            path=target.path if target.kind is Kind.ROTATE else None,
        )


def _parsed(raw_path: bytes) -> Target | InvalidPath:
    """The target, or why there is none: that is only said to whoever has a bearer."""
    try:
        return parse(raw_path)
    except InvalidPath as error:
        return error


def _context(principal: Principal, query: Mapping[str, str]) -> TenantContext:
    """Where the principal acts: at home, or a platform principal in the tenant it names."""
    named = query.get("tenant")
    if named is None:
        return TenantContext(principal=principal, scope=principal.home)
    if principal.tenant is not None:
        # Its own tenant too: an identity comes from the bearer alone.
        raise AccessDenied
    return TenantContext(principal=principal, scope=Tenant(TenantId(named)))
