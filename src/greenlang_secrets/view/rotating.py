"""Rotating: asked for here, done by the process's rotation manager, if it has one.

The view knows no manager, as secrets are read without a database and rotated with one.
"""

from __future__ import annotations

from greenlang_secrets.access import Action, require
from greenlang_secrets.errors import NotRotatable
from greenlang_secrets.paths import SecretPath
from greenlang_secrets.rotation_model import RotationHandle
from greenlang_secrets.view.core import Scoped

__all__ = ["Rotating"]


class Rotating(Scoped):
    """The part of a view that rotates secrets."""

    async def rotate(
        self, path: str, *, reason: str | None = None, force: bool = False
    ) -> RotationHandle:
        """Begin to rotate a secret and return once that is certain; `.promoted(within=...)` waits for
        the new credential. `RotationManager.rotate` says what `force` is, and needs.

        Raises:
            NotRotatable: no rotation manager is open in this process, or the secret has no policy.
            RotationInProgress, OverlapInProgress: it is being rotated, or was just now.
            AccessDenied: the principal may not rotate.
            SecretsError: as `RotationManager.rotate`.
        """
        SecretPath.parse(path)
        require(self.context, Action.ROTATE)
        if (rotate := self._core.rotator.rotate) is None:
            raise NotRotatable(
                "This process rotates nothing; open a RotationManager, or ask the service's API.",
                path=path,
            )
        return await rotate(self.context, path, reason=reason, force=force)
