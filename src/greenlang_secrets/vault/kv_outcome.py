"""A write with CAS is done once, though its answer may be lost.

When no answer came, the secret is read again: CAS numbers the version that the write would have
made, so whether it was made can be seen, and sending it again cannot make a second one. That is
so whichever node is asked: what a standby shows has been committed, and what it does not show
yet is decided by the CAS of the next attempt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio

from greenlang_secrets.errors import (
    AuthenticationLost,
    OutcomeUnknown,
    SecretsError,
    VaultError,
    VaultUnavailable,
    VersionConflict,
)
from greenlang_secrets.model import Secret, SecretWritten
from greenlang_secrets.paths import KvPath

__all__ = ["CasWrite", "done_once"]

PAUSE: Final = 0.05
"""Seconds between two looks, when neither the look nor the next attempt decided it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CasWrite:
    """A write that makes version ``cas + 1``, or none.

    Attributes:
        send: does one attempt.
        current: reads the current version's number, 0 where there is no secret.
        made: reads the version that the write would have made.
        is_ours: whether that version holds what was written.
    """

    path: KvPath
    cas: int
    send: Callable[[], Awaitable[SecretWritten]]
    current: Callable[[], Awaitable[int]]
    made: Callable[[], Awaitable[Secret]]
    is_ours: Callable[[Secret], Awaitable[bool]]


async def done_once(write: CasWrite, *, within: float) -> SecretWritten:
    """Return the version written, finding out what became of an attempt without an answer.

    Another writer's equal data, under the version that this write would have made, counts as
    this write: nobody could tell the difference.

    Raises:
        VersionConflict: the version holds another's data.
        OutcomeUnknown: it could not be found out `within` seconds, or not any more, because
            the version has been pruned or deleted since.
        SecretsError: what the first attempt raises when it certainly did nothing.
    """
    until = time.monotonic() + within
    try:
        return await write.send()
    except OutcomeUnknown:
        pass  # gone on with below, without this error as the context of another
    try:
        async with asyncio.timeout(max(0.0, until - time.monotonic())):
            return await _find_out(write)
    except TimeoutError:
        pass
    raise OutcomeUnknown(path=write.path)


async def _find_out(write: CasWrite) -> SecretWritten:
    while True:
        written = await _look(write)
        if written is not None:
            return written
        try:
            return await write.send()
        except (VaultError, VersionConflict):
            # A conflict may be with our own first attempt: the next look tells.
            await anyio.sleep(PAUSE)
        except SecretsError:
            raise OutcomeUnknown(path=write.path) from None


async def _look(write: CasWrite) -> SecretWritten | None:
    """The version, if it was made; None if it was not, as far as can be seen now."""
    try:
        current = await write.current()
        if current <= write.cas:
            return None
        secret = await write.made()
        ours = await write.is_ours(secret)
    except (VaultUnavailable, AuthenticationLost):
        return None
    except SecretsError:  # pruned or deleted since, or not ours to read
        raise OutcomeUnknown(path=write.path) from None
    if not ours:
        raise VersionConflict(path=write.path, current_version=current)
    return SecretWritten(path=str(write.path), version=secret.version, created_at=secret.created_at)
