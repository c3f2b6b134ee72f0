"""Reading: from the cache while fresh, else from Vault, else the last value known.

Each call goes one way: parse the path, decide, then the cache or Vault. Nothing is sent
before both have passed.

A fresh read from the cache returns before any of that is repeated. It looks on the shelf of
the scope, which the view was allowed to make and to read, by the caller's text, which was
parsed when the value was put there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from greenlang_secrets.access import Action, require
from greenlang_secrets.content import check_version
from greenlang_secrets.errors import (
    InvalidRequest,
    InvalidVersion,
    SecretNotFound,
    SecretUnavailable,
    VersionNotFound,
)
from greenlang_secrets.listing import MAX_PAGE, Listing, Page
from greenlang_secrets.model import Secret, SecretEntry, SecretMetadata, SecretVersion
from greenlang_secrets.paths import FolderPath
from greenlang_secrets.telemetry import Result, timed
from greenlang_secrets.view.core import Scoped

__all__ = ["Reading"]


class Reading(Scoped):
    """The part of a view that reads."""

    async def get(
        self,
        path: str,
        *,
        version: int | None = None,
        min_version: int | None = None,
        max_age: float | None = None,
        fresh: bool = False,
    ) -> Secret:
        """Return a secret: from the cache while it is fresh, else from Vault, else, while
        Vault gives no answer, the last value known, marked stale.

        `version` pins one version. `min_version` refuses older ones (the version you
        wrote, say). `max_age` bounds the age in seconds of the answer. `fresh` asks Vault
        now and takes nothing less. A cancelled call leaves the load running for others.

        Raises:
            InvalidPath, InvalidVersion: the input is outside the grammar.
            AccessDenied: the principal may not read, or Vault's policy forbids it.
            SecretNotFound, SecretDeleted, VersionNotFound: there is no value.
            VaultUnavailable, AuthenticationLost: no answer, and no value to fall back on.
        """
        under_way = None
        if version is None and min_version is None and max_age is None and not fresh:
            # What `SecretCache.fresh` does, written out: a call of it costs as much as the rest.
            entry = self._shelf.get(path)
            if entry is not None and self._clock() < entry.refresh_at:
                entry.count[0] += 1
                entry.used = True
                return entry.value
            # Of a thousand who ask at once one parses the path; the others read what it reads.
            if self._may_read:
                under_way = self._cache.under_way((self._scope_key, path, None))
        elif (
            version is not None and self._may_read and min_version is max_age is None and not fresh
        ):
            pinned = self._cache.fresh((self._scope_key, path, version))
            if pinned is not None:
                return pinned
        with self._core.tally.counting(Action.READ) as outcome:
            if under_way is None:
                secret = await self._get(path, version, min_version, max_age, fresh=fresh)
            else:
                secret = await under_way
            outcome.secret_type = secret.type
            if secret.stale:
                outcome.result = Result.STALE
            if not self._shelf:
                self._look_anew()
            return secret

    def cached(self, path: str) -> Secret | None:
        """Return what `get` would return without waiting: the newest version, while it is fresh in
        the cache. None says nothing else than that `get` is to be asked.

        It counts as a read. For code that cannot wait and has another way to go on.
        """
        entry = self._shelf.get(path)
        if entry is None or self._clock() >= entry.refresh_at:
            return None
        entry.count[0] += 1
        entry.used = True
        return entry.value

    async def _get(
        self,
        raw_path: str,
        version: int | None,
        min_version: int | None,
        max_age: float | None,
        *,
        fresh: bool,
    ) -> Secret:
        path = self._kv_path(raw_path)
        require(self.context, Action.READ)
        if version is not None:
            check_version(version)
            if min_version is not None:
                raise InvalidVersion("Give version or min_version, not both.")
        if min_version is not None:
            check_version(min_version)
        if max_age is not None and not max_age >= 0:
            raise InvalidRequest("max_age is seconds, 0 or greater.")

        async def load() -> Secret:
            kv = self._core.client.kv(self.context.scope)
            with timed(Action.READ):
                return await kv.read(path, version=version)

        if fresh or max_age == 0:
            return self._at_least(await self._refresh(raw_path, version, load), min_version)
        key = (self._scope_key, raw_path, version)
        secret = await self._cache.get(key, load, max_age=max_age)
        if min_version is not None and secret.version < min_version:
            secret = await self._refresh(raw_path, version, load)
        return self._at_least(secret, min_version)

    async def _refresh(
        self, raw_path: str, version: int | None, load: Callable[[], Awaitable[Secret]]
    ) -> Secret:
        return await self._cache.refresh((self._scope_key, raw_path, version), load)

    def _at_least(self, secret: Secret, min_version: int | None) -> Secret:
        if min_version is not None and secret.version < min_version:
            raise VersionNotFound(path=secret.path, version=min_version)
        return secret

    async def get_or_none(
        self,
        path: str,
        *,
        version: int | None = None,
        max_age: float | None = None,
        fresh: bool = False,
    ) -> Secret | None:
        """Return what `get` returns, or None where it raises SecretNotFound, SecretDeleted or
        VersionNotFound. A Vault in trouble still raises.
        """
        try:
            return await self.get(path, version=version, max_age=max_age, fresh=fresh)
        except SecretUnavailable:
            return None

    async def get_many(self, paths: Iterable[str]) -> dict[str, Secret]:
        """Return several secrets by path, read concurrently.

        Raises:
            SecretNotFound: some are missing; the text names every one of them.
            SecretsError: as `get`; the first in the order of `paths`.
        """
        wanted = list(dict.fromkeys(paths))
        answers = await asyncio.gather(*map(self.get, wanted), return_exceptions=True)
        found: dict[str, Secret] = {}
        missing: list[str] = []
        for path, answer in zip(wanted, answers, strict=True):
            if isinstance(answer, Secret):
                found[path] = answer
            elif isinstance(answer, SecretUnavailable):
                missing.append(path)
            else:
                raise answer
        if missing:
            raise SecretNotFound(f"There is no live secret at: {', '.join(missing)}.")
        return found

    async def metadata(self, path: str) -> SecretMetadata:
        """Return a secret's history and settings, asked of Vault now, without values.

        Raises:
            SecretNotFound: there is no such secret.
            SecretsError: as `get`.
        """
        with self._core.tally.counting(Action.VERSIONS) as outcome:
            kv_path = self._kv_path(path)
            require(self.context, Action.VERSIONS)
            metadata = await self._core.client.kv(self.context.scope).read_metadata(kv_path)
            outcome.secret_type = metadata.type
            return metadata

    async def versions(self, path: str) -> tuple[SecretVersion, ...]:
        """Return a secret's versions, newest first, with their states.

        Raises:
            SecretNotFound: there is no such secret.
            SecretsError: as `get`.
        """
        return (await self.metadata(path)).versions

    async def page(
        self, prefix: str = "", *, limit: int = MAX_PAGE, after: str | None = None
    ) -> Page:
        """Return up to `limit` (1 to 100) entries directly below `prefix`, sorted by path.

        `prefix` is empty or ends with a slash; an unknown one has no entries. A secret that
        vanishes while its metadata is read is left out.

        Raises:
            InvalidPath: the prefix is outside the grammar.
            InvalidRequest: the limit is.
            AccessDenied: the principal may not list.
            VaultUnavailable: Vault gives no answer; there is no stale listing.
        """
        with self._core.tally.counting(Action.LIST):
            folder = FolderPath.parse(prefix)
            require(self.context, Action.LIST)
            if not 1 <= limit <= MAX_PAGE:
                raise InvalidRequest(f"A page has 1 to {MAX_PAGE} entries.")
            kv = self._core.client.kv(self.context.scope)
            listing = Listing(kv, self._core.config.kv_mount, self.context.scope)
            return await listing.page(folder, limit=limit, after=after)

    async def list(self, prefix: str = "") -> AsyncIterator[SecretEntry]:
        """Yield every entry directly below `prefix`, page by page.

        Raises:
            SecretsError: as `page`; a Vault in trouble raises, it never looks empty.
        """
        after: str | None = None
        while True:
            page = await self.page(prefix, after=after)
            for entry in page.items:
                yield entry
            if page.next is None:
                return
            after = page.next
