"""Keys of the transit engine: a new version, everything encrypted anew, the old versions shut out.

The secret names the key and never holds it, so nothing is promoted. Old versions go on decrypting
until a sweep has replaced every ciphertext of theirs and has found none in a second look.

There is no fence: a late owner may add one version more, which harms nobody, and replaces
ciphertexts by comparing, as everybody does. `min_decryption_version` is only ever raised.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from greenlang_secrets.credentials.encryption import DEFAULT_MOUNT
from greenlang_secrets.errors import (
    CiphertextRefused,
    InvalidPath,
    NotRotatable,
    ObjectNotFound,
    RotationFailed,
    SecretsError,
)
from greenlang_secrets.paths import PLATFORM, ApiPath
from greenlang_secrets.rotation.ciphertexts import Ciphertexts, CiphertextSources, Found
from greenlang_secrets.rotation.handler import NotYet, Prepared, Rotation, Subject
from greenlang_secrets.rotation.requirements import check_kind, current_of, field
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.sensitive import SecretMap
from greenlang_secrets.vault.client import VaultClient
from greenlang_secrets.vault.transit import Transit
from greenlang_secrets.vault.transit_values import (
    CiphertextItem,
    Encrypted,
    Plaintext,
    PlaintextItem,
    key_version_of,
)

__all__ = ["TransitKeyRotation"]

_PAGE: Final = 100
"""Ciphertexts of one request to rewrap; each costs its source a statement as well."""

_TURN: Final = 8.0
"""Seconds after which a sweep stops and is called again: a step has 20 s, and a page may be slow."""

_PROBE: Final = b"greenlang-secrets: a text that is no secret"


class TransitKeyRotation:
    """Rotates what secrets of the type `encryption_key` name.

    Setting: ``sweep``, the sources of ciphertexts, joined by commas: ``kv:prefix/`` or a name that
    `sources` knows. Without it the key only gets a new version, and the old ones go on decrypting.
    """

    kind = RotationKind.TRANSIT_KEY
    promotes = False

    def __init__(
        self, client: VaultClient, *, kv_mount: str, sources: CiphertextSources | None = None
    ) -> None:
        self.sources = CiphertextSources() if sources is None else sources
        self._client = client
        self._kv_mount = kv_mount

    async def check(self, subject: Subject) -> None:
        """Return if the key is there, encrypts without a context, and its sources are known.

        Raises:
            NotRotatable: one of these is not so.
            AccessDenied: the service's policy does not let it read the key.
        """
        check_kind(subject, self.kind, "sweep")
        field(subject, "transit_key")
        try:
            name, transit = self._key(subject.data)
            key = await transit.keys.read(name)
        except (InvalidPath, ObjectNotFound):
            raise NotRotatable(
                "'transit_key' and 'mount' do not name a key that is there; create it, or "
                "correct the secret.",
                path=subject.path,
            ) from None
        if not key.supports_encryption or key.derived:
            raise NotRotatable(
                "The key does not encrypt, or needs a context for each ciphertext, which a "
                "sweep cannot know; rotate it by hand.",
                path=subject.path,
            )
        self._sources(subject.policy.settings)

    async def prepare(self, rotation: Rotation) -> Prepared:
        """Note the latest version, and a ciphertext of it to try later."""
        name, transit = self._key(current_of(rotation))
        probe = await transit.encrypt(name, Plaintext.of(_PROBE))
        return Prepared(
            notes={
                "key": name,
                "mount": _mount(current_of(rotation)),
                "old": str(probe.key_version),
                "probe": probe.ciphertext,
            }
        )

    async def apply(self, rotation: Rotation) -> Prepared:
        """Add a version, unless somebody has since it was prepared."""
        name, transit = self._noted(rotation)
        old = int(rotation.notes["old"])
        latest = (await transit.keys.read(name)).latest_version
        if latest <= old:
            await transit.keys.rotate(name)
            latest = (await transit.keys.read(name)).latest_version
        return Prepared(notes={"new": str(latest)})

    async def verify(self, rotation: Rotation) -> None:
        """Return if the new version encrypts and decrypts, and the old one still decrypts."""
        name, transit = self._noted(rotation)
        works = False
        try:
            new = await transit.encrypt(name, Plaintext.of(_PROBE))
            works = new.key_version >= int(rotation.notes["new"])
            for ciphertext in (new.ciphertext, rotation.notes["probe"]):
                works &= (await transit.decrypt(name, ciphertext)).reveal() == _PROBE
        except CiphertextRefused:
            works = False
        if not works:
            raise RotationFailed("verify_failed", path=rotation.path)

    async def retire(self, rotation: Rotation) -> Prepared:
        """Encrypt everything anew, look whether anything old is left, and only then shut the old
        versions out. Goes on where it, or an owner before, stopped.

        Raises:
            NotYet: the sweep is not at its end; call again at once.
            RotationFailed: something old is left, and the old versions still decrypt; the sweep
                begins anew the next time.
        """
        try:
            sources = self._sources(rotation.settings)
        except NotRotatable:  # registered when the policy was set, and not in this process
            raise RotationFailed("incomplete", path=rotation.path) from None
        if not sources:
            return Prepared()
        name, transit = self._noted(rotation)
        version = int(rotation.notes["new"])
        sweep = _Sweep(rotation, transit, name, version)
        await sweep.run(sources)
        if (await transit.keys.read(name)).min_decryption_version < version:
            await transit.keys.configure(name, min_decryption_version=version)
        return Prepared()

    def _key(self, data: SecretMap) -> tuple[str, Transit]:
        name = data["transit_key"].reveal() if "transit_key" in data else ""
        mount = _mount(data)
        ApiPath.of(mount, "keys", name)
        return name, self._client.transit(mount=mount)

    def _noted(self, rotation: Rotation) -> tuple[str, Transit]:
        """The key that the rotation began with, whatever the secret names by now."""
        return rotation.notes["key"], self._client.transit(mount=rotation.notes["mount"])

    def _sources(self, settings: Mapping[str, str]) -> tuple[Ciphertexts, ...]:
        return self.sources.of(
            settings.get("sweep", ""),
            kv=self._client.kv(PLATFORM),
            kv_mount=self._kv_mount,
            scope=PLATFORM,
        )


class _Sweep:
    """One turn of a sweep. Where it is stands in the notes: the phase, the source and the place.

    The first phase, ``rewrap``, replaces; the second, ``look``, counts what is left, and any ends it.
    """

    def __init__(self, rotation: Rotation, transit: Transit, key: str, version: int) -> None:
        self._rotation = rotation
        self._transit = transit
        self._key = key
        self._version = version
        self._until = time.monotonic() + _TURN
        notes = rotation.notes
        self._phase = notes.get("sweep_phase") or "rewrap"
        self._source = int(notes.get("sweep_source") or "0")
        self._after = notes.get("sweep_after") or None
        self._counts = {
            name: int(notes.get(f"sweep_{name}") or "0")
            for name in ("scanned", "rewrapped", "refused")
        }

    async def run(self, sources: Sequence[Ciphertexts]) -> None:
        """Go on to the end of both phases."""
        if self._phase == "rewrap":
            while self._source < len(sources):
                await self._page(sources[self._source])
            self._phase, self._source, self._after = "look", 0, None
            await self._keep()
        while self._source < len(sources):
            await self._page(sources[self._source])

    async def _page(self, source: Ciphertexts) -> None:
        page = await source.page(self._after, _PAGE)
        old = [found for found in page if (key_version_of(found.ciphertext) or 0) < self._version]
        if old and self._phase == "look":
            await self._begin_anew()
            raise RotationFailed("rewrap_failed", path=self._rotation.path)
        if old:
            await self._replace(source, old)
        if self._phase == "rewrap":
            self._counts["scanned"] += len(page)
        if page:
            self._after = page[-1].place
        else:
            self._source, self._after = self._source + 1, None
        await self._keep()
        if time.monotonic() >= self._until:
            raise NotYet(datetime.now(UTC))

    async def _replace(self, source: Ciphertexts, old: Sequence[Found]) -> None:
        for found, new in zip(old, await self._anew(old), strict=True):
            if isinstance(new, SecretsError):
                self._counts["refused"] += 1
            elif await source.replace(found, new):
                self._counts["rewrapped"] += 1

    async def _anew(self, old: Sequence[Found]) -> list[Encrypted | SecretsError]:
        """A new ciphertext for each, or its error. Vault does not rewrap what is bound, so that is
        decrypted and encrypted here; what is not bound never leaves Vault.
        """
        answers: dict[int, Encrypted | SecretsError] = {}
        free = [at for at, found in enumerate(old) if found.associated_data is None]
        items = [CiphertextItem(old[at].ciphertext) for at in free]
        rewrapped = await self._transit.rewrap_many(self._key, items)
        answers.update(zip(free, rewrapped, strict=True))
        bound = [at for at, found in enumerate(old) if found.associated_data is not None]
        items = [
            CiphertextItem(old[at].ciphertext, associated_data=old[at].associated_data)
            for at in bound
        ]
        clear: list[tuple[int, Plaintext]] = []
        for at, plain in zip(
            bound, await self._transit.decrypt_many(self._key, items), strict=True
        ):
            if isinstance(plain, SecretsError):
                answers[at] = plain
            else:
                clear.append((at, plain))
        encrypted = await self._transit.encrypt_many(
            self._key,
            [PlaintextItem(plain, associated_data=old[at].associated_data) for at, plain in clear],
        )
        answers.update(zip((at for at, _ in clear), encrypted, strict=True))
        return [answers[at] for at in range(len(old))]

    async def _keep(self) -> None:
        """Show how far it is, and note it for whoever goes on."""
        await self._rotation.progress(
            self._counts,
            {
                "sweep_phase": self._phase,
                "sweep_source": str(self._source),
                "sweep_after": self._after or "",
                **{f"sweep_{name}": str(count) for name, count in self._counts.items()},
            },
        )

    async def _begin_anew(self) -> None:
        self._phase, self._source, self._after = "rewrap", 0, None
        shown = dict(self._counts)
        self._counts = dict.fromkeys(self._counts, 0)
        await self._keep()
        # The numbers of the sweep that failed stay to be seen.
        await self._rotation.progress(shown, {})


def _mount(data: SecretMap) -> str:
    mount = data.get("mount")
    return mount.reveal() if mount else DEFAULT_MOUNT
