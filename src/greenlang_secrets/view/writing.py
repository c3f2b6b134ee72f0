"""Changes: parsed, decided, sent in order, and the cache told before the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from greenlang_secrets.access import Action, require
from greenlang_secrets.content import check_version, check_versions
from greenlang_secrets.errors import AuthenticationLost, InvalidRequest, VaultUnavailable
from greenlang_secrets.model import SecretType, SecretWritten, Undeleted
from greenlang_secrets.telemetry import Outcome
from greenlang_secrets.view.core import Scoped
from greenlang_secrets.writes import Writer

__all__ = ["Writing"]


class Writing(Scoped):
    """The part of a view that changes secrets."""

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

    @asynccontextmanager
    async def _writing(
        self, action: Action, raw_path: str
    ) -> AsyncIterator[tuple[Writer, Outcome]]:
        """Parse, decide, and forget what the cache holds once the write may have changed it: after
        an unknown outcome, a conflict or a cancellation it may be old as well. After an
        error that says "nothing was done" it is kept, to be served while Vault is away.

        Who follows the path has the new state before the caller has the answer, unless
        reading it takes more than 0.25 s.
        """
        followers = self._core.followers
        with self._core.tally.counting(action) as outcome:
            path = self._kv_path(raw_path)
            require(self.context, action)
            writer = Writer(self._core.client.kv(self.context.scope), path)
            try:
                yield writer, outcome
            except (VaultUnavailable, AuthenticationLost, InvalidRequest):
                raise
            except BaseException:
                followers.changed(self._scope_key, raw_path)
                raise
            followers.changed(self._scope_key, raw_path)
            await followers.caught_up(self._scope_key, raw_path)
