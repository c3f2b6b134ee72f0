"""Auth method kubernetes: the pod's service account, whose token Vault has reviewed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from greenlang_secrets.settings import PREFIX
from greenlang_secrets.transport import Transport
from greenlang_secrets.vault.auth.login import AuthMethod, LoginEndpoint, VaultToken
from greenlang_secrets.vault.auth.secret_file import read_secret

__all__ = ["SERVICE_ACCOUNT_TOKEN", "KubernetesAuth"]

SERVICE_ACCOUNT_TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where a pod finds its service account's token (Kubernetes, "Service account tokens")."""


class KubernetesAuth(AuthMethod):
    """A service account token, read anew at each login: the kubelet replaces it every hour.

    ``POST /v1/auth/{mount}/login`` (Vault API: Kubernetes, "Login").
    """

    def __init__(
        self, *, role: str, jwt_file: Path = SERVICE_ACCOUNT_TOKEN, mount: str = "kubernetes"
    ) -> None:
        self._role = role
        self._jwt_file = jwt_file
        self._endpoint = LoginEndpoint(
            mount,
            check=f"{PREFIX}AUTH_ROLE, and that the role is bound to this pod's service account "
            "and namespace",
        )

    async def login(self, transport: Transport) -> VaultToken:
        """Return the token of a new login."""
        jwt = await read_secret(self._jwt_file, f"{PREFIX}AUTH_JWT_FILE")
        return await self._endpoint.log_in(transport, {"role": self._role, "jwt": jwt})
