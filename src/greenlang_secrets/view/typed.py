"""Typed reading: a secret as what its declared type says it is.

The secret comes from `get`, with all that `get` promises; what it is read into is made once
for each version. Keys of the transit engine have no value to read: they are used in Vault.
"""

from __future__ import annotations

from typing import cast, overload

from greenlang_secrets.access import Action, require
from greenlang_secrets.credentials import (
    EncryptionKey,
    Kind,
    TypedSecret,
    check_type,
    key_named_by,
    type_of,
    typed,
)
from greenlang_secrets.model import Secret
from greenlang_secrets.view.reading import Reading

__all__ = ["Typed"]


class Typed(Reading):
    """The part of a view that gives secrets by their types."""

    @overload
    async def get_typed(
        self,
        path: str,
        *,
        version: int | None = None,
        min_version: int | None = None,
        max_age: float | None = None,
        fresh: bool = False,
    ) -> TypedSecret: ...

    @overload
    async def get_typed(
        self,
        path: str,
        kind: type[Kind],
        *,
        version: int | None = None,
        min_version: int | None = None,
        max_age: float | None = None,
        fresh: bool = False,
    ) -> Kind: ...

    async def get_typed(
        self,
        path: str,
        kind: type[Kind] | None = None,
        *,
        version: int | None = None,
        min_version: int | None = None,
        max_age: float | None = None,
        fresh: bool = False,
    ) -> TypedSecret:
        """Return a secret by its declared type, such as `DatabaseCredentials`; with `kind`, as
        that or not at all.

        Types without a class of their own (oauth_client, ssh_key, signing_key, generic) are
        returned as the `Secret` they are. The options and errors are those of `get`. It is made
        once for each version: a fresh read gives the same object as the one before.

        Raises:
            InvalidRequest: `kind` is none of these classes; nothing was sent.
            SecretTypeMismatch: the secret is declared as another type than `kind`.
            SecretIncomplete: a field that its type needs is missing or malformed; none of
                what it holds is told.
            SecretsError: as `get`.
        """
        if kind is not None:
            type_of(kind)
        secret = await self.get(
            path, version=version, min_version=min_version, max_age=max_age, fresh=fresh
        )
        return self._as(secret, kind)

    def as_typed(self, secret: Secret, kind: type[Kind]) -> Kind:
        """Return a secret of this view, read or held before, as `get_typed` does; asks nobody.

        It serves code that cannot await: ``view.as_typed(handle.current, DatabaseCredentials)``.

        Raises:
            InvalidRequest, SecretTypeMismatch, SecretIncomplete: as `get_typed`.
        """
        return cast("Kind", self._as(secret, kind))  # `check_type` has said that it is

    def _as(self, secret: Secret, kind: type[Kind] | None) -> TypedSecret:
        if kind is not None:
            check_type(secret, type_of(kind))
        known = self._core.typed.get(secret)
        if known is None:
            known = typed(secret, key=self._key_of)
            if known is not secret:  # which would keep itself alive
                self._core.typed[secret] = known
        return known

    def encryption_key(self, name: str, *, mount: str = "transit") -> EncryptionKey:
        """Return a key of the transit engine, to encrypt and decrypt with; asks nobody yet.

        It is spoken to with the service's own token, in every scope: tenants' tokens have no
        rights there. What keeps tenants apart is what ciphertexts are bound to.

        Raises:
            InvalidPath: the name or the mount is outside the grammar.
            AccessDenied: the principal may not read.
        """
        require(self.context, Action.READ)
        return self._key(name, mount, None)

    def _key_of(self, secret: Secret) -> EncryptionKey:
        name, mount = key_named_by(secret, self.context.scope)
        return self._key(name, mount, secret)

    def _key(self, name: str, mount: str, secret: Secret | None) -> EncryptionKey:
        return EncryptionKey(
            name,
            transit=self._core.client.transit(mount=mount),
            scope=self.context.scope,
            mount=mount,
            secret=secret,
            tally=self._core.tally,
        )
