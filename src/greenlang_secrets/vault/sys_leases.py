"""Leases: how long what Vault handed out lives, and its end before that.

`LeaseKeeper` decides when; this asks. A revoked lease takes with it what it stood for: the
database account is dropped, the certificate revoked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from greenlang_secrets.errors import AccessDenied, LeaseExpired, NotRenewable
from greenlang_secrets.model import Lease
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.transport import VaultRequest, VaultResponse
from greenlang_secrets.vault.answers import (
    Call,
    accepted,
    given,
    lease_of,
    names_of,
    ttl_text,
    warnings_of,
)

__all__ = ["LeaseInfo", "Leases", "RenewedLease"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseInfo:
    """What Vault knows of a lease.

    Attributes:
        ttl: seconds left.
        renewed_at: None if it never was.
    """

    id: str
    ttl: float
    renewable: bool
    issued_at: datetime
    expires_at: datetime
    renewed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewedLease:
    """What a renewal gave.

    Attributes:
        capped: whether it is less than was asked for: the end is near.
        asked_at: monotonic seconds at which it was asked for; the lease counts from here.
        warnings: Vault's words, for an operator.
    """

    lease: Lease
    capped: bool
    asked_at: float
    warnings: tuple[str, ...] = field(repr=False)


class Leases:
    """All leases of a Vault, spoken to with one token; `call` sends a request with that token.

    Every method also raises what `TokenHolder.call` raises.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def lookup(self, lease_id: str) -> LeaseInfo:
        """Return what Vault knows of a lease.

        ``POST /v1/sys/leases/lookup`` (Vault API: "/sys/leases", "Read Lease").

        Raises:
            LeaseExpired: it has ended, was revoked, or never was.
            AccessDenied: the token's policies do not allow it.
        """
        answer = await self._post("lookup", {"lease_id": lease_id})
        if answer.status == 400:
            raise LeaseExpired
        fields = accepted(answer)
        return LeaseInfo(
            id=fields.text("id"),
            ttl=fields.seconds("ttl"),
            renewable=fields.flag("renewable"),
            issued_at=fields.moment("issue_time"),
            expires_at=fields.moment("expire_time"),
            renewed_at=fields.moment_or_none("last_renewal"),
        )

    async def renew(self, lease_id: str, *, increment: float | None = None) -> RenewedLease:
        """Return what the renewal gave; `increment` in seconds from now, the lease's own
        duration when None.

        ``POST /v1/sys/leases/renew`` (Vault API: "/sys/leases", "Renew Lease"). An increment
        below what is left shortens the lease: ask for all that is wanted.

        Raises:
            LeaseExpired: it has ended, was revoked, or never was.
            NotRenewable: it lives to its end and no longer.
            AccessDenied: the token's policies do not allow it.
        """
        body = {"lease_id": lease_id, **given(increment=ttl_text(increment))}
        answer = await self._post("renew", body)
        if answer.status == 400:
            await self._explain(lease_id)
        accepted(answer)
        lease = lease_of(answer)
        return RenewedLease(
            lease=lease,
            capped=increment is not None and lease.duration < increment,
            asked_at=answer.asked_at,
            warnings=warnings_of(answer),
        )

    async def _explain(self, lease_id: str) -> None:
        """Raise why a renewal was answered 400; it stays `VaultRefused` where we may not ask."""
        try:
            known = await self.lookup(lease_id)
        except AccessDenied:
            return
        if not known.renewable:
            raise NotRenewable

    async def revoke(self, lease_id: str, *, wait: bool = False) -> None:
        """End a lease; `wait` returns when it is done. Succeeds too for an unknown one.

        ``POST /v1/sys/leases/revoke`` (Vault API: "/sys/leases", "Revoke Lease").

        Raises:
            VaultUnavailable: with `wait`, the database or the like could not be reached.
            AccessDenied: the token's policies do not allow it.
        """
        accepted(await self._post("revoke", {"lease_id": lease_id, "sync": wait}))

    async def revoke_prefix(self, prefix: str, *, wait: bool = False) -> None:
        """End every lease below a path, such as ``database/creds/app``.

        ``POST /v1/sys/leases/revoke-prefix/{prefix}`` (Vault API: "/sys/leases", "Revoke
        Prefix"; needs `sudo`). A whole mount's credentials end in one call. A prefix ends at
        a slash: ``database/creds/ap`` does not touch those of ``app``.

        Raises:
            InvalidPath: the prefix is outside the grammar of paths.
            AccessDenied: the token's policies do not allow it.
        """
        accepted(await self._post("revoke-prefix", {"sync": wait}, *prefix.split("/")))

    async def list(self, prefix: str = "") -> tuple[str, ...]:
        """Return the last parts of the lease ids below a path, or of all; a folder's ends with
        a slash.

        ``LIST /v1/sys/leases/lookup/{prefix}`` (Vault API: "/sys/leases", "List Leases"; needs
        `sudo`).

        Raises:
            InvalidPath: the prefix is outside the grammar of paths.
            AccessDenied: the token's policies do not allow it.
        """
        path = ApiPath.of("sys", "leases", "lookup", *(prefix.split("/") if prefix else ()))
        return names_of(await self._call(VaultRequest(method="LIST", path=path)))

    async def _post(self, what: str, body: dict[str, Any], *prefix: str) -> VaultResponse:
        path = ApiPath.of("sys", "leases", what, *prefix)
        return await self._call(VaultRequest(method="POST", path=path, body=body, repeatable=True))
