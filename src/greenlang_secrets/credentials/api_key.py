"""Keys of other people's interfaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from greenlang_secrets.credentials.fields import needed, optional_text
from greenlang_secrets.credentials.origin import Credentials, origin_of
from greenlang_secrets.model import Secret
from greenlang_secrets.sensitive import SecretValue

__all__ = ["ApiKey"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ApiKey(Credentials):
    """A key to send along with requests.

    From a secret of the type `api_key`: the first that is there of ``api_key``, ``key`` and
    ``value``, and ``key_id`` where the issuer has one.
    """

    value: SecretValue
    key_id: str | None = None

    @classmethod
    def of(cls, secret: Secret) -> Self:
        """Return what a secret of the type `api_key` holds.

        Raises:
            SecretIncomplete: none of the three fields is there.
        """
        return cls(
            value=needed(secret, "api_key", "key", "value"),
            key_id=optional_text(secret, "key_id"),
            **origin_of(secret),
        )
