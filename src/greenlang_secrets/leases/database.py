"""Credentials of databases, as leases are kept of them: dynamic ones, and those of static roles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from greenlang_secrets.credentials import DatabaseCredentials
from greenlang_secrets.leases.leased import Fetch, Leased
from greenlang_secrets.lifetime import Term
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.vault.answers import Call
from greenlang_secrets.vault.database import Database

__all__ = ["Place", "dynamic", "static"]

_LATER: Final = 1.0
"""Seconds after the `ttl` of a static role at which it is read again: Vault rotates at its end, and
gives it in whole seconds."""

Place = Callable[[], Awaitable[DatabaseCredentials | None]]
"""Tells where the database is; None where nobody said."""


def dynamic(role: str, *, mount: str, place: Place) -> Fetch[DatabaseCredentials]:
    """Return a fetch of a new account of `role`; it is dropped when its lease ends."""

    async def fetch(call: Call) -> Leased[DatabaseCredentials]:
        at = await place()  # first: what fails after the account is made leaves it behind
        made = await Database(call, mount=mount).credentials(role)
        return Leased(
            value=_joined(made.username, made.password, at),
            known_by=made.password,
            term=Term(
                granted_at=made.asked_at,
                duration=made.lease.duration,
                wanted=made.lease.duration,
                renewable=made.lease.renewable,
            ),
            lease_id=made.lease.id,
        )

    return fetch


def static(role: str, *, mount: str, place: Place) -> Fetch[DatabaseCredentials]:
    """Return a fetch of the present password of a static role, read again when Vault changes it."""

    async def fetch(call: Call) -> Leased[DatabaseCredentials]:
        at = await place()
        read = await Database(call, mount=mount).static_credentials(role)
        return Leased(
            value=_joined(read.username, read.password, at),
            known_by=read.password,
            term=Term(
                granted_at=read.asked_at,
                duration=max(_LATER, read.rotation_period),
                wanted=max(_LATER, read.rotation_period),
                renewable=False,
            ),
            read_again_at=read.asked_at + max(0.0, read.ttl) + _LATER,
        )

    return fetch


def _joined(
    username: str, password: SecretValue, at: DatabaseCredentials | None
) -> DatabaseCredentials:
    if at is None:
        return DatabaseCredentials(username=username, password=password)
    return DatabaseCredentials(
        username=username, password=password, host=at.host, port=at.port, database=at.database
    )
