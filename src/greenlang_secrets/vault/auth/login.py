"""What every auth method shares: the request, the answer, and the reasons for a refusal.

Vault does not say why it refuses a login, and its status says little: a wrong secret is
400, and OpenBao 2.7.2 answers a mount that does not exist with 403, as Vault does in some
versions, and with 404 in others (`test_userpass.py` holds it). So the texts name everything
to look at, which each method says of itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from greenlang_secrets.errors import (
    AuthenticationLost,
    ConfigurationError,
    InvalidPath,
    VaultProtocolError,
)
from greenlang_secrets.lifetime import Term
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.settings import PREFIX
from greenlang_secrets.transport import Transport, VaultRequest, VaultResponse

__all__ = [
    "AuthMethod",
    "LoginEndpoint",
    "VaultToken",
    "term_from_renewal",
    "token_from_auth",
    "token_from_facts",
]

_SECOND_FACTOR: Final = (
    "Vault asks for a second factor, which a service does not have; take its auth mount out of "
    "the login enforcement."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VaultToken:
    """A token and what Vault said of its life.

    Attributes:
        accessor: empty for a batch token, which cannot be revoked either.
        term: how long it lives; without end for a root token.
        ours: whether we made it by logging in, so that it is ours to revoke.
        limited: whether it ends after a number of requests, so that none may be wasted on it.
        has_default: whether it has the policy `default`, which lets it look itself up.
    """

    value: SecretValue
    accessor: str
    term: Term
    ours: bool
    limited: bool
    has_default: bool

    @property
    def expires_at(self) -> float:
        """Monotonic seconds at which it ends unless renewed; infinity for a root token."""
        return self.term.ends_at


class AuthMethod(Protocol):
    """A way to get a token."""

    async def login(self, transport: Transport) -> VaultToken:
        """Return a new token.

        Raises:
            AuthenticationLost: Vault refuses the credentials, or has no such auth mount.
            ConfigurationError: a file with a secret is missing, empty or of the wrong kind.
            VaultUnavailable: Vault could not be asked.
        """
        ...

    async def changed(self) -> bool:
        """Whether the token of the last login was replaced by another one at its source.

        Asked from time to time, to log in anew at once. No, unless the method says
        otherwise: a new secret id does not make the token made with the old one worse.
        """
        return False


class LoginEndpoint:
    """Where an auth method takes its logins.

    ``POST /v1/auth/{mount}/login``, for userpass with the user's name behind it.

    Args:
        check: what the reader should look at when a login is refused.
    """

    def __init__(self, mount: str, *, check: str, username: str | None = None) -> None:
        self._path = _path(mount, username)
        self._check = check

    async def log_in(
        self, transport: Transport, fields: Mapping[str, str | SecretValue | None]
    ) -> VaultToken:
        """Return the token of a login with those `fields` that are not None.

        They are revealed here and no earlier, so that no traceback with locals shows one.
        `AuthMethod.login` says what is raised.
        """
        # Repeatable: a second login costs one more token, which dies by its TTL.
        answer = await transport.send(
            VaultRequest(method="POST", path=self._path, body=_plain(fields), repeatable=True)
        )
        if not answer.ok:
            raise AuthenticationLost(self._refusal(answer.status))
        if _wants_second_factor(answer):
            raise AuthenticationLost(_SECOND_FACTOR)
        return token_from_auth(answer)

    def _refusal(self, status: int) -> str:
        match status:
            case 403:
                return (
                    "Vault does not accept this service's login, or has no such auth method at "
                    f"the mount; check {self._check}, and {PREFIX}AUTH_MOUNT."
                )
            case 404 | 405:
                return (
                    "Vault has no such auth method at the mount; check "
                    f"{PREFIX}AUTH_MOUNT and VAULT_NAMESPACE."
                )
            case _:
                return f"Vault does not accept this service's login; check {self._check}."


def token_from_auth(answer: VaultResponse) -> VaultToken:
    """Return the token in the `auth` object of a login or a token creation.

    Raises:
        VaultProtocolError: there is none.
    """
    auth = answer.body.get("auth")
    if not isinstance(auth, dict):
        raise VaultProtocolError
    value = auth.get("client_token")
    if not isinstance(value, str) or not value:
        raise VaultProtocolError
    return token_from_facts(SecretValue(value), auth, answer, ours=True)


def term_from_renewal(term: Term, answer: VaultResponse) -> Term:
    """Return `term` as a renewal of its token has changed it.

    Raises:
        VaultProtocolError: the answer does not say for how long.
    """
    auth = answer.body.get("auth")
    granted = auth.get("lease_duration") if isinstance(auth, dict) else None
    if not isinstance(auth, dict) or not isinstance(granted, int | float):
        raise VaultProtocolError
    return term.renewed(
        granted_at=answer.asked_at,
        duration=float(granted),
        renewable=auth.get("renewable") is True,
    )


def token_from_facts(
    value: SecretValue, facts: Mapping[str, Any], answer: VaultResponse, *, ours: bool
) -> VaultToken:
    """Return a token, given what a login or a lookup says of it.

    Raises:
        VaultProtocolError: it does not say how long the token lives.
    """
    accessor = facts.get("accessor")
    uses = facts.get("num_uses")
    policies = facts.get("policies")
    return VaultToken(
        value=value,
        accessor=accessor if isinstance(accessor, str) else "",
        term=_term(facts, answer.asked_at),
        ours=ours,
        limited=isinstance(uses, int) and uses != 0,
        # Where nothing is said of policies it is taken for an ordinary token.
        has_default=not isinstance(policies, list) or not {"default", "root"}.isdisjoint(policies),
    )


def _term(facts: Mapping[str, Any], asked_at: float) -> Term:
    ttl = facts.get("lease_duration", facts.get("ttl"))
    if not isinstance(ttl, int | float):
        raise VaultProtocolError
    lives = float(ttl) if ttl > 0 else math.inf  # 0: a root token, which has no end
    # A lookup says what is left, and what a renewal would give: the period or the first length.
    wanted = facts.get("period") or facts.get("creation_ttl")
    return Term(
        granted_at=asked_at,
        duration=lives,
        wanted=float(wanted) if isinstance(wanted, int | float) else lives,
        renewable=facts.get("renewable") is True,
    )


def _path(mount: str, username: str | None) -> ApiPath:
    try:
        endpoint = ApiPath.of("auth", mount, "login")
    except InvalidPath:
        raise ConfigurationError(
            f"{PREFIX}AUTH_MOUNT is {mount!r}; use the name of an auth mount without 'auth/': "
            "letters, digits, '_' and '-', segments separated by '/'."
        ) from None
    if username is None:
        return endpoint
    try:
        path = ApiPath.of("auth", mount, "login", username)
    except InvalidPath:
        path = None
    if path is None or "/" in username:  # a slash is right in a mount only
        raise ConfigurationError(
            f"{PREFIX}AUTH_USERNAME is {username!r}; use 1 to 128 letters, digits, '.', '_' "
            "and '-', beginning with a letter or digit."
        )
    return path


def _plain(fields: Mapping[str, str | SecretValue | None]) -> dict[str, str]:
    return {
        name: value.reveal() if isinstance(value, SecretValue) else value
        for name, value in fields.items()
        if value is not None
    }


def _wants_second_factor(answer: VaultResponse) -> bool:
    """A login under MFA is answered with 200 and everything but a token."""
    auth = answer.body.get("auth")
    return isinstance(auth, dict) and bool(auth.get("mfa_requirement"))
