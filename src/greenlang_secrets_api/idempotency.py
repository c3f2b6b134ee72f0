"""`Idempotency-Key`: the same request again gets the answer it got, for 24 hours.

What is kept of a request is a fingerprint keyed by Vault, never a plain hash: a body holds a
secret, and whoever reads the database must not be able to try guesses against it. What is
kept of an answer holds no value either: only `create` and `rotate` take keys. An answer that
is no success is not kept, so that a request that failed may be sent again with its key.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import anyio

from greenlang_secrets.catalogue.idempotency import Begun, InProgress, Mismatch, Replay
from greenlang_secrets.errors import CatalogueUnavailable, OutcomeUnknown
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets_api.answers import Answer, Header
from greenlang_secrets_api.endpoints import Call
from greenlang_secrets_api.problems import ProblemError

__all__ = ["key_of", "once"]

_log: Final = logging.getLogger("greenlang_secrets_api")

_KEY: Final = re.compile(rb"[\x21-\x7e]{1,64}\Z")
_REPLAY: Final[Header] = (b"idempotent-replay", b"true")


def key_of(headers: Iterable[Header]) -> str | None:
    """Return the request's `Idempotency-Key`, or None.

    Raises:
        ProblemError: ``invalid_request``, it is not one of 1 to 64 visible ASCII characters.
    """
    found = [value for name, value in headers if name == b"idempotency-key"]
    if not found:
        return None
    if len(found) > 1 or _KEY.match(found[0]) is None:
        raise ProblemError(
            "invalid_request", errors=[{"header": "Idempotency-Key", "code": "malformed"}]
        )
    return found[0].decode()


async def once(call: Call, method: str, key: str, work: Callable[[], Awaitable[Answer]]) -> Answer:
    """Return what `work` answers, or what it answered the last time.

    Raises:
        ProblemError: ``idempotency_mismatch``, the key came with another request before;
            ``idempotency_in_progress``, that request is still under way.
        CatalogueUnavailable: nobody can say whether it was answered before; nothing was done.
    """
    keys = await call.state["keyring"].keys()
    kept = call.state["catalogue"].idempotency
    context, about = call.acting, _fingerprint(keys.idempotency, method, call)
    match await kept.begin(context.scope, context.principal, key, about):
        case Replay(status=status, headers=headers, body=body):
            call.noted.repeated = True
            return Answer(status, body, (*headers, _REPLAY))
        case Mismatch():
            raise ProblemError("idempotency_mismatch")
        case InProgress():
            raise ProblemError("idempotency_in_progress")
        case Begun() as begun:
            pass
    call.noted.taken_over = begun.taken_over
    try:
        answer = await work()
    except (OutcomeUnknown, asyncio.CancelledError):
        # Nobody knows: until its lease is over the request is said to be under way; then whoever
        # sends it again takes it over, and finds out.
        raise
    except BaseException:
        await _kept(kept.abandon(begun))
        raise
    await _kept(
        kept.finish(begun, status=answer.status, headers=answer.headers, body=answer.body or b"")
    )
    return answer


async def _kept(work: Awaitable[object]) -> None:
    """Tell the catalogue what became of it; without the catalogue the answer is as good."""
    with anyio.CancelScope(shield=True):  # it has a deadline of its own
        try:
            await work
        except CatalogueUnavailable as error:
            _log.warning("idempotency.not_kept", extra={"code": error.code})


def _fingerprint(key: SecretValue, method: str, call: Call) -> bytes:
    """What tells this request from another one with the same `Idempotency-Key`."""
    about = [method, call.target.kind, call.target.path, sorted(call.query.items()), call.document]
    text = json.dumps(about, sort_keys=True, separators=(",", ":"))
    return hmac.new(key.reveal().encode(), text.encode(), hashlib.sha256).digest()
