"""Tokens by which services prove who they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from greenlang_secrets.credentials.fields import needed
from greenlang_secrets.credentials.origin import Credentials, origin_of
from greenlang_secrets.model import Secret
from greenlang_secrets.sensitive import SecretValue

__all__ = ["ServiceToken"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServiceToken(Credentials):
    """A token to send along with requests to another service.

    From a secret of the type `service_token`: ``token``.
    """

    value: SecretValue

    @classmethod
    def of(cls, secret: Secret) -> Self:
        """Return what a secret of the type `service_token` holds.

        Raises:
            SecretIncomplete: ``token`` is missing.
        """
        return cls(value=needed(secret, "token"), **origin_of(secret))
