"""What a doctor finds: one finding for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Cause", "Diagnosis", "Finding", "Level"]


class Level(StrEnum):
    """How it is with one thing."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """What is wrong; a closed set, so that a program may act on it."""

    CONFIGURATION = "configuration"
    WRONG_ADDRESS = "wrong_address"
    NOT_VAULT = "not_vault"
    NO_TLS = "no_tls"
    WRONG_CA = "wrong_ca"
    WRONG_HOST_NAME = "wrong_host_name"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CLIENT_CERTIFICATE = "client_certificate"
    NOT_INITIALISED = "not_initialised"
    SEALED = "sealed"
    CLOCK_SKEW = "clock_skew"
    VAULT_FAILS = "vault_fails"
    LOGIN_REFUSED = "login_refused"
    TOKEN_ENDS = "token_ends"  # noqa: S105  no token
    WRONG_MOUNT = "wrong_mount"
    MISSING_CAPABILITY = "missing_capability"
    NO_AUDIT_DEVICE = "no_audit_device"
    AUDIT_LOG_UNWRITABLE = "audit_log_unwritable"
    AUDIT_LOG_FULL = "audit_log_full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How it is with one thing that was looked at. It holds no value and no token.

    Attributes:
        check: what was looked at: configuration, address, tls, seal, clock, login, mount,
            capability, audit_device or audit_log.
        subject: which one, such as an address or a path of Vault's API.
        what: what was seen.
        cause: what is wrong; None where nothing is, or nobody could look.
        fix: what to do; empty where nothing is to be done.
    """

    check: str
    subject: str
    level: Level
    what: str
    cause: Cause | None = None
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All findings, in the order in which one depends on another."""

    findings: tuple[Finding, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What must be mended."""
        return tuple(found for found in self.findings if found.level is Level.FAULT)

    @property
    def good(self) -> bool:
        """Whether nothing must be mended; warnings do not count."""
        return not self.faults
