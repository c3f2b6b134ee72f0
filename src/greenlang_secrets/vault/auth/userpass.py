"""Auth method userpass: a name and a password, for places that have nothing better."""

from __future__ import annotations

from pathlib import Path

from greenlang_secrets.settings import PREFIX
from greenlang_secrets.transport import Transport
from greenlang_secrets.vault.auth.login import AuthMethod, LoginEndpoint, VaultToken
from greenlang_secrets.vault.auth.secret_file import read_secret

__all__ = ["UserpassAuth"]


class UserpassAuth(AuthMethod):
    """A user, and the password from a file that is read anew at each login.

    ``POST /v1/auth/{mount}/login/{username}`` (Vault API: Userpass, "Login"). White space
    around the password is not part of it.
    """

    def __init__(self, *, username: str, password_file: Path, mount: str = "userpass") -> None:
        self._password_file = password_file
        self._endpoint = LoginEndpoint(
            mount, username=username, check=f"{PREFIX}AUTH_USERNAME and the password"
        )

    async def login(self, transport: Transport) -> VaultToken:
        """Return the token of a new login."""
        password = await read_secret(
            self._password_file, f"{PREFIX}AUTH_PASSWORD_FILE", kind="line"
        )
        return await self._endpoint.log_in(transport, {"password": password})
