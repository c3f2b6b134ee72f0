"""Response wrapping: hand a secret over so that a reader in between is noticed.

A wrapping token opens once. Unwrapping here looks first: at whether the token is unused, and at
which request made it, since a thief could have unwrapped the real one and wrapped something of
his own. Both failures have errors of their own, which are alarms and no mishaps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from greenlang_secrets.errors import (
    InvalidRequest,
    WrappingTokenForeign,
    WrappingTokenUsed,
)
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretMap, SecretValue
from greenlang_secrets.transport import VaultRequest, VaultResponse
from greenlang_secrets.vault.answers import Call, Fields, accepted
from greenlang_secrets.vault.token_values import CreatedToken, created_token_of

__all__ = ["WRAP_PATH", "Wrapping", "WrappingInfo", "WrappingToken"]

WRAP_PATH: Final = "sys/wrapping/wrap"
"""The creation path of what `Wrapping.wrap` made."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WrappingToken:
    """A token that opens once.

    Attributes:
        ttl: seconds until it is of no use.
        creation_path: the request whose answer it holds; tell it to the receiver another way.
    """

    token: SecretValue
    accessor: str
    ttl: float
    created_at: datetime
    creation_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappingInfo:
    """What Vault knows of a wrapping token without opening it.

    Attributes:
        ttl: seconds from `created_at`, not from now.
    """

    creation_path: str
    created_at: datetime
    ttl: float


class Wrapping:
    """Response wrapping, spoken to with one token; `call` sends a request with that token.

    Nothing that opens a wrapping token is repeated: the first attempt may have opened it. Every
    method also raises what `TokenHolder.call` raises.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def wrap(self, data: Mapping[str, str | SecretValue], *, ttl: float) -> WrappingToken:
        """Return a token that opens to `data` once, within `ttl` seconds.

        ``POST /v1/sys/wrapping/wrap`` with ``X-Vault-Wrap-TTL`` (Vault API:
        "/sys/wrapping/wrap").

        Raises:
            InvalidRequest: `ttl` is not above 0.
            AccessDenied: the token lacks the policy ``default``, which allows it.
        """
        if not ttl > 0:
            raise InvalidRequest("A wrapping token lives longer than 0 seconds.")
        values = {
            key: value.reveal() if isinstance(value, SecretValue) else value
            for key, value in data.items()
        }
        answer = await self._call(
            VaultRequest(
                method="POST",
                path=ApiPath.of("sys", "wrapping", "wrap"),
                body=values,
                repeatable=True,  # a second token costs nothing, and ends by its TTL
                wrap_ttl=math.ceil(ttl),
            )
        )
        return _wrapping_token(answer)

    async def lookup(self, token: SecretValue) -> WrappingInfo:
        """Return what Vault knows of a wrapping token; does not use it up.

        ``POST /v1/sys/wrapping/lookup`` (Vault API: "/sys/wrapping/lookup").

        Raises:
            WrappingTokenUsed: it was used, has expired, or is no wrapping token.
        """
        answer = await self._post("lookup", token, repeatable=True)
        if _is_used(answer):
            raise WrappingTokenUsed
        fields = accepted(answer)
        return WrappingInfo(
            creation_path=fields.text("creation_path"),
            created_at=fields.moment("creation_time"),
            ttl=fields.seconds("creation_ttl"),
        )

    async def unwrap(self, token: SecretValue, *, creation_path: str) -> SecretMap:
        """Return the data that were wrapped; the token is used up.

        ``POST /v1/sys/wrapping/unwrap`` (Vault API: "/sys/wrapping/unwrap"), after a lookup.
        `creation_path` is the request that must have made it, such as `WRAP_PATH` or
        ``auth/approle/role/app/secret-id``. Structures come back as the JSON they are.

        Raises:
            WrappingTokenUsed: it was used, has expired, or is no wrapping token: somebody may
                have read the data. Raise an alarm.
            WrappingTokenForeign: another request made it; it was not opened. Raise an alarm.
            OutcomeUnknown: no good answer; the token may be used up, by us or by somebody who
                opened it at the same moment. Treat it as `WrappingTokenUsed`.
            VaultProtocolError: it held a token; use `unwrap_token`.
        """
        answer = await self._open(token, creation_path)
        data = answer.body.get("data")
        return Fields(data).masked()

    async def unwrap_token(self, token: SecretValue, *, creation_path: str) -> CreatedToken:
        """Return the token that was wrapped, such as one of ``auth/token/create``.

        ``POST /v1/sys/wrapping/unwrap`` (Vault API: "/sys/wrapping/unwrap"), after a lookup.

        Raises:
            WrappingTokenUsed, WrappingTokenForeign, OutcomeUnknown: as `unwrap`.
            VaultProtocolError: it held no token; use `unwrap`.
        """
        return created_token_of(await self._open(token, creation_path), asked_for=None)

    async def rewrap(self, token: SecretValue) -> WrappingToken:
        """Return a new token for the same content and TTL; the old one is used up.

        ``POST /v1/sys/wrapping/rewrap`` (Vault API: "/sys/wrapping/rewrap").

        Raises:
            WrappingTokenUsed: it was used, has expired, or is no wrapping token.
            OutcomeUnknown: no good answer; the token may be used up, by us or by somebody who
                opened it at the same moment.
            AccessDenied: the token in use may not do it.
        """
        answer = await self._post("rewrap", token, repeatable=False)
        if _is_used(answer):
            raise WrappingTokenUsed
        return _wrapping_token(answer)

    async def _open(self, token: SecretValue, creation_path: str) -> VaultResponse:
        if (await self.lookup(token)).creation_path != creation_path:
            raise WrappingTokenForeign
        answer = await self._post("unwrap", token, repeatable=False)
        if _is_used(answer):  # by somebody else, since the lookup
            raise WrappingTokenUsed
        accepted(answer)
        return answer

    async def _post(self, what: str, token: SecretValue, *, repeatable: bool) -> VaultResponse:
        if not token:
            # Vault would answer 403, as if it were forbidden.
            raise InvalidRequest("The wrapping token is empty.")
        body: dict[str, Any] = {"token": token.reveal()}
        path = ApiPath.of("sys", "wrapping", what)
        return await self._call(
            VaultRequest(method="POST", path=path, body=body, repeatable=repeatable)
        )


def _is_used(answer: VaultResponse) -> bool:
    """Return whether an answer about a wrapping token says that there is none any more.

    Mostly that is a 400. A request that comes while another is opening the token is answered
    with 204 and nothing, no error at all (OpenBao 2.7.2; `test_sys_wrapping.py` holds it).
    """
    return answer.status in {204, 400}


def _wrapping_token(answer: VaultResponse) -> WrappingToken:
    accepted(answer)
    fields = Fields(answer.body).part("wrap_info")
    return WrappingToken(
        token=fields.secret("token"),
        accessor=fields.text("accessor", absent=""),
        ttl=fields.seconds("ttl"),
        created_at=fields.moment("creation_time"),
        creation_path=fields.text("creation_path"),
    )
