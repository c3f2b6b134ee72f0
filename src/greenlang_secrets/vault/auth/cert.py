"""Auth method cert: the client certificate that the transport shows in its TLS handshake."""

from __future__ import annotations

from greenlang_secrets.settings import PREFIX
from greenlang_secrets.transport import Transport
from greenlang_secrets.vault.auth.login import AuthMethod, LoginEndpoint, VaultToken

__all__ = ["CertAuth"]


class CertAuth(AuthMethod):
    """The certificate of VAULT_CLIENT_CERT; the role is the certificate role's name.

    ``POST /v1/auth/{mount}/login`` (Vault API: TLS certificates, "Login with TLS
    certificate"); without a role Vault tries all that fit. A proxy that ends TLS before
    Vault keeps the certificate from it.
    """

    def __init__(self, *, role: str | None = None, mount: str = "cert") -> None:
        self._role = role
        self._endpoint = LoginEndpoint(
            mount,
            check=f"VAULT_CLIENT_CERT, {PREFIX}AUTH_ROLE, and that no proxy ends TLS before Vault",
        )

    async def login(self, transport: Transport) -> VaultToken:
        """Return the token of a new login."""
        return await self._endpoint.log_in(transport, {"name": self._role})
