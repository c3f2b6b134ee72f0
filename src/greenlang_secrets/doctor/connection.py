"""The way to Vault: each address on its own, from its name to the state of the node behind it.

The library's own errors say no more than "network" or "tls", because they may travel far. Here
the operator sits at the terminal, so the connection is made once more by hand, step by step.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.doctor.findings import Cause, Finding, Level
from greenlang_secrets.errors import ConfigurationError, VaultProtocolError, VaultUnavailable
from greenlang_secrets.transport import Transport
from greenlang_secrets.transport.certificates import Certificates
from greenlang_secrets.vault.sys import NodeHealth, Sys

__all__ = ["MAX_SKEW", "examine_address"]

MAX_SKEW: Final = 10.0
"""Seconds that two clocks may be apart: far more than NTP leaves, and far less than what logins
by JWT or AWS forgive."""

# X509_V_ERR_* of OpenSSL, x509_vfy.h.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_OTHER_NAME: Final = frozenset({62, 64})


async def examine_address(
    address: str, config: SecretsServiceConfig, clock: Callable[[], float]
) -> list[Finding]:
    """Return what is found at one address; `clock` gives seconds since the epoch.

    The last finding tells whether the node can be asked: it is no fault then.
    """
    alone = replace(config, addresses=(address,))
    parts = urlsplit(address)
    secure = parts.scheme == "https"
    place = (parts.hostname or "", parts.port or (443 if secure else 80))
    within = max(config.connect_timeout, 1.0)
    unreached = await _reach(address, place, within)
    if unreached is not None:
        return [unreached]
    found = [Finding(check="address", subject=address, level=Level.OK, what="it answers")]
    if secure:
        tls = await _secure(address, place, alone, within)
        found.append(tls)
        if tls.level is Level.FAULT:
            return found
    try:
        async with Transport(alone) as transport:
            begun = clock()
            health = await Sys(transport).health()
            ended = clock()
    except VaultUnavailable as error:
        return [*found, _unavailable(address, error)]
    except VaultProtocolError:
        return [*found, _fault("address", address, Cause.NOT_VAULT)]
    skew = health.server_time + 0.5 - (begun + ended) / 2  # Vault cuts its seconds off
    return [*found, _clock(address, skew), *_state(address, health)]


async def _reach(address: str, place: tuple[str, int], within: float) -> Finding | None:
    try:
        async with asyncio.timeout(within):
            _, writer = await asyncio.open_connection(*place)
    except TimeoutError:
        what = "nothing answers there in time"
    except (OSError, UnicodeError) as error:  # the latter for a name that no name can be
        refused = isinstance(error, ConnectionRefusedError)
        what = "nobody listens there" if refused else f"it cannot be reached: {_said(error)}"
    else:
        await _closed(writer)
        return None
    return replace(_fault("address", address, Cause.WRONG_ADDRESS), what=what)


def _said(error: OSError | UnicodeError) -> str:
    return getattr(error, "strerror", None) or "its name is none"


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, TimeoutError):  # how it ends is of no interest
        async with asyncio.timeout(1.0):
            await writer.wait_closed()


async def _secure(
    address: str, place: tuple[str, int], config: SecretsServiceConfig, within: float
) -> Finding:
    certificates = Certificates(config)
    try:
        await certificates.load()
    except ConfigurationError as error:
        return replace(_fault("tls", address, Cause.CONFIGURATION), what=str(error))
    try:
        async with asyncio.timeout(within):
            _, writer = await asyncio.open_connection(*place, ssl=certificates.context)
    except ssl.SSLCertVerificationError as error:
        what = f"its certificate is refused: {error.verify_message}"
        return replace(_fault("tls", address, _refusal(error.verify_code)), what=what)
    except ssl.SSLError as error:
        # What OpenSSL says of octets that are no TLS, such as an answer in plain HTTP.
        plain = error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}
        return _fault("tls", address, Cause.NO_TLS if plain else Cause.CLIENT_CERTIFICATE)
    except (TimeoutError, OSError):
        return _fault("tls", address, Cause.NO_TLS)
    version = writer.get_extra_info("ssl_object").version()
    await _closed(writer)
    return Finding(check="tls", subject=address, level=Level.OK, what=f"verified, {version}")


def _refusal(code: int) -> Cause:
    if code in {_EXPIRED, _NOT_YET_VALID}:
        return Cause.CERTIFICATE_EXPIRED
    return Cause.WRONG_HOST_NAME if code in _OTHER_NAME else Cause.WRONG_CA


def _unavailable(address: str, error: VaultUnavailable) -> Finding:
    """A node that took the connection, and does not say how it is."""
    match error.reason:
        case "tls":
            return _fault("tls", address, Cause.CLIENT_CERTIFICATE)
        case "network":
            return _fault("address", address, Cause.NOT_VAULT)
        case _:
            return replace(_fault("seal", address, Cause.VAULT_FAILS), what=str(error))


def _clock(address: str, skew: float) -> Finding:
    if abs(skew) <= MAX_SKEW:
        what = f"{abs(skew):.1f} s apart"
        return Finding(check="clock", subject=address, level=Level.OK, what=what)
    which = "behind" if skew > 0 else "ahead of"
    what = f"this machine's clock is {abs(skew):.0f} s {which} Vault's"
    return replace(_fault("clock", address, Cause.CLOCK_SKEW), what=what)


def _state(address: str, health: NodeHealth) -> list[Finding]:
    if not health.initialized:
        return [_fault("seal", address, Cause.NOT_INITIALISED)]
    if health.sealed:
        return [_fault("seal", address, Cause.SEALED)]
    role = "standby" if health.standby else "active"
    what = f"unsealed, {role}, version {health.version}"
    return [Finding(check="seal", subject=address, level=Level.OK, what=what)]


_FAULTS: Final[dict[Cause, tuple[str, str]]] = {
    Cause.CONFIGURATION: (
        "the settings of TLS cannot be used",
        "Set VAULT_CACERT, VAULT_CLIENT_CERT and VAULT_CLIENT_KEY to readable PEM files.",
    ),
    Cause.WRONG_ADDRESS: (
        "it cannot be reached",
        "Set VAULT_ADDR to Vault's base URL; is it right, look at name service and firewall.",
    ),
    Cause.NOT_VAULT: (
        "what answers there does not answer as Vault does",
        "Set VAULT_ADDR to Vault's base URL, without a path; a Vault with TLS needs https://.",
    ),
    Cause.NO_TLS: (
        "what answers there speaks no TLS",
        "Set VAULT_ADDR to the port that speaks TLS; a development server needs http://.",
    ),
    Cause.WRONG_CA: (
        "its certificate is signed by a CA that is not trusted",
        "Set VAULT_CACERT to the PEM file of the CA that signed Vault's certificate.",
    ),
    Cause.WRONG_HOST_NAME: (
        "its certificate is for another name",
        "Set VAULT_ADDR to a name in the certificate, or have Vault's certificate name this one.",
    ),
    Cause.CERTIFICATE_EXPIRED: (
        "its certificate is not valid now",
        "Renew Vault's certificate; if it is valid, set this machine's clock.",
    ),
    Cause.CLIENT_CERTIFICATE: (
        "the handshake was ended by Vault",
        "Set VAULT_CLIENT_CERT and VAULT_CLIENT_KEY to a certificate that Vault's listener accepts.",
    ),
    Cause.NOT_INITIALISED: ("it is not initialised", "Initialise it, and unseal it."),
    Cause.SEALED: (
        "it is sealed",
        "Unseal it with its unseal keys; with automatic unsealing look at the key service.",
    ),
    Cause.CLOCK_SKEW: (
        "the clocks are apart",
        "Run NTP on both; tokens and leases bear it, logins by JWT or AWS and certificates do not.",
    ),
    Cause.VAULT_FAILS: (
        "it fails",
        "Look into Vault's own log: its audit device, its storage, the election of a leader.",
    ),
}


def _fault(check: str, address: str, cause: Cause) -> Finding:
    what, fix = _FAULTS[cause]
    return Finding(check=check, subject=address, level=Level.FAULT, what=what, cause=cause, fix=fix)
