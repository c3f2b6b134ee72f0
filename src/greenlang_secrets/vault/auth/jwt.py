"""Auth method jwt: a signed JWT of an issuer that Vault trusts, for OIDC workloads too."""

from __future__ import annotations

from pathlib import Path

from greenlang_secrets.settings import PREFIX
from greenlang_secrets.transport import Transport
from greenlang_secrets.vault.auth.login import AuthMethod, LoginEndpoint, VaultToken
from greenlang_secrets.vault.auth.secret_file import read_secret

__all__ = ["JwtAuth"]


class JwtAuth(AuthMethod):
    """A JWT from a file that is read anew at each login, since its issuer replaces it often.

    ``POST /v1/auth/{mount}/login`` (Vault API: JWT/OIDC, "JWT Login"); without a role the
    mount's `default_role` is used. The browser's OIDC flow is not for services.
    """

    def __init__(self, *, jwt_file: Path, role: str | None = None, mount: str = "jwt") -> None:
        self._jwt_file = jwt_file
        self._role = role
        self._endpoint = LoginEndpoint(
            mount,
            check=f"{PREFIX}AUTH_ROLE, and the JWT's issuer, audience, claims and expiry "
            "against that role",
        )

    async def login(self, transport: Transport) -> VaultToken:
        """Return the token of a new login."""
        jwt = await read_secret(self._jwt_file, f"{PREFIX}AUTH_JWT_FILE")
        return await self._endpoint.log_in(transport, {"role": self._role, "jwt": jwt})
