"""Tokens of Vault by which services prove who they are, made by a token role.

Old and new are valid together, each to its own end. A late owner makes a token that nobody uses and
that ends by itself, and revokes nothing but the old one: so there is no fence.
"""

from __future__ import annotations

from typing import Final

from greenlang_secrets.errors import (
    AccessDenied,
    InvalidPath,
    NotRotatable,
    ObjectNotFound,
    RotationFailed,
)
from greenlang_secrets.rotation.handler import Prepared, Rotation, Subject
from greenlang_secrets.rotation.policy import LONGEST, overlap_of
from greenlang_secrets.rotation.requirements import (
    candidate_of,
    check_kind,
    current_of,
    duration,
    live_data,
    seconds,
    setting,
    values_of,
)
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.sensitive import SecretMap
from greenlang_secrets.vault.client import VaultClient

__all__ = ["ServiceTokenRotation"]

_CLOCKS: Final = 30.0
"""Seconds by which a token may live shorter than asked for, for rounding and slow answers."""


class ServiceTokenRotation:
    """Rotates secrets of the type `service_token`, whose fields are ``token`` and ``accessor``.

    Settings: ``role``, a token role with `orphan`; ``ttl``, how long each token lives.
    """

    kind = RotationKind.SERVICE_TOKEN
    promotes = True

    def __init__(self, client: VaultClient, *, kv_mount: str) -> None:
        self._client = client
        self._kv_mount = kv_mount

    async def check(self, subject: Subject) -> None:
        """Return if the role makes tokens that live on without us and are replaced in time.

        Raises:
            NotRotatable: a setting is missing or wrong, there is no such role, or it makes
                tokens that end with ours or cannot be revoked.
            AccessDenied: the service's policy does not let it read the role.
        """
        check_kind(subject, self.kind, "role", "ttl")
        name = setting(subject, "role", "the token role that makes the token")
        life = seconds(subject, "ttl", "how long each token is to live, such as 72h")
        if (
            subject.policy.interval * LONGEST + overlap_of(subject.policy, subject.promotion_gap)
            > life
        ):
            raise NotRotatable(
                "The old token would end within the overlap; set a shorter interval or overlap, "
                "or a longer 'ttl'.",
                path=subject.path,
            )
        try:
            role = await self._client.tokens.roles.read(name)
        except (InvalidPath, ObjectNotFound):
            raise NotRotatable(
                "'role' does not name a token role that is there; create it, or correct the name.",
                path=subject.path,
            ) from None
        if not role.orphan:
            raise NotRotatable(
                "The token role makes children of the service's own token, which end with it; "
                "set 'orphan' on the role.",
                path=subject.path,
            )
        if role.type in {"batch", "default-batch"}:
            raise NotRotatable(
                "The token role makes batch tokens, which cannot be revoked; set its type to "
                "'service'.",
                path=subject.path,
            )

    async def prepare(self, rotation: Rotation) -> Prepared:
        """Return a new token with its accessor; the secret's other fields stay."""
        current = current_of(rotation)
        old = await self._accessor(current)
        life = duration(rotation.settings["ttl"])
        created = await self._client.tokens.create(role=rotation.settings["role"], ttl=life)
        if created.ttl and created.ttl + _CLOCKS < life:
            await self._client.tokens.revoke_accessor(created.accessor)
            raise RotationFailed("target_refused", path=rotation.path)
        candidate = SecretMap(
            {**values_of(current), "token": created.token, "accessor": created.accessor}
        )
        # Kept now: when the old one is revoked its version may be gone.
        return Prepared(candidate=candidate, notes={"old_accessor": old})

    async def apply(self, rotation: Rotation) -> Prepared:  # noqa: ARG002  # the protocol's
        """Do nothing: Vault knows the token since it was made."""
        return Prepared()

    async def verify(self, rotation: Rotation) -> None:
        """Return if the token can be used, by looking itself up."""
        candidate = candidate_of(rotation)
        works = False
        if "token" in candidate and "accessor" in candidate:
            try:
                found = await self._client.tokens_of(candidate["token"]).lookup_self()
                works = found.accessor == candidate["accessor"].reveal()
            except AccessDenied:
                works = False
        if not works:
            raise RotationFailed("verify_failed", path=rotation.path)

    async def retire(self, rotation: Rotation) -> Prepared:
        """Revoke the old token, its children and their leases; not if the secret holds it again."""
        accessor = rotation.notes.get("old_accessor", "")
        if accessor:
            live = await live_data(self._client, self._kv_mount, rotation)
            if await self._accessor(live) == accessor:
                return Prepared(notes={"revoked": "in_use"})
            await self._client.tokens.revoke_accessor(accessor)
        return Prepared()

    async def _accessor(self, current: SecretMap) -> str:
        """The old token's accessor; asked with the token itself where the secret does not say it.
        Empty where there is no old token, or it has ended.
        """
        accessor = current.get("accessor")
        if accessor:
            return accessor.reveal()
        token = current.get("token")
        if not token:
            return ""
        try:
            return (await self._client.tokens_of(token).lookup_self()).accessor
        except AccessDenied:
            return ""
