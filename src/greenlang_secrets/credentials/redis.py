"""Credentials of a Redis or Valkey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from greenlang_secrets.credentials.addresses import url
from greenlang_secrets.credentials.fields import flag, needed, number, optional_text, port, text
from greenlang_secrets.credentials.origin import Credentials, origin_of
from greenlang_secrets.model import Secret
from greenlang_secrets.sensitive import SecretValue

__all__ = ["RedisCredentials"]

_PORT: Final = 6379


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RedisCredentials(Credentials):
    """A user of a Redis or Valkey, its password, and where the server is.

    From a secret of the type `cache`: ``host`` and ``password`` are needed; ``username``,
    ``port``, ``db`` and ``tls`` (``true`` or ``false``) may be missing.

    Attributes:
        username: None for the user `default`.
        db: the number of the database.
        tls: whether to speak TLS, as ``rediss`` does.
    """

    host: str
    password: SecretValue
    port: int = _PORT
    username: str | None = None
    db: int = 0
    tls: bool = False

    @classmethod
    def of(cls, secret: Secret) -> Self:
        """Return what a secret of the type `cache` holds.

        Raises:
            SecretIncomplete: a field that is needed is missing, or another is malformed.
        """
        return cls(
            host=text(secret, "host"),
            password=needed(secret, "password"),
            port=port(secret, "port", absent=_PORT),
            username=optional_text(secret, "username"),
            db=number(secret, "db", absent=0),
            tls=flag(secret, "tls"),
            **origin_of(secret),
        )

    def url(self) -> SecretValue:
        """Return ``redis://…`` or, with TLS, ``rediss://…``; every part percent-encoded.

        Raises:
            SecretIncomplete: the host is none.
        """
        return url(
            "rediss" if self.tls else "redis",
            username=self.username,
            password=self.password,
            host=self.host,
            port=self.port,
            name=str(self.db),
            path=self.path,
        )
