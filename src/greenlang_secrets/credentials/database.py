"""Credentials of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from greenlang_secrets.credentials.addresses import url
from greenlang_secrets.credentials.fields import needed, optional_text, port, text
from greenlang_secrets.credentials.origin import Credentials, origin_of
from greenlang_secrets.errors import SecretIncomplete
from greenlang_secrets.model import Secret
from greenlang_secrets.sensitive import SecretValue

__all__ = ["DatabaseCredentials"]

_PORT: Final = 5432


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DatabaseCredentials(Credentials):
    """A user of a PostgreSQL database, its password, and where the database is.

    From a secret of the type `database`: ``username`` and ``password`` are needed, ``host``,
    ``port`` and ``database`` may be missing. Credentials that Vault's database engine makes
    have a name and a password alone.

    Attributes:
        host: a name, an address, or the folder of a Unix socket.
        database: its name; None for the one named as the user, as PostgreSQL has it.
    """

    username: str
    password: SecretValue
    host: str | None = None
    port: int = _PORT
    database: str | None = None

    @classmethod
    def of(cls, secret: Secret) -> Self:
        """Return what a secret of the type `database` holds.

        Raises:
            SecretIncomplete: a field that is needed is missing, or ``port`` is none.
        """
        return cls(
            username=text(secret, "username"),
            password=needed(secret, "password"),
            host=optional_text(secret, "host"),
            port=port(secret, "port", absent=_PORT),
            database=optional_text(secret, "database"),
            **origin_of(secret),
        )

    def dsn(
        self,
        *,
        host: str | None = None,
        port: int | None = None,
        database: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> SecretValue:
        """Return a URL for clients that speak as PostgreSQL's own: asyncpg, psycopg, libpq.

        What is given here counts instead of what the credentials say; `options` become the
        query, such as ``{"sslmode": "verify-full"}``. Every part is percent-encoded.

        Raises:
            SecretIncomplete: there is no host, or it is none.
        """
        return self._url("postgresql", host, port, database, options)

    def sqlalchemy_url(
        self,
        driver: str = "asyncpg",
        *,
        host: str | None = None,
        port: int | None = None,
        database: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> SecretValue:
        """Return ``postgresql+{driver}://…`` for SQLAlchemy; otherwise as `dsn`.

        SQLAlchemy before 2.1 does not decode the database's name: give it one of letters,
        digits, ``.``, ``_``, ``~`` and ``-`` there.

        Raises:
            SecretIncomplete: there is no host, or it is none.
        """
        return self._url(f"postgresql+{driver}", host, port, database, options)

    def _url(
        self,
        scheme: str,
        host: str | None,
        port: int | None,
        database: str | None,
        options: Mapping[str, str] | None,
    ) -> SecretValue:
        host = host or self.host
        if not host:
            raise SecretIncomplete("host", path=self.path)
        return url(
            scheme,
            username=self.username,
            password=self.password,
            host=host,
            port=self.port if port is None else port,
            name=database or self.database,
            options=options,
            path=self.path,
        )
