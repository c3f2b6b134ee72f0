"""How the service logs in to Vault, as configured: `AuthConfig`, and how it is read.

Each auth method asks for its own settings and leaves the others alone. Secrets come from
files; the one exception is ``VAULT_TOKEN``, and not in production. Doing the login is left
to `vault.auth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar, assert_never, get_args

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.settings import PREFIX, Settings

__all__ = ["AuthConfig", "AuthMethodName", "auth_from_settings"]

AuthMethodName = Literal["token", "approle", "kubernetes", "jwt", "cert", "userpass", "aws"]
"""The auth methods we speak, by the names under which Vault enables them."""

_METHODS: Final[tuple[AuthMethodName, ...]] = get_args(AuthMethodName)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthConfig:
    """How the service logs in to Vault.

    A method reads its own attributes only. Files are read anew at each login, so a new
    secret in one of them needs no restart.

    Attributes:
        method: which auth method.
        mount: where it is mounted; its own name by default.
        role: the role to log in to. For approle the role id; needed by approle and
            kubernetes, optional for jwt, cert and aws, where Vault can find one itself.
        token: for token: the token itself; masked wherever it is shown.
        token_file: for token: a file holding it, such as the sink of a Vault Agent.
        secret_id_file: for approle: a file holding the secret id; None for a role that is
            bound by other means.
        wrapped_secret_id_file: for approle: a file holding a wrapping token with the secret
            id in it, instead of `secret_id_file`.
        jwt_file: for jwt and kubernetes: a file holding the JWT; None is the pod's own
            service account token, for kubernetes only.
        username: for userpass.
        password_file: for userpass.
        aws_region: for aws: the region whose STS the login is signed for; None is the
            global one, which Vault asks unless its mount has an `sts_region`.
        aws_server_id: for aws: the mount's `iam_server_id_header_value`, if it has one.
    """

    method: AuthMethodName = "token"
    mount: str | None = None
    role: str | None = None
    token: SecretValue | None = None
    token_file: Path | None = None
    secret_id_file: Path | None = None
    wrapped_secret_id_file: Path | None = None
    jwt_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    aws_region: str | None = None
    aws_server_id: str | None = None


def auth_from_settings(settings: Settings, *, production: bool) -> AuthConfig:
    """Return how the environment variables say to log in.

    Raises:
        ConfigurationError: a setting of the chosen method is missing or wrong, or
            `production` and the token stands in the environment.
    """
    method = _method(settings)
    mount = settings.text("AUTH_MOUNT")
    role = settings.text("AUTH_ROLE")
    match method:
        case "token":
            return _token(settings, mount, production=production)
        case "approle":
            return _approle(settings, mount, role)
        case "kubernetes":
            return AuthConfig(
                method=method,
                mount=mount,
                role=_required(role, "AUTH_ROLE", method, "the role's name"),
                jwt_file=settings.file("AUTH_JWT_FILE"),
            )
        case "jwt":
            jwt_file = settings.file("AUTH_JWT_FILE")
            return AuthConfig(
                method=method,
                mount=mount,
                role=role,
                jwt_file=_required(jwt_file, "AUTH_JWT_FILE", method, "a file with the JWT"),
            )
        case "cert":
            return AuthConfig(method=method, mount=mount, role=role)
        case "userpass":
            return _userpass(settings, mount)
        case "aws":
            return AuthConfig(
                method=method,
                mount=mount,
                role=role,
                aws_region=settings.text("AUTH_AWS_REGION"),
                aws_server_id=settings.text("AUTH_AWS_SERVER_ID"),
            )
        case _:
            assert_never(method)


def _method(settings: Settings) -> AuthMethodName:
    raw = settings.text("AUTH_METHOD") or "token"
    for method in _METHODS:
        if raw == method:
            return method
    names = f"{', '.join(_METHODS[:-1])} or {_METHODS[-1]}"
    raise ConfigurationError(f"{PREFIX}AUTH_METHOD is {raw!r}; use {names}.")


def _token(settings: Settings, mount: str | None, *, production: bool) -> AuthConfig:
    token_file = settings.vault_file("TOKEN_FILE")
    token = settings.vault("TOKEN")
    if token is not None and production:
        raise ConfigurationError(
            "VAULT_TOKEN is set; in production a secret is never read from the environment. "
            "Use VAULT_TOKEN_FILE, or another auth method."
        )
    if token is None and token_file is None:
        raise ConfigurationError(
            f"Neither VAULT_TOKEN nor VAULT_TOKEN_FILE is set; set one, or set {PREFIX}AUTH_METHOD."
        )
    return AuthConfig(
        method="token",
        mount=mount,
        token=None if token is None or token_file is not None else SecretValue(token),
        token_file=token_file,
    )


def _approle(settings: Settings, mount: str | None, role: str | None) -> AuthConfig:
    role_id = _required(role, "AUTH_ROLE", "approle", "the role id")
    secret_id_file = settings.file("AUTH_SECRET_ID_FILE")
    wrapped_file = settings.file("AUTH_WRAPPED_SECRET_ID_FILE")
    if secret_id_file is not None and wrapped_file is not None:
        raise ConfigurationError(
            f"{PREFIX}AUTH_SECRET_ID_FILE and {PREFIX}AUTH_WRAPPED_SECRET_ID_FILE are both set; "
            "a role has one secret id, so set one of them."
        )
    return AuthConfig(
        method="approle",
        mount=mount,
        role=role_id,
        secret_id_file=secret_id_file,
        wrapped_secret_id_file=wrapped_file,
    )


def _userpass(settings: Settings, mount: str | None) -> AuthConfig:
    username = settings.text("AUTH_USERNAME")
    password_file = settings.file("AUTH_PASSWORD_FILE")
    return AuthConfig(
        method="userpass",
        mount=mount,
        username=_required(username, "AUTH_USERNAME", "userpass", "the user's name"),
        password_file=_required(
            password_file, "AUTH_PASSWORD_FILE", "userpass", "a file with the password"
        ),
    )


def _required(value: T | None, name: str, method: AuthMethodName, what: str) -> T:
    if value is None:
        raise ConfigurationError(
            f"{PREFIX}{name} is not set; for the auth method {method} it is {what}."
        )
    return value
