"""Certificates from Vault's PKI engine: certificate, key and chain in one version of a secret.

There is no target to tell, and so no fence: whoever is late only issues a certificate that nobody
uses. The old one is valid to its own end, whatever happens here; it is revoked only where that is
asked for.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import anyio.to_thread

from greenlang_secrets.credentials import TlsCertificate
from greenlang_secrets.credentials.certificate_dates import serial_of
from greenlang_secrets.errors import (
    InvalidPath,
    NotRotatable,
    ObjectNotFound,
    RotationFailed,
    SecretIncomplete,
)
from greenlang_secrets.model import Secret, SecretType
from greenlang_secrets.paths import ApiPath
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
    switch,
    values_of,
)
from greenlang_secrets.rotation_model import RotationKind
from greenlang_secrets.sensitive import SecretMap
from greenlang_secrets.vault.client import VaultClient

__all__ = ["CertificateRotation", "check_handshake"]

_MOUNT: Final = "pki_int"
_SETTINGS: Final = ("role", "common_name", "alt_names", "ttl", "mount", "revoke")
_LONGEST_SHARE: Final = 2 / 3
"""Of a certificate's life at most, until it is replaced: the rest is for retries and the overlap."""

# What stands around it, and below it, is not looked at: as `TlsCertificate` reads it.
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")

_MESSAGES: Final = 10
"""Turns of a handshake at most; TLS 1.3 takes three."""


class CertificateRotation:
    """Rotates secrets of the type `certificate`.

    Settings: ``role`` of the PKI engine, ``common_name``, ``alt_names`` (names and addresses,
    joined by commas), ``ttl``, ``mount`` (``pki_int``), ``revoke`` (``false``).
    """

    kind = RotationKind.CERTIFICATE
    promotes = True

    def __init__(self, client: VaultClient, *, kv_mount: str) -> None:
        self._client = client
        self._kv_mount = kv_mount

    async def check(self, subject: Subject) -> None:
        """Return if the service may issue such a certificate, and each is replaced in time.

        Raises:
            NotRotatable: a setting is missing or wrong, the interval is too long for the
                certificate's life, or the service's policy does not allow it.
        """
        check_kind(subject, self.kind, *_SETTINGS)
        role = setting(subject, "role", "the role of the PKI engine that issues the certificate")
        setting(subject, "common_name", "the name that the certificate is for")
        life = seconds(subject, "ttl", "how long each certificate is to live, such as 72h")
        revoke = switch(subject, "revoke")
        interval = subject.policy.interval
        if interval > life * _LONGEST_SHARE:
            raise NotRotatable(
                f"The interval is {interval:g} s and the certificate's life {life:g} s; rotate "
                "within two thirds of it, or set a longer 'ttl'.",
                path=subject.path,
            )
        if interval * LONGEST + overlap_of(subject.policy, subject.promotion_gap) > life:
            raise NotRotatable(
                "The old certificate would end within the overlap; set a shorter interval or "
                "overlap, or a longer 'ttl'.",
                path=subject.path,
            )
        mount = _mount(subject.policy.settings)
        try:
            issue = ApiPath.of(mount, "issue", role)
        except InvalidPath:
            raise NotRotatable(
                "'mount' and 'role' are names of a PKI mount and of a role of it.",
                path=subject.path,
            ) from None
        wanted = [str(issue), *([f"{mount}/revoke"] if revoke else [])]
        for found in await self._client.capabilities.of_self(wanted):
            if not found.allows("update"):
                raise NotRotatable(
                    f"The service's Vault policy does not allow {found.path!r}; add it there.",
                    path=subject.path,
                )

    async def prepare(self, rotation: Rotation) -> Prepared:
        """Return a new certificate with a new key; the secret's other fields stay."""
        current = current_of(rotation)
        settings = rotation.settings
        names, addresses = _apart(_names(settings)[1:])
        issued = await self._client.pki(mount=_mount(settings)).issue(
            settings["role"],
            common_name=settings["common_name"],
            alt_names=names,
            ip_sans=addresses,
            ttl=duration(settings["ttl"]),
        )
        if issued.capped:  # it would end before it is replaced, and nobody would know
            raise RotationFailed("target_refused", path=rotation.path)
        candidate = SecretMap(
            {
                **values_of(current),
                "certificate": issued.certificate,
                "private_key": issued.private_key,
                "ca_chain": "\n".join(issued.chain),
            }
        )
        return Prepared(
            candidate=candidate,
            # Kept now: when the old one is revoked its version may be gone.
            notes={"old_serial": _serial(current)},
            not_after=issued.not_after,
        )

    async def apply(self, rotation: Rotation) -> Prepared:  # noqa: ARG002  # the protocol's
        """Do nothing: who checks certificates trusts their issuer."""
        return Prepared()

    async def verify(self, rotation: Rotation) -> None:
        """Return if a TLS handshake with the candidate succeeds for each of its names."""
        certificate: TlsCertificate | None = None
        try:
            certificate = TlsCertificate.of(
                Secret(
                    path=str(rotation.path),
                    version=rotation.base_version + 1,
                    data=candidate_of(rotation),
                    type=SecretType.CERTIFICATE,
                    created_at=datetime.now(UTC),
                    custom_metadata={},
                )
            )
            names = _names(rotation.settings)
            # Some milliseconds of the processor for each name.
            await anyio.to_thread.run_sync(check_handshake, certificate, names)
        except (SecretIncomplete, ssl.SSLError):
            raise RotationFailed("verify_failed", path=rotation.path) from None

    async def retire(self, rotation: Rotation) -> Prepared:
        """Revoke the old certificate where the policy says so and the secret does not hold it again;
        otherwise do nothing.
        """
        serial = rotation.notes.get("old_serial", "")
        if rotation.settings.get("revoke") == "true" and serial:
            if _serial(await live_data(self._client, self._kv_mount, rotation)) == serial:
                return Prepared(notes={"revoked": "in_use"})
            try:
                await self._client.pki(mount=_mount(rotation.settings)).revoke(serial)
            except ObjectNotFound:
                # Not from this mount, or of a role that stores none: nobody can revoke it.
                return Prepared(notes={"revoked": "unknown"})
        return Prepared()


def check_handshake(certificate: TlsCertificate, names: Iterable[str]) -> None:
    """Return if a client that trusts the certificate's chain and nothing else completes a TLS
    handshake with a server that presents it, under each of `names`. A wildcard stands for one
    name below it.

    The two speak through memory: that is the same handshake as over a socket, and waits for nobody.
    Takes some milliseconds of the processor for each name; call it in a thread.

    Raises:
        ssl.SSLError: the chain does not lead to the certificate, it is not valid now, is not for
            servers, or has another name.
        SecretIncomplete: the key is not the certificate's, or there is no chain.
    """
    if not certificate.chain:
        raise SecretIncomplete("ca_chain", path=certificate.path)
    server = certificate.ssl_context()
    client = ssl.create_default_context(cadata="\n".join(certificate.chain))
    # The chain may end below the root.
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    for name in names:
        _shake_hands(server, client, name.replace("*", "any"))


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    waiting = [
        client.wrap_bio(down, up, server_hostname=name),
        server.wrap_bio(up, down, server_side=True),
    ]
    for _ in range(_MESSAGES):
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            return
    raise ssl.SSLError("the handshake does not end")


def _names(settings: Mapping[str, str]) -> tuple[str, ...]:
    """The common name, and then the others."""
    others = (name.strip() for name in settings.get("alt_names", "").split(","))
    return (settings["common_name"], *(name for name in others if name))


def _apart(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Host names, and addresses, which a certificate holds in another place."""
    hosts: list[str] = []
    addresses: list[str] = []
    for name in names:
        try:
            ipaddress.ip_address(name)
        except ValueError:
            hosts.append(name)
        else:
            addresses.append(name)
    return tuple(hosts), tuple(addresses)


def _mount(settings: Mapping[str, str]) -> str:
    return settings.get("mount") or _MOUNT


def _serial(current: SecretMap) -> str:
    """The serial number of the old certificate; empty where the secret held none."""
    text = current["certificate"].reveal() if "certificate" in current else ""
    found = _PEM.search(text)
    try:
        return "" if found is None else serial_of(found[0])
    except ValueError:
        return ""
