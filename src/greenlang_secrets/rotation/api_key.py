"""Internal API keys: two are accepted while their holders change over.

The clients' secret holds a key and its id. Those who verify read a list of the accepted ones, kept
in a secret beside it: one field for each key id, with the SHA-256 of the key and never the key. A
plain digest is safe because the keys are 256 random bits; nobody finds one by trying.

The list keeps the greatest fence that has changed it, and is written with CAS, so an owner
that was taken for dead finds a greater one and stops. `credentials.api_key_verifier` reads it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from greenlang_secrets.credentials.api_key_verifier import digest_of, is_accepted, is_key_id
from greenlang_secrets.errors import (
    InvalidRequest,
    NotRotatable,
    RotationFailed,
    RotationFenced,
    SecretUnavailable,
    VersionConflict,
)
from greenlang_secrets.paths import KvPath, Scope, SecretPath
from greenlang_secrets.rotation.handler import NotYet, Prepared, Rotation, Subject
from greenlang_secrets.rotation.requirements import (
    candidate_of,
    check_kind,
    current_of,
    field,
    live_data,
    setting,
    switch,
    values_of,
)
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.sensitive import SecretMap, SecretValue
from greenlang_secrets.vault.client import VaultClient

__all__ = ["ApiKeyRotation"]

_KEY_FIELDS: Final = ("api_key", "key", "value")
_ID_FIELD: Final = "key_id"
_FENCE: Final = "_fence"
_SECRET: Final = "_secret"  # noqa: S105  # a field's name: whose list it is

_RANDOM_OCTETS: Final = 32
_SHORTEST_KEY: Final = 32
"""Characters of a key that was made elsewhere: 128 bits if it is hexadecimal."""

_REFRESHING_GAP: Final = 5.0
"""Seconds until every verifier that looks again for an unknown key sees a list: the one second for
which it believes an older answer, and Vault's standbys, which are behind by 0.1 s."""

_TRIES: Final = 5
"""Writes that may lose against others; whoever wins as often is not one of us."""


class ApiKeyRotation:
    """Rotates secrets of the type `api_key` that services of ours accept.

    Settings: ``verifiers``, the path of the list, in the same scope and of this secret alone;
    ``verifiers_refresh``, whether they read the list again when they meet an unknown key id, as
    `ApiKeyVerifier` does: then the promotion need not wait for their caches.
    """

    kind = RotationKind.API_KEY
    promotes = True

    def __init__(self, client: VaultClient, *, kv_mount: str) -> None:
        self._client = client
        self._kv_mount = kv_mount

    async def check(self, subject: Subject) -> None:
        """Return if the secret has a key and an id, and the list is its own or not there yet.

        Raises:
            NotRotatable: it has not, the key could be guessed, or the list is another's.
        """
        check_kind(subject, self.kind, "verifiers", "verifiers_refresh")
        switch(subject, "verifiers_refresh")
        path = setting(subject, "verifiers", "the path of the list of accepted keys")
        key = subject.data[field(subject, *_KEY_FIELDS)]
        key_id = subject.data[field(subject, _ID_FIELD)]
        if not is_key_id(key_id.reveal()):
            raise NotRotatable(
                "The field 'key_id' is 1 to 64 of A-Z, a-z, 0-9, '-' and '_', and begins with a "
                "letter or digit.",
                path=subject.path,
            )
        if len(key.reveal()) < _SHORTEST_KEY:
            raise NotRotatable(
                f"The key has fewer than {_SHORTEST_KEY} characters, so its digest could be "
                "guessed through; put a random one first.",
                path=subject.path,
            )
        try:
            listed = SecretPath.parse(path)
        except InvalidRequest:
            listed = subject.path
        if listed == subject.path:
            raise NotRotatable(
                "'verifiers' is the path of another secret of this scope.", path=subject.path
            )
        _, data = await self._list(subject.scope, listed)
        if _SECRET in data and data[_SECRET] != SecretValue(str(subject.path)):
            raise NotRotatable(
                "The list at 'verifiers' belongs to another secret; name one of its own.",
                path=subject.path,
            )

    async def prepare(self, rotation: Rotation) -> Prepared:
        """Return a new key with a new id; the secret's other fields stay."""
        current = current_of(rotation)
        key_id = secrets.token_hex(8)
        key = f"{key_id}.{secrets.token_urlsafe(_RANDOM_OCTETS)}"
        return Prepared(
            candidate=SecretMap({**values_of(current), _key_field(current): key, _ID_FIELD: key_id})
        )

    async def apply(self, rotation: Rotation) -> Prepared:
        """Put the old key and the new one into the list, beside what is there."""
        wanted = _entry(candidate_of(rotation))
        if rotation.current is not None:
            wanted |= _entry(rotation.current)
        listed_at = await self._make(rotation, wanted, alone=False)
        return Prepared(notes={"listed_at": listed_at.isoformat()})

    async def verify(self, rotation: Rotation) -> None:
        """Return once every verifier accepts the candidate: the list has it, and is known."""
        candidate = candidate_of(rotation)
        _, accepted = await self._list(rotation.scope, _list_path(rotation))
        if not is_accepted(accepted, candidate[_key_field(candidate)]):
            raise RotationFailed("verify_failed", path=rotation.path)
        gap = rotation.promotion_gap
        if rotation.settings.get("verifiers_refresh") == "true":
            gap = min(gap, _REFRESHING_GAP)
        known_at = datetime.fromisoformat(rotation.notes["listed_at"]) + timedelta(seconds=gap)
        if datetime.now(UTC) < known_at:
            raise NotYet(known_at)

    async def retire(self, rotation: Rotation) -> Prepared:
        """Leave the new key in the list alone, beside one that somebody has written into the secret
        by hand since.
        """
        wanted = _entry(candidate_of(rotation))
        live = await live_data(self._client, self._kv_mount, rotation)
        if is_key_id(live[_ID_FIELD].reveal() if _ID_FIELD in live else ""):
            with suppress(RotationFailed):  # it has an id and no key: nobody can use it
                wanted |= _entry(live)
        await self._make(rotation, wanted, alone=True)
        return Prepared()

    async def _make(
        self, rotation: Rotation, wanted: Mapping[str, str], *, alone: bool
    ) -> datetime:
        """Make the list hold these, and return since when it does (Vault's clock)."""
        path = KvPath.of(self._kv_mount, rotation.scope, _list_path(rotation))
        kv = self._client.kv(rotation.scope)
        own = {_FENCE: str(rotation.fence), _SECRET: str(rotation.path)}
        for _ in range(_TRIES):
            version, there = await self._list(rotation.scope, _list_path(rotation))
            _check_ours(there, rotation)
            kept = {} if alone else there.reveal()
            data = {**kept, **wanted, **own}
            if there == SecretMap(data):
                return (await kv.read(path, version=version, consistent=True)).created_at
            try:
                return (await kv.write(path, data, cas=version)).created_at
            except VersionConflict:
                continue  # somebody was faster, perhaps with a greater fence: look again
        raise RotationFailed("target_refused", path=rotation.path)

    async def _list(self, scope: Scope, path: SecretPath) -> tuple[int, SecretMap]:
        """The list and its version; an empty one where none is there."""
        place = KvPath.of(self._kv_mount, scope, path)
        kv = self._client.kv(scope)
        try:
            secret = await kv.read(place, consistent=True)
        except SecretUnavailable:
            try:
                metadata = await kv.read_metadata(place, consistent=True)
            except SecretUnavailable:
                return 0, SecretMap({})
            # Deleted: a new version follows those that were.
            return metadata.current_version, SecretMap({})
        return secret.version, secret.data


def _check_ours(there: SecretMap, rotation: Rotation) -> None:
    if _SECRET in there and there[_SECRET] != SecretValue(str(rotation.path)):
        raise RotationFailed("target_refused", path=rotation.path)
    fence = there.get(_FENCE)
    if fence is None:
        return
    text = fence.reveal()
    if not (text.isascii() and text.isdecimal()):
        raise RotationFailed("incomplete", path=rotation.path)
    if int(text) > rotation.fence:
        raise RotationFenced(path=rotation.path)


def _list_path(rotation: Rotation) -> SecretPath:
    return SecretPath.parse(rotation.settings["verifiers"])


def _key_field(data: SecretMap) -> str:
    for name in _KEY_FIELDS:
        if data.get(name):
            return name
    raise RotationFailed("incomplete")


def _entry(data: SecretMap) -> dict[str, str]:
    """The field of the list for the key that a secret holds; none where it has no usable id."""
    key_id = data.get(_ID_FIELD)
    if key_id is None or not is_key_id(key_id.reveal()):
        raise RotationFailed("incomplete")
    return {key_id.reveal(): digest_of(data[_key_field(data)])}
