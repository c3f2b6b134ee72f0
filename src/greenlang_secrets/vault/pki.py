"""The PKI engine: certificates issued, signed, revoked and read.

Vault shortens what lives too long without an error: a role's `max_ttl` cuts a certificate with
a warning only. So every result carries the end that the certificate really has, and `capped`
says whether it is earlier than asked for. Roles are left to `pki_roles`; making a CA is left to
whoever owns it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from greenlang_secrets.errors import InvalidRequest
from greenlang_secrets.model import Lease
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport import VaultRequest, VaultResponse
from greenlang_secrets.vault.answers import (
    Call,
    Fields,
    accepted,
    given,
    lease_of,
    names_of,
    read_object,
    ttl_text,
    warnings_of,
    why_refused,
)
from greenlang_secrets.vault.pki_roles import PkiRoles

__all__ = ["Certificate", "IssuedCertificate", "Pki", "SignedCertificate"]

CLOCK_TOLERANCE: Final = 30.0
"""Seconds that our clock and Vault's may differ before `capped` says something wrong."""

# Two pairs at least: "ca" is one, and ``cert/ca`` is another request.
_SERIAL: Final = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){1,31}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCertificate:
    """A certificate for a key that Vault has not seen.

    Attributes:
        certificate: PEM.
        issuing_ca: PEM.
        chain: PEM of the issuer and those above it; the issuer alone where Vault gives none.
        not_after: the end the certificate really has.
        lifetime: seconds to `not_after` when it was issued, by our clock; renew at two thirds.
        capped: whether Vault gave it less than was asked for.
        lease: only for roles with ``generate_lease``; never renewable.
        warnings: Vault's words, for an operator.
    """

    certificate: str
    issuing_ca: str
    chain: tuple[str, ...]
    serial_number: str
    not_after: datetime
    lifetime: float
    capped: bool
    lease: Lease | None
    warnings: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IssuedCertificate(SignedCertificate):
    """A certificate with its private key, which Vault gives once and does not keep.

    Attributes:
        private_key: PEM.
        private_key_type: such as rsa or ec.
    """

    private_key: SecretValue
    private_key_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate that Vault has stored.

    Attributes:
        certificate: PEM.
        revoked_at: None if it is not revoked.
    """

    certificate: str
    revoked_at: datetime | None


class Pki:
    """One PKI mount, spoken to with one token; `call` sends a request with that token.

    Every method also raises what `TokenHolder.call` raises, and `VaultRefused` where the mount
    does not exist.

    Attributes:
        roles: what may be issued.
    """

    def __init__(self, call: Call, *, mount: str = "pki") -> None:
        self.roles = PkiRoles(call, mount=mount)
        self._call = call
        self._mount = mount

    # ------------------------------------------------------------ issue and revoke

    async def issue(
        self,
        role: str,
        *,
        common_name: str,
        alt_names: Sequence[str] = (),
        ip_sans: Sequence[str] = (),
        uri_sans: Sequence[str] = (),
        ttl: float | None = None,
        exclude_cn_from_sans: bool = False,
    ) -> IssuedCertificate:
        """Return a new certificate and its private key; `ttl` in seconds, the role's when None.

        ``POST /v1/{mount}/issue/{name}`` (Vault API: PKI, "Generate Certificate and Key"). An
        attempt without answer is repeated: a certificate whose key nobody has harms nobody.

        Raises:
            ObjectNotFound: there is no such role.
            VaultRefused: the role does not allow a name, or the certificate would outlive
                its CA.
            AccessDenied: the token's policies do not allow it.
        """
        body = _names(
            common_name=common_name,
            alt_names=alt_names,
            ip_sans=ip_sans,
            uri_sans=uri_sans,
            ttl=ttl,
            exclude_cn_from_sans=exclude_cn_from_sans,
        )
        answer = await self._make("issue", role, body)
        fields = accepted(answer)
        return IssuedCertificate(
            **_signed(answer, ttl),
            private_key=fields.secret("private_key"),
            private_key_type=fields.text("private_key_type"),
        )

    async def sign(
        self,
        role: str,
        *,
        csr: str,
        common_name: str,
        alt_names: Sequence[str] = (),
        ip_sans: Sequence[str] = (),
        uri_sans: Sequence[str] = (),
        ttl: float | None = None,
        exclude_cn_from_sans: bool = False,
    ) -> SignedCertificate:
        """Return a certificate for the key of a request (PKCS#10, PEM), as the role allows it.

        ``POST /v1/{mount}/sign/{name}`` (Vault API: PKI, "Sign Certificate").

        Raises:
            ObjectNotFound: there is no such role.
            VaultRefused: `csr` is not one, or as `issue`.
            AccessDenied: the token's policies do not allow it.
        """
        body = _names(
            common_name=common_name,
            alt_names=alt_names,
            ip_sans=ip_sans,
            uri_sans=uri_sans,
            ttl=ttl,
            exclude_cn_from_sans=exclude_cn_from_sans,
        )
        answer = await self._make("sign", role, {**body, "csr": csr})
        return SignedCertificate(**_signed(answer, ttl))

    async def revoke(self, serial_number: str) -> datetime:
        """Return when the certificate was revoked; of one that is, the time it was.

        ``POST /v1/{mount}/revoke`` (Vault API: PKI, "Revoke Certificate").

        Raises:
            InvalidRequest: it is not a serial number: hex pairs joined by ``:`` or ``-``.
            ObjectNotFound: there is no such certificate, or its role stores none.
            AccessDenied: the token's policies do not allow it.
        """
        path = self._cert(serial_number)
        answer = await self._call(
            VaultRequest(
                method="POST",
                path=ApiPath.of(self._mount, "revoke"),
                body={"serial_number": serial_number.replace("-", ":")},
                repeatable=True,
            )
        )
        if not answer.ok:
            raise await why_refused(self._call, answer, path, "certificate")
        return accepted(answer).moment("revocation_time")

    # ------------------------------------------------------------ read

    async def ca(self) -> str:
        """Return the certificate of the default issuer, in PEM.

        ``GET /v1/{mount}/cert/ca`` (Vault API: PKI, "Read Issuer Certificate").

        Raises:
            VaultRefused: the mount has no issuer yet.
        """
        return await self._public("ca", "certificate")

    async def ca_chain(self) -> str:
        """Return the chain of the default issuer, issuer first, as PEM after PEM.

        ``GET /v1/{mount}/cert/ca_chain`` (Vault API: PKI, "Read Issuer Certificate").

        Raises:
            VaultRefused: the mount has no issuer yet.
        """
        return await self._public("ca_chain", "certificate")

    async def crl(self) -> str:
        """Return the list of revoked certificates, in PEM.

        ``GET /v1/{mount}/cert/crl`` (Vault API: PKI, "Read Issuer CRL").

        Raises:
            VaultUnavailable: the mount has no issuer yet, to which OpenBao 2.7.2 says 500.
        """
        return await self._public("crl", "certificate")

    async def read(self, serial_number: str) -> Certificate:
        """Return a stored certificate.

        ``GET /v1/{mount}/cert/{serial}`` (Vault API: PKI, "Read Certificate").

        Raises:
            InvalidRequest: it is not a serial number.
            ObjectNotFound: there is no such certificate, or its role stores none.
        """
        fields = await read_object(self._call, self._cert(serial_number), "certificate")
        return Certificate(
            certificate=fields.text("certificate"),
            revoked_at=fields.moment_or_none("revocation_time"),
        )

    async def list(self) -> tuple[str, ...]:
        """Return the serial numbers of all stored certificates, joined by ``:``.

        ``LIST /v1/{mount}/certs`` (Vault API: PKI, "List Certificates").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        path = ApiPath.of(self._mount, "certs")
        return names_of(await self._call(VaultRequest(method="LIST", path=path)))

    # ------------------------------------------------------------ tidy

    async def tidy(
        self,
        *,
        cert_store: bool = True,
        revoked_certs: bool = True,
        safety_buffer: float = 72 * 3600.0,
    ) -> None:
        """Start to remove what ended more than `safety_buffer` seconds ago; does not wait.

        ``POST /v1/{mount}/tidy`` (Vault API: PKI, "Tidy").

        Raises:
            AccessDenied: the token's policies do not allow it.
        """
        body = {
            "tidy_cert_store": cert_store,
            "tidy_revoked_certs": revoked_certs,
            "safety_buffer": ttl_text(safety_buffer),
        }
        path = ApiPath.of(self._mount, "tidy")
        request = VaultRequest(method="POST", path=path, body=body, repeatable=True)
        accepted(await self._call(request))

    async def _make(self, what: str, role: str, body: dict[str, Any]) -> VaultResponse:
        path = ApiPath.of(self._mount, what, role)
        request = VaultRequest(method="POST", path=path, body=body, repeatable=True)
        answer = await self._call(request)
        if not answer.ok:
            raise await why_refused(
                self._call, answer, ApiPath.of(self._mount, "roles", role), "role"
            )
        return answer

    async def _public(self, what: str, name: str) -> str:
        path = ApiPath.of(self._mount, "cert", what)
        return accepted(await self._call(VaultRequest(method="GET", path=path))).text(name)

    def _cert(self, serial_number: str) -> ApiPath:
        if _SERIAL.match(serial_number) is None:
            raise InvalidRequest("A serial number is hex pairs joined by ':' or '-'.")
        return ApiPath.of(self._mount, "cert", serial_number.replace(":", "-"))


def _names(
    *,
    common_name: str,
    alt_names: Sequence[str],
    ip_sans: Sequence[str],
    uri_sans: Sequence[str],
    ttl: float | None,
    exclude_cn_from_sans: bool,
) -> dict[str, Any]:
    return given(
        common_name=common_name,
        alt_names=",".join(alt_names),
        ip_sans=",".join(ip_sans),
        uri_sans=",".join(uri_sans),
        ttl=ttl_text(ttl),
        exclude_cn_from_sans=exclude_cn_from_sans,
    )


def _signed(answer: VaultResponse, ttl: float | None) -> dict[str, Any]:
    """What both results have; `expiration` is the certificate's own notAfter."""
    fields: Fields = accepted(answer)
    not_after = fields.moment("expiration")
    lifetime = not_after.timestamp() - time.time()
    issuing_ca = fields.text("issuing_ca")
    lease = lease_of(answer)
    return {
        "certificate": fields.text("certificate"),
        "issuing_ca": issuing_ca,
        "chain": fields.texts("ca_chain", absent=(issuing_ca,)),
        "serial_number": fields.text("serial_number"),
        "not_after": not_after,
        "lifetime": lifetime,
        "capped": ttl is not None and lifetime + CLOCK_TOLERANCE < ttl,
        "lease": lease if lease.id else None,
        "warnings": warnings_of(answer),
    }
