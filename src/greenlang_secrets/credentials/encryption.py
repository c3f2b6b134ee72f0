"""Encryption with a key that stays in Vault, bound to whom and what it is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, NoReturn, SupportsIndex, TypeVar

from greenlang_secrets.credentials.fields import optional_text, text
from greenlang_secrets.errors import InvalidPath, InvalidRequest, SecretIncomplete, SecretsError
from greenlang_secrets.model import Secret, SecretType
from greenlang_secrets.paths import ApiPath, Platform, Scope
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.telemetry import Operation, Tally
from greenlang_secrets.vault.transit import Transit
from greenlang_secrets.vault.transit_values import (
    AssociatedData,
    CiphertextItem,
    Encrypted,
    Plaintext,
    PlaintextItem,
    bound_to,
)

__all__ = ["DEFAULT_MOUNT", "Bound", "EncryptionKey", "key_named_by"]

DEFAULT_MOUNT: Final = "transit"

T = TypeVar("T")

_Clear = bytes | str | SecretValue | Plaintext
_Cipher = str | Encrypted


@dataclass(frozen=True, slots=True, eq=False)
class Bound(Generic[T]):
    """One item of many that is bound to something of its own, such as its row.

    Attributes:
        item: what is encrypted or decrypted; not shown.
        to: parts that follow those of the whole batch.
    """

    item: T = field(repr=False)
    to: Sequence[str]


class EncryptionKey:
    """A key of Vault's transit engine, used from one scope; the key itself stays in Vault.

    What is encrypted with `bound_to` decrypts only with the same parts in the same order. A
    tenant's key binds everything to the tenant besides, always and first: its ciphertexts
    decrypt for no other tenant and not for the platform, and those of others not for it.

    From a secret of the type `encryption_key`: ``transit_key`` names the key and ``mount``, which
    may be missing, its mount. The secret holds a reference, never a key.

    Attributes:
        name: the key's name.
        mount: the transit mount it is in.
        path, version, stale: of the secret it was read from, as with other credentials.

    Raises:
        InvalidPath: at construction, if the name or the mount is outside the grammar.
    """

    __slots__ = ("_scope", "_tally", "_transit", "mount", "name", "path", "stale", "version")

    def __init__(
        self,
        name: str,
        *,
        transit: Transit,
        scope: Scope,
        mount: str = DEFAULT_MOUNT,
        secret: Secret | None = None,
        tally: Tally | None = None,
    ) -> None:
        if not _is_name(name):
            raise InvalidPath("A key's name is outside the grammar of names.")
        ApiPath.of(mount)
        self.name = name
        self.mount = mount
        self.path = None if secret is None else secret.path
        self.version = None if secret is None else secret.version
        self.stale = secret is not None and secret.stale
        self._transit = transit
        self._tally = tally or Tally()
        self._scope = scope

    def __repr__(self) -> str:
        return f"EncryptionKey({self.name!r}, mount={self.mount!r}, scope={self._scope.key!r})"

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError("an EncryptionKey is not copied or serialised; ask for it again")

    def __reduce_ex__(self, _: SupportsIndex, /) -> NoReturn:
        self._refuse()

    __copy__ = _refuse
    __deepcopy__ = _refuse

    async def encrypt(self, plaintext: _Clear, *, bound_to: Sequence[str] = ()) -> Encrypted:
        """Return the ciphertext, which may be stored anywhere; texts are encrypted in UTF-8.

        ``POST /v1/{mount}/encrypt/{name}`` (Vault API: Transit, "Encrypt Data").

        Raises:
            InvalidRequest: `bound_to` is one text instead of a sequence of them, or a text is
                none that UTF-8 can hold.
            ObjectNotFound: there is no such key.
            AccessDenied: the service's policies do not allow it.
            VaultUnavailable: Vault gives no answer; there is nothing to fall back on.
        """
        with self._tally.counting(Operation.ENCRYPT, SecretType.ENCRYPTION_KEY):
            return await self._transit.encrypt(
                self.name, _plaintext(plaintext), associated_data=self._binding(bound_to)
            )

    async def decrypt(self, ciphertext: _Cipher, *, bound_to: Sequence[str] = ()) -> Plaintext:
        """Return the plaintext, masked: ``reveal()`` gives its octets, ``text()`` its text.

        ``POST /v1/{mount}/decrypt/{name}`` (Vault API: Transit, "Decrypt Data").

        Raises:
            CiphertextRefused: it was made by another key, for another scope, or bound to
                something else; or it was changed.
            CiphertextTooOld: its version of the key is retired.
            SecretsError: as `encrypt`.
        """
        with self._tally.counting(Operation.DECRYPT, SecretType.ENCRYPTION_KEY):
            return await self._transit.decrypt(
                self.name, _text(ciphertext), associated_data=self._binding(bound_to)
            )

    async def encrypt_many(
        self, items: Sequence[_Clear | Bound[_Clear]], *, bound_to: Sequence[str] = ()
    ) -> tuple[Encrypted | SecretsError, ...]:
        """Return a ciphertext for each item, or the error that this item alone met.

        All are bound to `bound_to`, and a `Bound` one to its own parts after these. One request
        for all, and none for no items; otherwise as `encrypt`.
        """
        with self._tally.counting(Operation.ENCRYPT, SecretType.ENCRYPTION_KEY):
            common = _checked(bound_to)
            asked = [
                PlaintextItem(
                    _plaintext(item), associated_data=self._binding((*common, *_own_parts(item)))
                )
                for item in items
            ]
            return await self._transit.encrypt_many(self.name, asked)

    async def decrypt_many(
        self, items: Sequence[_Cipher | Bound[_Cipher]], *, bound_to: Sequence[str] = ()
    ) -> tuple[Plaintext | SecretsError, ...]:
        """Return a plaintext for each item, or the error that this item alone met.

        Bound as in `encrypt_many`; one request for all; otherwise as `decrypt`.
        """
        with self._tally.counting(Operation.DECRYPT, SecretType.ENCRYPTION_KEY):
            common = _checked(bound_to)
            asked = [
                CiphertextItem(
                    _text(item), associated_data=self._binding((*common, *_own_parts(item)))
                )
                for item in items
            ]
            return await self._transit.decrypt_many(self.name, asked)

    async def rewrap(self, ciphertext: _Cipher, *, bound_to: Sequence[str] = ()) -> Encrypted:
        """Return the same plaintext encrypted by the key's latest version.

        What is bound is decrypted and encrypted again here, since Vault does not rewrap it (it
        ignores associated data there); what is not bound never leaves Vault.

        Raises:
            SecretsError: as `decrypt`.
        """
        with self._tally.counting(Operation.ENCRYPT, SecretType.ENCRYPTION_KEY):
            text = _text(ciphertext)
            binding = self._binding(bound_to)
            if binding is None:
                return await self._transit.rewrap(self.name, text)
            plaintext = await self._transit.decrypt(self.name, text, associated_data=binding)
            return await self._transit.encrypt(self.name, plaintext, associated_data=binding)

    def _binding(self, parts: Sequence[str]) -> AssociatedData | None:
        """What a ciphertext is bound to: the scope and then `parts`; None for nothing at all.

        The platform's key is an empty text, which no tenant's id is: so nothing that the platform
        binds to can be what a tenant's ciphertext is bound to, whatever parts it names.
        """
        parts = _checked(parts)
        if not parts and isinstance(self._scope, Platform):
            return None
        return bound_to(self._scope.key, *parts)


def key_named_by(secret: Secret, scope: Scope) -> tuple[str, str]:
    """Return the name and the mount of the key that a secret of `scope` refers to.

    A tenant may write its secrets, and what they name is asked for with the service's own
    token: so a tenant's secret names a key of the default mount, and no other place.

    Raises:
        SecretIncomplete: ``transit_key`` is missing, or either is no name of a key or mount.
    """
    name = text(secret, "transit_key")
    mount = optional_text(secret, "mount") or DEFAULT_MOUNT
    if mount != DEFAULT_MOUNT and not isinstance(scope, Platform):
        raise SecretIncomplete("mount", wanted=f"{DEFAULT_MOUNT!r}", path=secret.path)
    if not _is_name(name):
        raise SecretIncomplete("transit_key", wanted="a name", path=secret.path)
    if not _is_path(mount):
        raise SecretIncomplete("mount", wanted="a name", path=secret.path)
    return name, mount


def _is_name(text: str) -> bool:
    # A slash is right in a mount only; in a key's name it would lead to another endpoint.
    return "/" not in text and _is_path(text)


def _is_path(text: str) -> bool:
    try:
        ApiPath.of(text)
    except InvalidPath:
        return False
    return True


def _checked(parts: Sequence[str]) -> tuple[str, ...]:
    if isinstance(parts, str):  # a sequence of texts as well: of its characters
        raise InvalidRequest('bound_to takes a sequence of texts, such as ("users.email",).')
    return tuple(parts)


def _own_parts(item: object) -> tuple[str, ...]:
    return _checked(item.to) if isinstance(item, Bound) else ()


def _plaintext(clear: _Clear | Bound[_Clear]) -> Plaintext:
    match clear:
        case Bound(item=item):
            return _plaintext(item)
        case Plaintext():
            return clear
        case bytes():
            return Plaintext.of(clear)
        case _:
            return Plaintext.of_text(clear)


def _text(ciphertext: _Cipher | Bound[_Cipher]) -> str:
    match ciphertext:
        case Bound(item=item):
            return _text(item)
        case Encrypted(ciphertext=text):
            return text
        case _:
            return ciphertext
