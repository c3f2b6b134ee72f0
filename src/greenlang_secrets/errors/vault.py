"""What is wrong with Vault, or with the way to it."""

from __future__ import annotations

from typing import Literal

from greenlang_secrets.errors.root import SecretsError

__all__ = [
    "AuthenticationLost",
    "OutcomeUnknown",
    "UnavailableReason",
    "VaultError",
    "VaultProtocolError",
    "VaultRefused",
    "VaultUnavailable",
]

UnavailableReason = Literal["sealed", "standby", "network", "timeout", "overloaded", "audit", "tls"]
"""Why Vault gives no answer; a closed set, so that it may be a metric label."""


class VaultError(SecretsError):
    """Vault, or the way to it, is at fault."""

    code = "vault"


class VaultUnavailable(VaultError):
    """Vault gives no answer now; nothing was changed by this call.

    Attributes:
        reason: sealed, standby, network, timeout, overloaded, audit or tls.
    """

    code = "vault_unavailable"
    retryable = True

    def __init__(
        self,
        reason: UnavailableReason,
        *,
        path: object | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.reason: UnavailableReason = reason
        self.retry_after = retry_after
        super().__init__(_UNAVAILABLE[reason], path=path, reason=reason)


_UNAVAILABLE: dict[UnavailableReason, str] = {
    "sealed": "Vault is sealed or not initialised; it must be unsealed.",
    "standby": "No active Vault node is known; an election may be going on.",
    "network": "Vault cannot be reached; check VAULT_ADDR and the network.",
    "timeout": "Vault did not answer in time.",
    "overloaded": "Vault, or the queue before it, is full.",
    "audit": "Vault fails (500); look at its audit device, its storage, and the database behind it.",
    "tls": "The TLS connection to Vault failed; check VAULT_CACERT and the certificates.",
}


class VaultProtocolError(VaultError):
    """The answer is not one of Vault's: not JSON, too large, or of an unknown shape."""

    code = "vault_protocol"
    text = "The answer does not look like Vault's; check that VAULT_ADDR names a Vault server."


class VaultRefused(VaultError):
    """Vault refused a request as malformed: a fault of this library or of Vault's set-up."""

    code = "vault_refused"
    text = "Vault refused the request."

    def __init__(self, text: str | None = None, *, status: int, path: object | None = None) -> None:
        self.status = status
        super().__init__(text, path=path, status=status)


class AuthenticationLost(VaultError):
    """Vault no longer accepts this service's login; its token, role or secret id needs care."""

    code = "authentication_lost"
    retryable = True
    text = "Vault does not accept this service's login; check its token, role id or secret id."


class OutcomeUnknown(VaultError):
    """A write was sent and no answer came: it may have happened. Read, then decide."""

    code = "outcome_unknown"
    text = "The write may or may not have happened; read the secret and compare its version."
