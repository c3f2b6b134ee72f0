"""Certificates with their private keys, and TLS contexts made of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from greenlang_secrets.credentials.certificate_dates import not_after_of
from greenlang_secrets.credentials.fields import needed, optional_text, text
from greenlang_secrets.credentials.origin import Credentials, origin_of
from greenlang_secrets.errors import SecretIncomplete
from greenlang_secrets.model import Secret
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.vault.pki import IssuedCertificate

__all__ = ["TlsCertificate"]

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TlsCertificate(Credentials):
    """A certificate, its private key, and those who stand above it.

    From a secret of the type `certificate`: ``certificate`` and ``private_key`` are needed,
    ``ca_chain`` may be missing; all are PEM. Of the first and the last only certificates are
    taken, whatever else stands there; further ones in ``certificate`` begin the chain.

    Attributes:
        certificate: PEM.
        private_key: PEM, without a passphrase.
        chain: PEM of the issuer and those above it; empty where there is none.
        not_after: the last moment at which the certificate is valid.
    """

    certificate: str = field(repr=False)
    private_key: SecretValue
    chain: tuple[str, ...] = field(default=(), repr=False)
    not_after: datetime

    @classmethod
    def of(cls, secret: Secret) -> Self:
        """Return what a secret of the type `certificate` holds.

        Raises:
            SecretIncomplete: a field that is needed is missing, or ``certificate`` is none.
        """
        own = _PEM.findall(text(secret, "certificate"))
        not_after: datetime | None = None
        with contextlib.suppress(ValueError):
            not_after = not_after_of(own[0]) if own else None
        if not_after is None:
            raise SecretIncomplete("certificate", wanted="a certificate in PEM", path=secret.path)
        above = _PEM.findall(optional_text(secret, "ca_chain") or "")
        return cls(
            certificate=own[0],
            private_key=needed(secret, "private_key"),
            chain=(*own[1:], *above),
            not_after=not_after,
            **origin_of(secret),
        )

    @classmethod
    def issued(cls, issued: IssuedCertificate) -> Self:
        """Return what Vault's PKI engine has just made."""
        return cls(
            certificate=issued.certificate,
            private_key=issued.private_key,
            chain=issued.chain,
            not_after=issued.not_after,
        )

    def ssl_context(
        self,
        purpose: ssl.Purpose = ssl.Purpose.CLIENT_AUTH,
        *,
        verify_client: bool = False,
    ) -> ssl.SSLContext:
        """Return a context that presents this certificate.

        `purpose` is Python's: `CLIENT_AUTH` for a server (it may authenticate clients), which is
        the default, and `SERVER_AUTH` for a client. Who is on the other side is verified by
        `chain` alone, or by the system's authorities where there is none: a client always
        verifies, a server does where `verify_client` is set (mutual TLS).

        OpenSSL reads keys from files only. On Linux that is one in memory (memfd), which has no
        name; elsewhere a temporary one with mode 0600, removed at once. It takes a few
        milliseconds of the processor, so call it at start and at each renewal, not for each
        connection; the context holds the key in OpenSSL's memory.

        Raises:
            SecretIncomplete: `private_key` is not the certificate's key, has a passphrase, or
                one of the chain is no certificate.
        """
        authorities = "\n".join(self.chain) or None
        context: ssl.SSLContext | None = None
        with contextlib.suppress(ssl.SSLError):
            context = ssl.create_default_context(purpose, cadata=authorities)
        if context is None:
            raise SecretIncomplete("ca_chain", wanted="certificates in PEM", path=self.path)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if verify_client:
            context.verify_mode = ssl.CERT_REQUIRED
        self._load_into(context)
        return context

    async def present_in(self, context: ssl.SSLContext) -> None:
        """Have a context that is in use present this certificate, on connections made from then on;
        open ones go on with theirs. Whom the context trusts stays as it is.

        Call it in the event loop that the context's connections are made in: OpenSSL changes a
        context for one thread at a time. What takes long is done in another thread before.

        Raises:
            SecretIncomplete: as `ssl_context`; the context presents what it did before.
        """
        with contextlib.ExitStack() as stack:
            file = await asyncio.to_thread(self._tried, stack)
            context.load_cert_chain(file, password="")

    def _tried(self, stack: contextlib.ExitStack) -> str:
        """The name of a file that OpenSSL takes; after a refusal it would leave a certificate
        without its key in the context.
        """
        self._load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return stack.enter_context(self._as_file())

    def _load_into(self, context: ssl.SSLContext) -> None:
        loaded = False
        with contextlib.suppress(ssl.SSLError), self._as_file() as file:
            # Without a passphrase given OpenSSL would ask for it at the terminal.
            context.load_cert_chain(file, password="")
            loaded = True
        if not loaded:
            raise SecretIncomplete(
                "private_key", wanted="the certificate's key, in PEM", path=self.path
            )

    @contextlib.contextmanager
    def _as_file(self) -> Iterator[str]:
        """The name of a file with the key, the certificate and its chain, while it is open."""
        parts = (self.private_key.reveal(), self.certificate, *self.chain)
        octets = "".join(f"{part.strip()}\n" for part in parts).encode()
        if hasattr(os, "memfd_create"):
            with os.fdopen(os.memfd_create("certificate"), "wb") as file:
                file.write(octets)
                file.flush()
                yield f"/proc/self/fd/{file.fileno()}"
        else:
            with tempfile.NamedTemporaryFile() as file:  # 0600
                file.write(octets)
                file.flush()
                yield file.name
