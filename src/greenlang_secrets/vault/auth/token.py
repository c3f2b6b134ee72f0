"""Auth method token: no login, but a token that somebody else made.

In a file it may be the sink of a Vault Agent or OpenBao Agent, which renews the token and
writes the next one there. A sink with `wrap_ttl` or encryption is not for us: it holds no
plain token.
"""

from __future__ import annotations

from pathlib import Path

from greenlang_secrets.errors import AuthenticationLost, ConfigurationError
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.transport import Transport, VaultRequest
from greenlang_secrets.vault.auth.login import AuthMethod, VaultToken, token_from_facts
from greenlang_secrets.vault.auth.secret_file import read_secret

__all__ = ["TokenAuth"]

_SETTING = "VAULT_TOKEN_FILE"


class TokenAuth(AuthMethod):
    """A token given as it is, or in a file that is read anew at each login.

    ``GET /v1/auth/token/lookup-self`` (Vault API: Token, "Lookup a Token (Self)") tells how
    long it lives.
    """

    def __init__(self, *, token: SecretValue | None = None, file: Path | None = None) -> None:
        self._source: SecretValue | Path
        if token is not None and file is None:
            self._source = token
        elif file is not None and token is None:
            self._source = file
        else:
            raise ConfigurationError("The auth method token takes a token or a file with one.")
        self._answered: SecretValue | None = None

    async def login(self, transport: Transport) -> VaultToken:
        """Return the token, after Vault has confirmed that it lives."""
        value = await self._current()
        answer = await transport.send(
            VaultRequest(method="GET", path=ApiPath.of("auth", "token", "lookup-self")),
            token=value,
        )
        # Also when it is refused: to try the same token again is no use, and not `changed`.
        self._answered = value
        if not answer.ok:
            raise AuthenticationLost(
                "Vault does not accept this service's token; replace it in VAULT_TOKEN or "
                f"{_SETTING}."
            )
        return token_from_facts(value, answer.data, answer, ours=False)

    async def changed(self) -> bool:
        """Whether the file holds another token than the one that Vault last answered about.

        The contents are compared, since a file replaced within the clock's resolution, or
        through Kubernetes' symbolic links, may keep its time. A file that is missing or
        empty at the moment has not changed: the token from before may live on.
        """
        if self._answered is None:
            return False
        try:
            return await self._current() != self._answered
        except ConfigurationError:
            return False

    async def _current(self) -> SecretValue:
        if isinstance(self._source, SecretValue):
            return self._source
        return await read_secret(self._source, _SETTING)
