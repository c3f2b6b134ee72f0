"""Auth methods: each is one login request that gives a token.

An `AuthMethod` knows how to ask; when to ask is `vault.session`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import anyio.to_thread

from greenlang_secrets.config import AuthConfig
from greenlang_secrets.errors import AuthenticationLost, ConfigurationError, VaultProtocolError
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport import Transport, VaultRequest, VaultResponse

__all__ = ["AppRoleAuth", "AuthMethod", "TokenAuth", "VaultToken", "auth_method", "token_from_auth"]

_SECRET_FILE_LIMIT: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VaultToken:
    """A token and what Vault said of its life.

    Attributes:
        expires_at: monotonic seconds; infinity for a token without end (root).
        replace_at: when to get the next one: two thirds into its life, which leaves a
            third for trouble (the fraction of Vault's own LifetimeWatcher).
        ours: whether we made it by logging in, so that it is ours to revoke.
    """

    value: SecretValue
    accessor: str
    expires_at: float
    replace_at: float
    ours: bool


class AuthMethod(Protocol):
    """A way to get a token."""

    async def login(self, transport: Transport) -> VaultToken:
        """Return a new token.

        Raises:
            AuthenticationLost: Vault refused the credentials.
            VaultUnavailable: Vault could not be asked.
        """
        ...


class TokenAuth:
    """A token given as it is, or in a file that is read anew at each login.

    ``GET /v1/auth/token/lookup-self`` (Vault API: Token, "Lookup a Token (Self)") tells how
    long it lives.
    """

    def __init__(self, *, token: SecretValue | None = None, file: Path | None = None) -> None:
        if (token is None) == (file is None):
            raise ConfigurationError("The auth method token takes a token or a file with one.")
        self._token = token
        self._file = file

    async def login(self, transport: Transport) -> VaultToken:
        """Return the token, after Vault has confirmed that it lives."""
        value = self._token
        if self._file is not None:
            value = await _read_secret(self._file, "VAULT_TOKEN_FILE")
        if value is None:
            raise ConfigurationError("The auth method token has neither a token nor a file.")
        answer = await transport.send(
            VaultRequest(method="GET", path=ApiPath.of("auth", "token", "lookup-self")),
            token=value,
        )
        if not answer.ok:
            raise AuthenticationLost
        return _token(value, answer.data, answer, ttl_key="ttl", ours=False)


class AppRoleAuth:
    """A role id, and a secret id from a file that is read anew at each login.

    ``POST /v1/auth/{mount}/login`` (Vault API: AppRole, "Login With AppRole"). A used-up or
    wrong secret id answers 400, not 403.
    """

    def __init__(
        self, *, role_id: str, secret_id_file: Path | None, mount: str = "approle"
    ) -> None:
        self._role_id = role_id
        self._secret_id_file = secret_id_file
        self._path = ApiPath.of("auth", mount, "login")

    async def login(self, transport: Transport) -> VaultToken:
        """Return the token of a new login."""
        body = {"role_id": self._role_id}
        if self._secret_id_file is not None:
            secret_id = await _read_secret(
                self._secret_id_file, "GREENLANG_SECRETS_AUTH_SECRET_ID_FILE"
            )
            body["secret_id"] = secret_id.reveal()
        # Repeatable: a second login costs one more token, which dies by its TTL.
        answer = await transport.send(
            VaultRequest(method="POST", path=self._path, body=body, repeatable=True)
        )
        if not answer.ok:
            raise AuthenticationLost
        return token_from_auth(answer)


def auth_method(config: AuthConfig) -> AuthMethod:
    """Return the configured method.

    Raises:
        ConfigurationError: it lacks a setting.
    """
    if config.method == "approle":
        if config.role is None:
            raise ConfigurationError("The auth method approle needs a role id.")
        return AppRoleAuth(
            role_id=config.role,
            secret_id_file=config.secret_id_file,
            mount=config.mount or "approle",
        )
    return TokenAuth(token=config.token, file=config.token_file)


def token_from_auth(answer: VaultResponse) -> VaultToken:
    """Return the token in the `auth` object of a login or a token creation.

    Raises:
        VaultProtocolError: there is none.
    """
    auth = answer.body.get("auth")
    if not isinstance(auth, dict) or not isinstance(auth.get("client_token"), str):
        raise VaultProtocolError
    return _token(
        SecretValue(auth["client_token"]), auth, answer, ttl_key="lease_duration", ours=True
    )


def _token(
    value: SecretValue,
    facts: Mapping[str, Any],
    answer: VaultResponse,
    *,
    ttl_key: str,
    ours: bool,
) -> VaultToken:
    ttl = facts.get(ttl_key)
    if not isinstance(ttl, int | float):
        raise VaultProtocolError
    accessor = facts.get("accessor")
    # Counted from when we asked, not from when we were told: early is safe, late is not.
    lives = float(ttl) if ttl > 0 else float("inf")  # 0: a root token, which has no end
    return VaultToken(
        value=value,
        accessor=accessor if isinstance(accessor, str) else "",
        expires_at=answer.asked_at + lives,
        replace_at=answer.asked_at + lives * 2 / 3 if ours else float("inf"),
        ours=ours,
    )


async def _read_secret(path: Path, setting: str) -> SecretValue:
    """The file's text without surrounding white space."""

    def read() -> str:
        try:
            with path.open("rb") as file:
                return file.read(_SECRET_FILE_LIMIT).decode("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    text = await anyio.to_thread.run_sync(read)
    if not text:
        raise ConfigurationError(f"{setting} names {str(path)!r}, which holds no readable secret.")
    return SecretValue(text)
