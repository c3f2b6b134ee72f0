"""Keys of other companies' interfaces, which keep two: one is in use, the other can be replaced.

A key exists only once the partner has made it, so `apply` returns the candidate. If its owner dies
before that is kept, the next one overwrites the same slot, which nobody uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from greenlang_secrets.errors import NotRotatable, RotationFailed
from greenlang_secrets.rotation.handler import Prepared, Rotation, Subject
from greenlang_secrets.rotation.requirements import (
    candidate_of,
    check_kind,
    current_of,
    live_data,
    setting,
    values_of,
)
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.sensitive import SecretMap, SecretValue
from greenlang_secrets.vault.client import VaultClient

__all__ = ["PartnerAdapter", "PartnerAdapters", "PartnerApiKeyRotation"]

_SLOT: Final = "slot"


class PartnerAdapter(Protocol):
    """Speaks to one partner. Each method may be called again with the same arguments, by another
    process, with a greater `rotation.fence`: hand the fence to a partner that can keep it.

    Raises, in every method:
        RotationFailed: the partner is away or refuses (``partner_failed``). `OSError` and
            `TimeoutError` count as that.
        RotationFenced: the partner has seen a greater fence.
    """

    async def create(self, slot: str, rotation: Rotation) -> Mapping[str, SecretValue]:
        """Have the partner make a key in `slot`, in place of one that is there, and return the
        fields of the secret that it changes.
        """
        ...

    async def test(self, candidate: SecretMap) -> bool:
        """Return whether the partner takes the key, by a call that changes nothing."""
        ...

    async def revoke(self, slot: str, rotation: Rotation) -> None:
        """Have the partner take the key in `slot` no longer; there may be none."""
        ...


class PartnerAdapters:
    """Adapters by name, for the setting ``adapter``. Those of the process: register the same ones
    in every process that rotates.
    """

    def __init__(self) -> None:
        self._named: dict[str, PartnerAdapter] = {}

    def register(self, name: str, adapter: PartnerAdapter) -> None:
        """Give an adapter a name; replaces one that has it."""
        self._named[name] = adapter

    def find(self, name: str) -> PartnerAdapter | None:
        """Return the adapter with this name."""
        return self._named.get(name)


class PartnerApiKeyRotation:
    """Rotates secrets of the types `api_key` and `oauth_client` at a partner.

    Settings: ``adapter``, a name that `adapters` knows; ``slots``, the partner's two, such as
    ``a,b``. The secret's field ``slot`` says in which one its key is; the first until it does.
    """

    kind = RotationKind.PARTNER_API_KEY
    promotes = True

    def __init__(
        self, client: VaultClient, *, kv_mount: str, adapters: PartnerAdapters | None = None
    ) -> None:
        self.adapters = PartnerAdapters() if adapters is None else adapters
        self._client = client
        self._kv_mount = kv_mount

    async def check(self, subject: Subject) -> None:
        """Return if the adapter is there and the slots are two, one of them the secret's.

        Raises:
            NotRotatable: one of these is not so.
        """
        check_kind(subject, self.kind, "adapter", "slots")
        if self.adapters.find(setting(subject, "adapter", "the name of the adapter")) is None:
            raise NotRotatable(
                "'adapter' names one that this process does not have; register it.",
                path=subject.path,
            )
        slots = _slots(setting(subject, "slots", "the partner's two slots, such as a,b"))
        if len(slots) != 2 or slots[0] == slots[1]:
            raise NotRotatable("'slots' is two different names, such as a,b.", path=subject.path)
        if _used(subject.data, slots) not in slots:
            raise NotRotatable(
                "The field 'slot' of the secret is not one of 'slots'; correct one of them.",
                path=subject.path,
            )

    async def prepare(self, rotation: Rotation) -> Prepared:
        """Note which slot is replaced: the one that is not in use."""
        slots = _slots(rotation.settings["slots"])
        used = _used(current_of(rotation), slots)
        [spare] = [slot for slot in slots if slot != used]
        return Prepared(notes={"used": used, "spare": spare})

    async def apply(self, rotation: Rotation) -> Prepared:
        """Have the partner make the key, and return it: the candidate."""
        spare = rotation.notes["spare"]
        current = current_of(rotation)
        adapter = self._adapter(rotation)
        made: Mapping[str, SecretValue] | None = None
        try:
            made = await adapter.create(spare, rotation)
        except (OSError, TimeoutError):
            raise RotationFailed("partner_failed", path=rotation.path) from None
        candidate = {**values_of(current), **made, _SLOT: SecretValue(spare)}
        return Prepared(candidate=SecretMap(candidate))

    async def verify(self, rotation: Rotation) -> None:
        """Return if the partner takes the new key."""
        candidate = candidate_of(rotation)
        adapter = self._adapter(rotation)
        works = False
        try:
            works = await adapter.test(candidate)
        except (OSError, TimeoutError):
            raise RotationFailed("partner_failed", path=rotation.path) from None
        if not works:
            raise RotationFailed("verify_failed", path=rotation.path)

    async def retire(self, rotation: Rotation) -> Prepared:
        """Have the partner take the old key no longer; not if the secret names its slot again."""
        adapter = self._adapter(rotation)
        live = await live_data(self._client, self._kv_mount, rotation)
        if len(live) and _used(live, _slots(rotation.settings["slots"])) == rotation.notes["used"]:
            return Prepared(notes={"revoked": "in_use"})
        try:
            await adapter.revoke(rotation.notes["used"], rotation)
        except (OSError, TimeoutError):
            raise RotationFailed("partner_failed", path=rotation.path) from None
        return Prepared()

    def _adapter(self, rotation: Rotation) -> PartnerAdapter:
        adapter = self.adapters.find(rotation.settings["adapter"])
        if adapter is None:  # registered where the policy was set, and not in this process
            raise RotationFailed("incomplete", path=rotation.path)
        return adapter


def _slots(text: str) -> tuple[str, ...]:
    return tuple(slot.strip() for slot in text.split(",") if slot.strip())


def _used(data: SecretMap, slots: tuple[str, ...]) -> str:
    slot = data.get(_SLOT)
    return slot.reveal() if slot else slots[0]
