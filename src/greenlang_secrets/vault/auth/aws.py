"""Auth method aws, type iam: a signed ``sts:GetCallerIdentity`` that Vault sends to AWS.

The request proves who we are, and nothing else can be done with it. Finding credentials
(environment, profile, IRSA's web identity, EKS Pod Identity, instance role), renewing them
and SigV4 are left to botocore, which is blocking and runs in a thread.
"""

from __future__ import annotations

import base64
import importlib
import json
from typing import Any, Final

import anyio.to_thread

from greenlang_secrets.errors import AuthenticationLost, ConfigurationError
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.settings import PREFIX
from greenlang_secrets.transport import Transport
from greenlang_secrets.vault.auth.login import AuthMethod, LoginEndpoint, VaultToken

__all__ = ["AwsIamAuth"]

_BODY: Final = "Action=GetCallerIdentity&Version=2011-06-15"

_GLOBAL: Final = ("sts.amazonaws.com", "us-east-1")
"""The STS that a mount without `sts_region` asks, and the region it is signed for."""

_DOMAINS: Final = {
    "aws": "amazonaws.com",
    "aws-cn": "amazonaws.com.cn",
    "aws-eusc": "amazonaws.eu",
    "aws-us-gov": "amazonaws.com",
}
"""Where each of AWS's public partitions lives (AWS, "Partitions and endpoints")."""


class AwsIamAuth(AuthMethod):
    """The AWS identity this process runs as; needs the extra ``greenlang-secrets[aws]``.

    ``POST /v1/auth/{mount}/login`` with `iam_http_request_method`, `iam_request_url`,
    `iam_request_body` and `iam_request_headers` (Vault API: AWS, "Login"); without a role
    Vault takes the one named like the IAM principal. The server id goes into the signed
    header ``X-Vault-AWS-IAM-Server-ID``, so that a login for one Vault is no use at another.

    Credentials are found at the first login, and kept and renewed by botocore; the request is
    signed anew at each login, since AWS takes it for 15 minutes only.
    """

    def __init__(
        self,
        *,
        role: str | None = None,
        region: str | None = None,
        server_id: str | None = None,
        mount: str = "aws",
    ) -> None:
        self._role = role
        self._region = region
        self._server_id = server_id
        self._session: Any = None  # botocore's; it ships no types
        self._credentials: Any = None
        self._endpoint = LoginEndpoint(
            mount,
            check=f"{PREFIX}AUTH_ROLE and its bound principals, {PREFIX}AUTH_AWS_SERVER_ID, "
            f"and {PREFIX}AUTH_AWS_REGION against the mount's sts_region",
        )

    async def login(self, transport: Transport) -> VaultToken:
        """Return the token of a new login.

        A cancelled login leaves the thread to end by itself; botocore's own limits, seconds,
        apply to it.

        Raises:
            ConfigurationError: botocore is not installed, or knows no such region.
            AuthenticationLost: AWS gives no credentials, or Vault refuses the login.
            VaultUnavailable: Vault could not be asked.
        """
        signed = await anyio.to_thread.run_sync(self._signed_request, abandon_on_cancel=True)
        return await self._endpoint.log_in(transport, {"role": self._role, **signed})

    def _signed_request(self) -> dict[str, str | SecretValue]:
        """The login's fields; blocks, for credentials may come from the network."""
        if self._session is None:
            self._session = _botocore("session").get_session()
        host, region = self._sts()
        frozen = self._frozen_credentials()
        if frozen is None:
            raise AuthenticationLost(
                "AWS gives this process no credentials to sign the login with; check its IAM "
                "role, for IRSA the annotation of its service account."
            )
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        if self._server_id is not None:
            headers["X-Vault-AWS-IAM-Server-ID"] = self._server_id
        request = _botocore("awsrequest").AWSRequest(
            method="POST", url=f"https://{host}/", data=_BODY, headers=headers
        )
        _botocore("auth").SigV4Auth(frozen, "sts", region).add_auth(request)
        return {
            "iam_http_request_method": "POST",
            "iam_request_url": _base64(request.url),
            "iam_request_body": _base64(_BODY),
            # Who has the signature can log in with it for 15 minutes.
            "iam_request_headers": SecretValue(
                _base64(json.dumps({name: [value] for name, value in request.headers.items()}))
            ),
        }

    def _sts(self) -> tuple[str, str]:
        """STS' host, and the region to sign for."""
        if self._region is None:
            return _GLOBAL
        try:
            partition = self._session.get_partition_for_region(self._region)
        except _botocore("exceptions").BotoCoreError:
            partition = ""
        if partition not in _DOMAINS:
            raise ConfigurationError(
                f"{PREFIX}AUTH_AWS_REGION is {self._region!r}; use the name of an AWS region, "
                "such as eu-central-1."
            )
        return f"sts.{self._region}.{_DOMAINS[partition]}", self._region

    def _frozen_credentials(self) -> Any:
        """One consistent set of keys, or None; botocore renews the credentials here if due."""
        exceptions = _botocore("exceptions")
        try:
            if self._credentials is None:
                self._credentials = self._session.get_credentials()
            if self._credentials is not None:
                return self._credentials.get_frozen_credentials()
        except (exceptions.BotoCoreError, exceptions.ClientError, OSError):
            pass  # told by the caller, without AWS's text as the context
        return None


def _botocore(module: str) -> Any:
    """One of botocore's modules, imported when first needed: it takes a tenth of a second."""
    try:
        return importlib.import_module(f"botocore.{module}")
    except ImportError:
        raise ConfigurationError(
            f"{PREFIX}AUTH_METHOD is 'aws', which signs with botocore, and that is not "
            "installed: pip install 'greenlang-secrets[aws]'."
        ) from None


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
