"""Credentials that an operator replaces: the rotation waits for a new version and goes on with it.

For what no interface can change. It keeps the dates, the overlap and the history as for the others.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from greenlang_secrets.errors import RotationFailed, SecretNotFound
from greenlang_secrets.paths import KvPath
from greenlang_secrets.rotation.handler import NotYet, Prepared, Rotation, Subject
from greenlang_secrets.rotation.requirements import check_kind
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.vault.client import VaultClient

__all__ = ["LOOK_EVERY", "ManualRotation"]

LOOK_EVERY: Final = 60.0
"""Seconds between two looks for the operator's version. A write may come from anywhere, so nobody
would tell; and each look costs two writes of the rotation's record.
"""


class ManualRotation:
    """Rotates secrets of every type, by somebody else's hand; has no settings.

    `promotes` is False: the promotion is the operator's own write, so the promoted version is the
    one that `apply` notes as ``version``.
    """

    kind = RotationKind.MANUAL
    promotes = False

    def __init__(self, client: VaultClient, *, kv_mount: str) -> None:
        self._client = client
        self._kv_mount = kv_mount

    async def check(self, subject: Subject) -> None:
        """Return if there are no settings.

        Raises:
            NotRotatable: there are.
        """
        check_kind(subject, self.kind)

    async def prepare(self, rotation: Rotation) -> Prepared:  # noqa: ARG002  # the protocol's
        """Do nothing: the candidate is the operator's."""
        return Prepared()

    async def apply(self, rotation: Rotation) -> Prepared:
        """Return once the secret has a live version newer than the one it began with.

        Raises:
            NotYet: it has not; an operator must write one, by PUT or from the command line. It is
                looked for every `LOOK_EVERY` seconds.
            RotationFailed: the secret is gone.
        """
        return Prepared(notes={"version": str(await self._newer(rotation))})

    async def verify(self, rotation: Rotation) -> None:
        """Return if that version is there still; what it opens, only the operator knows."""
        await self._newer(rotation)

    async def retire(self, rotation: Rotation) -> Prepared:  # noqa: ARG002  # the protocol's
        """Do nothing: the operator retires the old one, where that is needed."""
        return Prepared()

    async def _newer(self, rotation: Rotation) -> int:
        path = KvPath.of(self._kv_mount, rotation.scope, rotation.path)
        try:
            metadata = await self._client.kv(rotation.scope).read_metadata(path, consistent=True)
        except SecretNotFound:
            raise RotationFailed("incomplete", path=rotation.path) from None
        current = metadata.current
        if current is None or current.state != "live" or current.version <= rotation.base_version:
            raise NotYet(datetime.now(UTC) + timedelta(seconds=LOOK_EVERY), operator=True)
        return current.version
