"""The part of Vault's aws auth method that matters to a client: is the signed request good?

The signature is computed from AWS's documentation ("Create a signed AWS API request"), not
with the library that made it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key_id>[^/]+)/(?P<scope>[^,]+), "
    r"SignedHeaders=(?P<signed>[^,]+), Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Caller:
    """The request inside a login, as AWS would get it."""

    method: str
    url: str
    body: str
    headers: dict[str, list[str]]

    @classmethod
    def of(cls, login: dict[str, str]) -> Caller:
        """Decode the fields of a login."""

        def text(name: str) -> str:
            return base64.b64decode(login[name], validate=True).decode()

        return cls(
            method=login["iam_http_request_method"],
            url=text("iam_request_url"),
            body=text("iam_request_body"),
            headers=json.loads(text("iam_request_headers")),
        )

    @property
    def authorization(self) -> dict[str, str]:
        """The parts of the Authorization header."""
        found = _AUTHORIZATION.fullmatch(self.header("Authorization"))
        assert found is not None
        return found.groupdict()

    @property
    def signed_headers(self) -> list[str]:
        """The names of the headers that the signature covers."""
        return self.authorization["signed"].split(";")

    @property
    def scope(self) -> list[str]:
        """Date, region, service and the word aws4_request."""
        return self.authorization["scope"].split("/")

    def header(self, name: str) -> str:
        """Return a header's one value, whatever the case of its name."""
        [values] = [each for key, each in self.headers.items() if key.lower() == name.lower()]
        [value] = values
        return value

    def is_signed_with(self, secret_key: str) -> bool:
        """Return whether the signature is the one that this key makes."""
        canonical = "\n".join(
            [
                self.method,
                urlsplit(self.url).path,
                "",
                *(f"{name}:{self._signed_value(name)}" for name in self.signed_headers),
                "",
                ";".join(self.signed_headers),
                hashlib.sha256(self.body.encode()).hexdigest(),
            ]
        )
        to_sign = "\n".join(
            [
                "AWS4-HMAC-SHA256",
                self.header("X-Amz-Date"),
                "/".join(self.scope),
                hashlib.sha256(canonical.encode()).hexdigest(),
            ]
        )
        key = f"AWS4{secret_key}".encode()
        for part in self.scope:
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        return hmac.compare_digest(signature, self.authorization["signature"])

    def _signed_value(self, name: str) -> str:
        return urlsplit(self.url).netloc if name == "host" else self.header(name)


def assumed(access_key: str, secret_key: str, session_token: str, expires: str) -> bytes:
    """What STS answers to AssumeRoleWithWebIdentity."""
    return f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <AssumedRoleUser>
      <Arn>arn:aws:sts::123456789012:assumed-role/service/x</Arn>
      <AssumedRoleId>AROA:x</AssumedRoleId>
    </AssumedRoleUser>
    <Credentials>
      <AccessKeyId>{access_key}</AccessKeyId>
      <SecretAccessKey>{secret_key}</SecretAccessKey>
      <SessionToken>{session_token}</SessionToken>
      <Expiration>{expires}</Expiration>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>""".encode()


def given_token() -> dict[str, Any]:
    """What the auth method answers to a good login."""
    return {"auth": {"client_token": "hvs.aws", "accessor": "a", "lease_duration": 1800}}
