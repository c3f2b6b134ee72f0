"""Following: a secret's newest version, now and from now on.

Path and authority are this view's to check, when the following begins; from then on the
loop that all followers of a path share keeps it up to date with the token of the scope.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from greenlang_secrets.access import Action, require
from greenlang_secrets.following import Followed, Followers, Load, differs
from greenlang_secrets.held import Follower, Held, OnChange, soon, tell, when_dropped
from greenlang_secrets.model import Secret
from greenlang_secrets.paths import SecretPath
from greenlang_secrets.rotation_model import ConsumerKind
from greenlang_secrets.telemetry import timed
from greenlang_secrets.view.reading import Reading

__all__ = ["Following", "Subscription", "Watch"]

Callback = TypeVar("Callback", bound=OnChange[Secret])


class Watch(AsyncIterator[Secret]):
    """The iterator that `SecretsView.watch` returns.

    It gives up its place when it is closed, dropped, or a step fails or is cancelled; a step
    after that takes it again, and goes on after what was given last.
    """

    def __init__(self, begin: Callable[[], Awaitable[Followed]], followers: Followers) -> None:
        self._begin = begin
        self._followers = followers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._followed: Followed | None = None
        self._follower: Follower[Secret] | None = None
        self._last: Secret | None = None
        self._closed = False

    async def __anext__(self) -> Secret:
        if self._closed:
            raise StopAsyncIteration
        try:
            if self._follower is None:
                self._follower = await self._follow()
            self._last = await anext(self._follower)
        except StopAsyncIteration:
            self._closed = True
            self._leave()
            raise
        except BaseException:
            self._leave()
            raise
        return self._last

    async def _follow(self) -> Follower[Secret]:
        self._loop = asyncio.get_running_loop()
        self._followed = await self._begin()
        changes = self._followed.changes
        return changes.follow(newest=self._last is None or differs(self._last, changes.newest))

    def _leave(self) -> None:
        followed, follower = self._followed, self._follower
        self._followed = self._follower = None
        if follower is not None:
            follower.stop()  # a step may be waiting in another task
        if followed is not None:
            self._followers.leave(followed)

    async def aclose(self) -> None:
        """Give up its place at once; for `contextlib.aclosing`."""
        self._closed = True
        self._leave()

    # Not an async generator: those give up their place in a task that nobody owns, some time
    # after a `break`.
    def __del__(self) -> None:
        if self._followed is not None and self._loop is not None:
            soon(self._loop, self._leave)


class Subscription:
    """What `SecretsView.on_change` returns: decorates callbacks, and stops them."""

    def __init__(self, followers: Followers, join: Callable[[], Followed]) -> None:
        self._followers = followers
        self._join = join
        self._stops: list[Callable[[], None]] = []

    def __call__(self, callback: Callback) -> Callback:
        """Have `callback` called with the old and the new secret after each change; return it.

        Raises:
            RuntimeError: the service is closed.
        """
        followed = self._join()
        telling = _Telling(followed)
        task = self._followers.supervisor.spawn(telling.run(callback), name="secrets.on_change")
        # Not at the end of its code, which a task that is stopped early never enters.
        task.add_done_callback(lambda _: self._followers.leave(followed))
        self._stops.append(lambda: telling.stop(task))
        return callback

    def stop(self) -> None:
        """Call none of them any more; a call under way goes on to its end."""
        for stop in self._stops:
            stop()


class _Telling:
    """One callback and what it was told last: at first what was known when it was decorated, or
    else the first value there is.
    """

    def __init__(self, followed: Followed) -> None:
        self._followed = followed
        self._follower: Follower[Secret] | None = None
        if followed.begun.is_set():
            self._begin()

    def _begin(self) -> Follower[Secret]:
        changes = self._followed.changes
        self._old = changes.newest
        self._follower = changes.follow(newest=False)
        return self._follower

    async def run(self, callback: OnChange[Secret]) -> None:
        await self._followed.begun.wait()
        await tell(self._follower or self._begin(), callback, self._old)

    def stop(self, task: asyncio.Task[None]) -> None:
        if self._follower is None:
            task.cancel()  # it waits for a first value, and calls nobody
        else:
            self._follower.stop()


class Following(Reading):
    """The part of a view that follows what changes."""

    def watch(self, path: str) -> Watch:
        """Iterate over a secret: the one there is, and then each changed one, the newest only.

        A consumer that takes its time misses what was replaced meanwhile; there is no queue. A
        change is a version with other data or another type, and a secret that is back after
        it was deleted, missing or denied; while it is gone, and during an outage, the
        iteration waits. It ends when the service closes. After a `break` nothing is left
        behind; an iterator kept in a variable is given up by its `aclose`, too.

        Changes of other programs are seen within `CacheConfig.fresh_for`, those of this
        service at once; all who follow a path share one request in that time.

        Raises:
            SecretsError: at the first step, what `get` raises.
            RuntimeError: the service is closed.
        """
        return Watch(lambda: self._follow(path), self._core.followers)

    async def hold(self, path: str) -> Held[Secret]:
        """Return a handle whose `current` is the secret now, read without waiting.

        Give it back with `release`, or use it as an async context manager. `current` is as
        old as a cached read, `CacheConfig.fresh_for` at most. While Vault gives no answer it
        is the last value, marked stale, for `CacheConfig.stale_for`; then it raises
        VaultUnavailable (or AuthenticationLost). When the secret is deleted, missing or
        denied, or deletes itself, it raises SecretDeleted, SecretNotFound or AccessDenied
        at once, and gives the secret again when that is back. After a write by this
        service has returned, it is what was written, if Vault gave that within 0.25 s.

        Raises:
            SecretsError: what `get` raises.
            RuntimeError: the service is closed.
        """
        followers = self._core.followers
        followed = await self._follow(path)

        async def release() -> None:
            keep()
            followers.leave(followed)

        handle = Held(
            look=lambda: followed.current,
            changes=followed.changes,
            supervisor=followers.supervisor,
            release=release,
        )
        # A handle that is dropped without a release must not keep its path followed.
        keep = when_dropped(handle, lambda: followers.leave(followed))
        return handle

    def on_change(self, path: str) -> Subscription:
        """Return a decorator: the function, plain or a coroutine function, is called with the old
        and the new secret after each change, as `watch` has it.

        It needs no `await`, and the secret need not be there: the following begins behind
        it, and the first value is what later ones differ from; that one is not told. It is
        what was read before, if that is fresh still, or else the first that can be read. Calls come one at a time, in a task of the service; what changes during
        one is told in one further call. An exception is logged by its class and ends
        nothing. `stop` of the decorator stops it.

        Raises:
            InvalidPath, ReservedName: the path is outside the grammar.
            AccessDenied: the principal may not read.
        """
        load = self._loader(path)
        require(self.context, Action.READ)
        followers = self._core.followers

        def join() -> Followed:
            known = self._cache.fresh((self._scope_key, path, None))
            return followers.join(self._scope_key, path, load, first=known)

        return Subscription(followers, join)

    def uses(
        self, path: str, *, name: str, version: Callable[[], int | None]
    ) -> Callable[[], None]:
        """Count a pool as a user of a secret, so that a rotation keeps the old login while it is in
        use; return what ends that. The pools of `integrations` do this by themselves.

        `version` gives the oldest version that an open connection logged in with, None for none;
        it is called every few seconds and must be quick. `name` tells the pool from others of
        this process.

        Raises:
            InvalidPath, ReservedName: the path is outside the grammar.
            AccessDenied: the principal may not read.
        """
        parsed = str(SecretPath.parse(path))
        require(self.context, Action.READ)
        return self._core.consumers.add(
            self.context.scope,
            parsed,
            kind=ConsumerKind.POOL,
            name=name,
            principal=self.context.principal.subject,
            version=version,
        ).close

    async def _follow(self, path: str) -> Followed:
        followers = self._core.followers
        doubts = followers.doubts
        first = await self.get(path)
        # Nothing is awaited from here on: who has a place also gives it back.
        load = self._loader(path)
        followed = followers.join(self._scope_key, path, load, first=first)
        if followers.doubts != doubts:
            followed.ask()  # a change meanwhile may have overtaken what was read
        return followed

    def _loader(self, path: str) -> Load:
        kv_path, client, scope = self._kv_path(path), self._core.client, self.context.scope

        async def load() -> Secret:
            with timed(Action.READ):
                return await client.kv(scope).read(kv_path)

        return load
