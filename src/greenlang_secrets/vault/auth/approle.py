"""Auth method approle: a role id and a secret id, plain in a file or wrapped."""

from __future__ import annotations

from pathlib import Path

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.settings import PREFIX
from greenlang_secrets.transport import Transport
from greenlang_secrets.vault.auth.login import AuthMethod, LoginEndpoint, VaultToken
from greenlang_secrets.vault.auth.secret_file import read_secret
from greenlang_secrets.vault.auth.wrapping import WrappedSecretId

__all__ = ["AppRoleAuth"]

_FILE = f"{PREFIX}AUTH_SECRET_ID_FILE"
_WRAPPED_FILE = f"{PREFIX}AUTH_WRAPPED_SECRET_ID_FILE"


class AppRoleAuth(AuthMethod):
    """A role id, and a secret id from a file that is read anew at each login.

    ``POST /v1/auth/{mount}/login`` (Vault API: AppRole, "Login With AppRole"). A used-up or
    wrong secret id answers 400, not 403.

    A wrapped secret id comes in a file with its wrapping token, which opens once: the secret
    id is unwrapped at the first login and kept in memory for the later ones, until the file
    holds another wrapping token. So each start of the service needs a new one.
    """

    def __init__(
        self,
        *,
        role_id: str,
        secret_id_file: Path | None = None,
        wrapped_secret_id_file: Path | None = None,
        mount: str = "approle",
    ) -> None:
        if secret_id_file is not None and wrapped_secret_id_file is not None:
            raise ConfigurationError(
                "The auth method approle takes a secret id's file or a wrapped one's, not both."
            )
        self._role_id = role_id
        self._secret_id_file = secret_id_file
        self._wrapped_file = wrapped_secret_id_file
        self._wrapped = WrappedSecretId(mount, setting=_WRAPPED_FILE)
        self._endpoint = LoginEndpoint(
            mount, check=f"{PREFIX}AUTH_ROLE, which is the role id, and the secret id"
        )

    async def login(self, transport: Transport) -> VaultToken:
        """Return the token of a new login.

        Raises:
            WrappedSecretIdLost: the wrapping token was used, has expired, or was made by
                somebody else; an alarm, see there.
            SecretsError: as `AuthMethod.login`.
        """
        secret_id = await self._secret_id(transport)
        return await self._endpoint.log_in(
            transport, {"role_id": self._role_id, "secret_id": secret_id}
        )

    async def _secret_id(self, transport: Transport) -> SecretValue | None:
        if self._wrapped_file is not None:
            wrapping_token = await read_secret(self._wrapped_file, _WRAPPED_FILE)
            return await self._wrapped.unwrap(transport, wrapping_token)
        if self._secret_id_file is not None:
            return await read_secret(self._secret_id_file, _FILE)
        return None
