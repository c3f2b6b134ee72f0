"""What a pool logs in with: the newest credentials for what it opens, and which ones it has in use.

Nothing here knows a driver. A pool takes `current` for each connection it opens, says which
credentials it was opened with, and is told to replace the others once there are new ones.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final, Generic, TypeVar, cast

from greenlang_secrets.background import reported
from greenlang_secrets.credentials import DatabaseCredentials, RedisCredentials
from greenlang_secrets.errors import SecretsError
from greenlang_secrets.held import Held
from greenlang_secrets.model import Secret
from greenlang_secrets.view import SecretsView

__all__ = ["Logins"]

C = TypeVar("C", bound=DatabaseCredentials | RedisCredentials)

_BETWEEN_QUESTIONS: Final = 1.0
"""Seconds between two questions to Vault after refused logins: a pool that is refused for another
reason, such as a missing right, asks for as long as it is used.
"""


class Logins(Generic[C]):
    """The credentials of one pool, from a secret or from a handle that somebody else keeps.

    Attributes:
        in_use: gives what the open connections logged in with, once for each: what `opened` was
            told, unless the pool knows better.
    """

    def __init__(
        self,
        look: Callable[[], C],
        held: Held[Secret] | Held[C],
        *,
        renew: Callable[[], Awaitable[C]] | None,
        release: bool,
    ) -> None:
        self._look = look
        self._held = held
        self._renew = renew
        self._release = release
        self._stops: list[Callable[[], None]] = []
        self._asked_at = -_BETWEEN_QUESTIONS
        self._in_use: dict[object, C] = {}
        self.in_use: Callable[[], Iterable[C]] = self._in_use.values

    @classmethod
    async def open(
        cls, secrets: SecretsView, source: str | Held[C], kind: type[C], *, name: str
    ) -> Logins[C]:
        """Return the logins of a secret at the path `source`, or of a handle.

        Those of a secret are a consumer of it, by the name of the pool, until `stop`: whoever
        rotates the secret knows by that how long its old login is in use.

        Raises:
            SecretTypeMismatch, SecretIncomplete: the secret is none of `kind`.
            SecretsError: what `SecretsView.get` raises.
        """
        if isinstance(source, Held):
            handle = source
            return cls(lambda: handle.current, handle, renew=None, release=False)
        path = source
        await secrets.get_typed(path, kind)
        held = await secrets.hold(path)

        def look() -> C:
            return cast("C", kind.of(held.current))  # the union of both bounds it, not one

        async def renew() -> C:
            return await secrets.get_typed(path, kind, fresh=True)

        logins = cls(look, held, renew=renew, release=True)
        logins._stops.append(secrets.uses(path, name=name, version=lambda: logins.oldest))
        return logins

    @property
    def current(self) -> C:
        """What a new connection is to log in with.

        Raises:
            SecretsError: there is none, with the reason.
            RuntimeError: it was released, or the service closed.
        """
        return self._look()

    def outdated(self, credentials: C) -> bool:
        """Whether a connection opened with these would log in as somebody else now; not while there
        are no credentials, as nothing can take its place.
        """
        with suppress(SecretsError, RuntimeError):
            return not _same(credentials, self.current)
        return False

    def opened(self, credentials: C) -> Callable[[], None]:
        """Take note of a new connection; return what is to be called once it has closed."""
        key = object()
        self._in_use[key] = credentials

        def closed() -> None:
            self._in_use.pop(key, None)

        return closed

    @property
    def behind(self) -> bool:
        """Whether an open connection has another login than the current one."""
        return any(map(self.outdated, self.in_use()))

    @property
    def oldest(self) -> int | None:
        """The oldest version that an open connection uses, or the current one without any; None
        where there are no versions, as for leases.

        A version with the same login as the current one counts as that.
        """
        now: C | None = None
        with suppress(SecretsError, RuntimeError):
            now = self.current
        newest = None if now is None else now.version
        versions = [
            newest if now is not None and _same(each, now) else each.version
            for each in self.in_use()
        ]
        return min((each for each in versions if each is not None), default=newest)

    async def newer(self, refused: C) -> C | None:
        """Return other credentials than those that the server has just refused, if there are any:
        Vault is asked, at most once a second, as a change by others is heard of later.
        """
        if self.outdated(refused):
            return self.current
        now = time.monotonic()
        if self._renew is None or now < self._asked_at + _BETWEEN_QUESTIONS:
            return None
        self._asked_at = now
        answer = await reported(self._renew(), name="integrations.newer")
        return None if answer is None or _same(answer, refused) else answer

    def on_change(self, replace: Callable[[], Awaitable[None]]) -> None:
        """Have `replace` called after each change to credentials that can be used; one that leaves
        the secret without a login is logged and replaces nothing.
        """

        async def changed(_old: object, _new: object) -> None:
            _ = self.current
            await replace()

        self._stops.append(self._held.on_change(changed))

    def stop(self) -> None:
        """Follow no longer; a second call does nothing."""
        while self._stops:
            self._stops.pop()()

    async def close(self) -> None:
        """Follow no longer, and release what is held for this pool alone."""
        self.stop()
        if self._release:
            await self._held.release()


def _same(one: C, other: C) -> bool:
    return one is other or (one.username == other.username and one.password == other.password)
