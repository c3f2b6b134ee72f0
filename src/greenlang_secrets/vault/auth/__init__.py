"""Auth methods: each is one login request that gives a token.

An `AuthMethod` knows how to ask; when to ask is `vault.session`'s business. One module for
each method that Vault has, `login` for what they share.
"""

from __future__ import annotations

from pathlib import Path

from greenlang_secrets.config import AuthConfig
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.vault.auth.approle import AppRoleAuth
from greenlang_secrets.vault.auth.aws import AwsIamAuth
from greenlang_secrets.vault.auth.cert import CertAuth
from greenlang_secrets.vault.auth.jwt import JwtAuth
from greenlang_secrets.vault.auth.kubernetes import SERVICE_ACCOUNT_TOKEN, KubernetesAuth
from greenlang_secrets.vault.auth.login import (
    AuthMethod,
    VaultToken,
    term_from_renewal,
    token_from_auth,
)
from greenlang_secrets.vault.auth.token import TokenAuth
from greenlang_secrets.vault.auth.userpass import UserpassAuth
from greenlang_secrets.vault.auth.wrapping import WrappedSecretIdLost

__all__ = [
    "AppRoleAuth",
    "AuthMethod",
    "AwsIamAuth",
    "CertAuth",
    "JwtAuth",
    "KubernetesAuth",
    "TokenAuth",
    "UserpassAuth",
    "VaultToken",
    "WrappedSecretIdLost",
    "auth_method",
    "term_from_renewal",
    "token_from_auth",
]


def auth_method(config: AuthConfig) -> AuthMethod:
    """Return the configured method.

    Raises:
        ConfigurationError: it lacks a setting, or a mount or name is outside the grammar.
    """
    mount = config.mount or config.method
    match config:
        case AuthConfig(method="token"):
            return TokenAuth(token=config.token, file=config.token_file)
        case AuthConfig(method="approle", role=str(role_id)):
            return AppRoleAuth(
                role_id=role_id,
                secret_id_file=config.secret_id_file,
                wrapped_secret_id_file=config.wrapped_secret_id_file,
                mount=mount,
            )
        case AuthConfig(method="kubernetes", role=str(role)):
            return KubernetesAuth(
                role=role, jwt_file=config.jwt_file or SERVICE_ACCOUNT_TOKEN, mount=mount
            )
        case AuthConfig(method="jwt", jwt_file=Path() as jwt_file):
            return JwtAuth(role=config.role, jwt_file=jwt_file, mount=mount)
        case AuthConfig(method="cert"):
            return CertAuth(role=config.role, mount=mount)
        case AuthConfig(method="userpass", username=str(username), password_file=Path() as file):
            return UserpassAuth(username=username, password_file=file, mount=mount)
        case AuthConfig(method="aws"):
            return AwsIamAuth(
                role=config.role,
                region=config.aws_region,
                server_id=config.aws_server_id,
                mount=mount,
            )
        case _:
            raise ConfigurationError(
                f"The auth method {config.method} lacks an attribute of AuthConfig that it needs."
            )
