"""A secret id that travelled in a wrapping token: opened once, and only if it is the right one.

A wrapping token opens once, so the second to open it learns that there was a first. That,
and a wrapping token that was not made by AppRole, is raised as an error of its own: somebody
else may have read the secret id, or slipped in another.
"""

from __future__ import annotations

import logging
from typing import Final, Literal

from greenlang_secrets.errors import (
    AuthenticationLost,
    OutcomeUnknown,
    VaultProtocolError,
    VaultUnavailable,
)
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport import Transport, VaultRequest

__all__ = ["LostReason", "WrappedSecretId", "WrappedSecretIdLost"]

_log: Final = logging.getLogger("greenlang_secrets")

LostReason = Literal["used", "foreign", "unanswered"]
"""Why a wrapping token gives no secret id; a closed set, so that it may be a metric label."""

_LOST: Final[dict[LostReason, str]] = {
    "used": "The wrapping token was used before, or has expired: somebody else may have read the "
    "secret id in it. Destroy that secret id, find out who, and put a new wrapping token in",
    "foreign": "The wrapping token was not made by this auth mount for a secret id, and was not "
    "opened: somebody may have replaced the real one. Find out who writes",
    "unanswered": "Vault's answer with the secret id was lost, and a wrapping token opens once. "
    "Destroy that secret id and put a new wrapping token in",
}


class WrappedSecretIdLost(AuthenticationLost):
    """The wrapping token gives no secret id that may be trusted.

    Alert on it; the log has it as the event ``auth.secret_id_lost``.

    Attributes:
        reason: used: it was opened before, or has expired; if it is younger than its TTL,
            somebody else has the secret id: destroy that and find out who. foreign: it was
            made by another request than AppRole's for a secret id, and was not opened.
            unanswered: we asked for it to be opened and got no answer, so most likely it was
            we who opened it.
    """

    def __init__(self, reason: LostReason, *, setting: str) -> None:
        self.reason: LostReason = reason
        super().__init__(f"{_LOST[reason]} {setting}.", reason=reason)


class WrappedSecretId:
    """Opens the wrapping token of a secret id, once, and remembers what was in it.

    The secret id is kept in memory as long as the same wrapping token is presented. Not for
    concurrent use: the session logs in once at a time.
    """

    def __init__(self, mount: str, *, setting: str) -> None:
        self._mount = mount
        self._setting = setting
        self._wrapping_token: SecretValue | None = None
        self._secret_id: SecretValue | None = None

    async def unwrap(self, transport: Transport, wrapping_token: SecretValue) -> SecretValue:
        """Return the secret id in `wrapping_token`.

        ``POST /v1/sys/wrapping/lookup`` and ``POST /v1/sys/wrapping/unwrap`` (Vault API:
        "Wrapping Lookup", "Wrapping Unwrap"). A cancelled call may have opened it; the next
        one finds out.

        Raises:
            WrappedSecretIdLost: it cannot be opened, or must not be.
            VaultUnavailable: Vault could not be asked, or its answer was lost; the next call
                finds out whether the token is open.
        """
        if self._wrapping_token != wrapping_token:
            self._wrapping_token = self._secret_id = None
        if self._secret_id is None:
            await self._check_origin(transport, wrapping_token)
            self._secret_id = await self._open(transport, wrapping_token)
        return self._secret_id

    async def _check_origin(self, transport: Transport, wrapping_token: SecretValue) -> None:
        answer = await transport.send(
            VaultRequest(
                method="POST",
                path=ApiPath.of("sys", "wrapping", "lookup"),
                # As X-Vault-Token it would be spent: every request counts as its one use.
                body={"token": wrapping_token.reveal()},
                repeatable=True,
            )
        )
        # OpenBao 2.7.2 says 204, without a word of its origin, while another is opening it
        # (`test_approle.py` holds it).
        if not answer.ok or answer.status == 204:
            ours = self._wrapping_token is not None
            raise self._lost("unanswered" if ours else "used")
        if not self._is_ours(answer.data.get("creation_path")):
            raise self._lost("foreign")

    def _is_ours(self, creation_path: object) -> bool:
        """Whether it is ``auth/{mount}/role/{name}/secret-id``; of the role we know the id only."""
        if not isinstance(creation_path, str):
            return False
        head, tail = f"auth/{self._mount}/role/", "/secret-id"
        name = creation_path.removeprefix(head).removesuffix(tail)
        return creation_path == f"{head}{name}{tail}" and bool(name) and "/" not in name

    async def _open(self, transport: Transport, wrapping_token: SecretValue) -> SecretValue:
        # From here on it may be we who used it, however this ends.
        self._wrapping_token = wrapping_token
        try:
            answer = await transport.send(
                VaultRequest(method="POST", path=ApiPath.of("sys", "wrapping", "unwrap")),
                token=wrapping_token,
            )
        except VaultUnavailable:
            self._wrapping_token = None  # nothing was done: who uses it now is somebody else
            raise
        except OutcomeUnknown:
            raise VaultUnavailable("timeout") from None
        if not answer.ok or answer.status == 204:
            # It was whole at the lookup, so somebody was quicker by milliseconds.
            self._wrapping_token = None
            raise self._lost("used")
        secret_id = answer.data.get("secret_id")
        if not isinstance(secret_id, str) or not secret_id:
            raise VaultProtocolError
        return SecretValue(secret_id)

    def _lost(self, reason: LostReason) -> WrappedSecretIdLost:
        # Logged too, since it is an event for the security people, whoever catches the error.
        _log.error("auth.secret_id_lost", extra={"reason": reason, "mount": self._mount})
        return WrappedSecretIdLost(reason, setting=self._setting)
