"""The long poll: a read whose answer is held back until there is something new.

It holds no place among the requests in work. It ends early when its caller has gone, or the
service is about to; and whoever waited is let in once more before it gets a value.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

import anyio

from greenlang_secrets.errors import SecretsError
from greenlang_secrets.model import Secret
from greenlang_secrets_api.accepting import preferred_wait
from greenlang_secrets_api.answers import Header
from greenlang_secrets_api.draining import draining_of
from greenlang_secrets_api.endpoints import Call
from greenlang_secrets_api.preconditions import Tags

__all__ = ["changed"]

_NOT_HELD: Final[tuple[Header, ...]] = ()


async def changed(call: Call, secret: Secret, known: Tags) -> tuple[Secret, tuple[Header, ...]]:
    """Return the secret once it is none of those the caller knows, waited for as long as it
    prefers, and the headers that tell of the wait.

    Raises:
        ProblemError: ``invalid_token``, the bearer has ended meanwhile, or was revoked.
        SecretsError: as `SecretsView.get`.
    """
    seconds = preferred_wait(call.headers)
    if not seconds:
        return secret, _NOT_HELD
    who = (call.acting.scope.key, call.acting.principal.subject)
    with call.state["work"].stepped_out(draining_of(call.state), who) as may_wait:
        if may_wait:
            call.extend(seconds)
            await _wait(call, known, seconds)
    if not may_wait:
        return secret, _NOT_HELD
    await call.state["authenticator"].authenticate(call.headers)
    return await call.secrets.get(call.path), ((b"preference-applied", b"wait=%d" % seconds),)


async def _wait(call: Call, known: Tags, seconds: float) -> None:
    """Wait for another version, for `seconds`, or until the caller has gone."""
    failure: SecretsError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_end_when_gone, call.gone, tasks.cancel_scope)
        with anyio.move_on_after(seconds):
            try:
                async with aclosing(call.secrets.watch(call.path)) as watch:
                    async for newer in watch:
                        if not known.match(newer.version):
                            break
            except SecretsError as error:  # by itself, and not in a group
                failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _end_when_gone(gone: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
    await gone()
    scope.cancel()
