"""`SecretsView`: what may be done with the secrets of one scope, by one principal.

Each call goes one way: parse the path, decide, then the cache or Vault. Nothing is sent
before both have passed. A view is light: make one per request.

A fresh read from the cache returns before any of that is repeated. Its key holds the
scope, which the view was allowed to make, and the caller's text, which was parsed when
the value was put there.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass

from greenlang_secrets.access import Action, TenantContext, decide, require
from greenlang_secrets.cache import SecretCache
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.content import check_version, check_versions
from greenlang_secrets.errors import (
    AuthenticationLost,
    InvalidRequest,
    InvalidVersion,
    SecretNotFound,
    SecretUnavailable,
    VaultUnavailable,
    VersionNotFound,
)
from greenlang_secrets.listing import MAX_PAGE, Listing, Page
from greenlang_secrets.model import (
    Secret,
    SecretEntry,
    SecretMetadata,
    SecretType,
    SecretVersion,
    SecretWritten,
    Undeleted,
)
from greenlang_secrets.paths import FolderPath, KvPath, SecretPath
from greenlang_secrets.telemetry import Outcome, Result, Tally
from greenlang_secrets.vault import VaultClient
from greenlang_secrets.writes import Writer

__all__ = ["Core", "SecretsView"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What all views of one service share."""

    config: SecretsServiceConfig
    client: VaultClient
    cache: SecretCache[Secret]
    tally: Tally


class SecretsView:
    """Secrets of one scope; get one from `SecretsService.scoped` or `for_tenant`."""

    def __init__(self, core: Core, context: TenantContext) -> None:
        self.context = context
        self._core = core
        self._cache = core.cache
        self._scope_key = context.scope.key  # a str: its hash is computed once
        self._may_read = decide(context, Action.READ)

    # ------------------------------------------------------------ reading

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
        if self._may_read and max_age is None and min_version is None and not fresh:
            secret = self._cache.fresh((self._scope_key, path, version))
            if secret is not None:
                return secret
        with self._core.tally.counting(Action.READ) as outcome:
            secret = await self._get(path, version, min_version, max_age, fresh=fresh)
            outcome.secret_type = secret.type
            if secret.stale:
                outcome.result = Result.STALE
            return secret

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
        kv = self._core.client.kv(self.context.scope)

        async def load() -> Secret:
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

    async def get_or_none(self, path: str, *, version: int | None = None) -> Secret | None:
        """Return what `get` returns, or None where it raises SecretNotFound, SecretDeleted or
        VersionNotFound. A Vault in trouble still raises.
        """
        try:
            return await self.get(path, version=version)
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

    # ------------------------------------------------------------ writing

    async def create(
        self,
        path: str,
        data: Mapping[str, str],
        *,
        type: SecretType = SecretType.GENERIC,  # noqa: A002  # the field's own name, keyword-only
        custom_metadata: Mapping[str, str] | None = None,
    ) -> SecretWritten:
        """Write a secret where none is live, and return its version (1, or the next one after
        a deleted one).

        Raises:
            SecretExists: a live secret is there.
            PathIsFolder, AncestorIsSecret: a secret would also be a folder.
            InvalidPath, ReservedName, InvalidSecret, SecretTooLarge: the input is refused.
            AccessDenied: the principal may not write.
            OutcomeUnknown: no answer came; the write may have happened.
        """
        async with self._writing(Action.CREATE, path) as (writer, outcome):
            outcome.secret_type = type
            return await writer.create(data, type_=type, custom_metadata=custom_metadata)

    async def put(
        self,
        path: str,
        data: Mapping[str, str],
        *,
        expected_version: int | None = None,
        must_exist: bool = False,
        type: SecretType | None = None,  # noqa: A002  # as in create
        custom_metadata: Mapping[str, str] | None = None,
    ) -> SecretWritten:
        """Write a version and return it.

        With `expected_version` that must be the current version (CAS), and equal data
        makes no new version (`unchanged`). Without it the last write wins, and a secret
        is made where none is, unless `must_exist`. `custom_metadata` replaces what was
        set before; None leaves it, and the type, alone.

        Raises:
            VersionConflict: the current version is another than expected.
            SecretNotFound, SecretDeleted: nothing is live, but something must be.
            PreconditionRequired: Vault demands `expected_version` for this secret.
            SecretsError: as `create`.
        """
        async with self._writing(Action.UPDATE, path) as (writer, outcome):
            if expected_version is not None:
                check_version(expected_version)
            outcome.secret_type = type or SecretType.GENERIC
            return await writer.put(
                data,
                expected_version=expected_version,
                must_exist=must_exist or expected_version is not None,
                skip_unchanged=self._core.config.skip_unchanged,
                type_=type,
                custom_metadata=custom_metadata,
            )

    async def patch(
        self,
        path: str,
        data: Mapping[str, str | None],
        *,
        expected_version: int | None = None,
    ) -> SecretWritten:
        """Write a version that differs in these keys, and return it; None removes a key.

        Raises:
            SecretsError: as `put`; nothing live raises SecretNotFound or SecretDeleted.
        """
        async with self._writing(Action.UPDATE, path) as (writer, _):
            if expected_version is not None:
                check_version(expected_version)
            return await writer.patch(data, expected_version=expected_version)

    async def delete(
        self,
        path: str,
        versions: int | Sequence[int] | None = None,
        *,
        expected_version: int | None = None,
    ) -> None:
        """Soft-delete the current version, or these; `undelete` brings them back.

        Raises:
            SecretNotFound, SecretDeleted, VersionNotFound: it is not there, or not live.
            VersionConflict: the current version is another than expected.
            AccessDenied: the principal may not administer.
        """
        async with self._writing(Action.DELETE, path) as (writer, _):
            chosen = None if versions is None else check_versions(versions)
            await writer.delete(chosen, expected_version=expected_version)

    async def undelete(self, path: str, versions: int | Sequence[int]) -> Undeleted:
        """Bring soft-deleted versions back; all of them or, if one cannot be, none.

        Raises:
            SecretNotFound, VersionNotFound: there is no such secret or version.
            VersionDestroyed: a version was destroyed.
            AccessDenied: the principal may not administer.
        """
        async with self._writing(Action.UNDELETE, path) as (writer, _):
            return await writer.undelete(check_versions(versions))

    async def destroy(
        self,
        path: str,
        versions: int | Sequence[int],
        *,
        reason: str,
        expected_version: int | None = None,
    ) -> None:
        """Remove the data of these versions for good; `reason` says why, for the audit.

        Raises:
            InvalidRequest: the reason is empty.
            SecretNotFound, VersionNotFound: there is no such secret or version.
            VersionConflict: the current version is another than expected.
            AccessDenied: the principal may not administer.
        """
        async with self._writing(Action.DESTROY, path) as (writer, _):
            chosen = check_versions(versions)
            if not reason.strip():
                raise InvalidRequest("Destroying versions needs a reason.")
            await writer.destroy(chosen, expected_version=expected_version)

    # ------------------------------------------------------------ what all share

    def _kv_path(self, raw_path: str) -> KvPath:
        return KvPath.of(self._core.config.kv_mount, self.context.scope, SecretPath.parse(raw_path))

    @asynccontextmanager
    async def _writing(
        self, action: Action, raw_path: str
    ) -> AsyncIterator[tuple[Writer, Outcome]]:
        """Parse, decide, and forget what the cache holds once the write may have changed it: after
        an unknown outcome, a conflict or a cancellation it may be old as well. After an
        error that says "nothing was done" it is kept, to be served while Vault is away.
        """
        with self._core.tally.counting(action) as outcome:
            path = self._kv_path(raw_path)
            require(self.context, action)
            writer = Writer(self._core.client.kv(self.context.scope), path)
            try:
                yield writer, outcome
            except (VaultUnavailable, AuthenticationLost, InvalidRequest):
                raise
            except BaseException:
                self._cache.invalidate(self._scope_key, raw_path)
                raise
            self._cache.invalidate(self._scope_key, raw_path)
