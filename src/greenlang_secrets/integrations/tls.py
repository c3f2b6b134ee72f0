"""TLS contexts that follow a certificate: the same context presents the newest one.

A context is given to a client's session or to a server once. OpenSSL takes another certificate
into a context in use, for handshakes that begin after that, so neither is made anew.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from weakref import finalize, ref

from greenlang_secrets.credentials import TlsCertificate
from greenlang_secrets.held import Held, soon
from greenlang_secrets.model import Secret
from greenlang_secrets.view import SecretsView

__all__ = ["client_context", "present", "server_context"]

Source = str | Held[TlsCertificate]


async def client_context(secrets: SecretsView, source: Source) -> ssl.SSLContext:
    """Return a context for clients, such as aiohttp's and httpx's sessions, that presents what
    `source` holds, now and after each change.

    `source` is the path of a secret of the type `certificate`, or a handle of
    `SecretsService.hold_certificate`, which the context keeps. Servers are verified by the
    certificate's chain, or by the system's authorities where it has none; what a new
    certificate's chain has is trusted, too, from then on, and the old one's until the context
    is made anew.

    Connections that are open go on with the certificate they began with. A new certificate that
    cannot be used is logged by its error's class, and the one before is presented on. It ends
    with the service, or when the context is dropped.

    Use it in the event loop of `secrets`.

    Raises:
        SecretTypeMismatch, SecretIncomplete: the secret is no certificate with its key.
        SecretsError: what `SecretsView.get` raises.
    """
    following = await _Following.open(secrets, source)
    return await following.made(ssl.Purpose.SERVER_AUTH, trust=True)


async def server_context(
    secrets: SecretsView, source: Source, *, verify_client: bool = False
) -> ssl.SSLContext:
    """Return a context for servers; the rest is as for `client_context`.

    With `verify_client` a client must have a certificate of the chain's authorities (mutual TLS).

    Raises:
        SecretsError: as `client_context`.
    """
    following = await _Following.open(secrets, source)
    return await following.made(ssl.Purpose.CLIENT_AUTH, trust=verify_client)


async def present(secrets: SecretsView, source: Source, context: ssl.SSLContext) -> None:
    """Have a context of your own present what `source` holds, now and after each change.

    Whom it trusts, and all its settings, stay yours; the rest is as for `client_context`.

    Raises:
        SecretsError: as `client_context`.
    """
    following = await _Following.open(secrets, source)
    await following.follow(context, trust=False)


class _Following:
    """A certificate, and the context that presents it."""

    def __init__(
        self,
        held: Held[TlsCertificate] | Held[Secret],
        look: Callable[[], TlsCertificate],
    ) -> None:
        self._held = held
        self._look = look
        self._stops: list[Callable[[], None]] = []
        self._presented: TlsCertificate | None = None

    @classmethod
    async def open(cls, secrets: SecretsView, source: Source) -> _Following:
        if isinstance(source, Held):
            handle = source
            return cls(handle, lambda: handle.current)
        path = source
        await secrets.get_typed(path, TlsCertificate)
        held = await secrets.hold(path)
        following = cls(held, lambda: secrets.as_typed(held.current, TlsCertificate))
        # Told while it is in use: a rotation keeps the old certificate that long.
        following._stops.append(secrets.uses(path, name="tls", version=lambda: following._version))
        return following

    @property
    def _version(self) -> int | None:
        return None if self._presented is None else self._presented.version

    async def made(self, purpose: ssl.Purpose, *, trust: bool) -> ssl.SSLContext:
        """Make a context, and follow for as long as it lives."""
        certificate = self._look()
        context = await asyncio.to_thread(
            certificate.ssl_context,
            purpose,
            verify_client=trust and purpose is ssl.Purpose.CLIENT_AUTH,
        )
        self._presented = certificate
        await self.follow(context, trust=trust)
        return context

    async def follow(self, context: ssl.SSLContext, *, trust: bool) -> None:
        """Have the context present what there is now, and each change, for as long as it lives."""
        living = ref(context)

        async def changed(*_: object) -> None:
            if (own := living()) is not None:
                await self._take(own, trust=trust)

        self._stops.append(self._held.on_change(changed))
        # Not at the interpreter's end: the loop is gone by then, and the service with it.
        finalize(context, soon, asyncio.get_running_loop(), self._stop).atexit = False
        if self._look() is not self._presented:
            await self._take(context, trust=trust)

    async def _take(self, context: ssl.SSLContext, *, trust: bool) -> None:
        certificate = self._look()
        await certificate.present_in(context)
        if trust and certificate.chain:
            context.load_verify_locations(cadata="\n".join(certificate.chain))
        self._presented = certificate

    def _stop(self) -> None:
        for stop in self._stops:
            stop()
        self._stops.clear()  # they know of this, and would keep what is held until a collection
