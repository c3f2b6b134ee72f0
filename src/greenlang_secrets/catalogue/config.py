"""Where the catalogue's database is, and how it is reached: one frozen value.

The password is no part of it in production: it comes from a file, which is read again for
each new connection, so that a rotated one is picked up. An URL is only ever shown without.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from greenlang_secrets.catalogue.tls import check_tls, is_encrypted
from greenlang_secrets.config import Environment
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.settings import PREFIX, Settings, shown_path

__all__ = ["CatalogueConfig", "DatabaseKind"]

DatabaseKind = Literal["sqlite", "postgresql"]

_KINDS: Final[Mapping[str, DatabaseKind]] = {
    "sqlite": "sqlite",
    "sqlite+aiosqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "postgresql+asyncpg": "postgresql",
}
_FILE_NAME: Final = "catalogue.sqlite3"
_MAX_PASSWORD: Final = 4096  # octets; a file of another kind is not read to its end


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueConfig:
    """Everything `Catalogue.open` needs.

    Attributes:
        environment: decides how long audit records are kept, and what is refused.
        kind: what speaks at the other end.
        url: the database, without a password.
        password: the one that stood in the URL, outside production.
        password_file: the file with the password, read for each new connection.
        pool_size: connections held at most. A transaction of the catalogue takes a few
            milliseconds, so a handful carries hundreds in a second.
        timeout: seconds for one transaction in all, the wait for a connection included, and
            for one statement at the server. Short, because a request is waiting.
        lease: seconds after which the `running` entry of an Idempotency-Key is taken over:
            the 10 s that a request has in all, and a margin for clocks and slow ends.
    """

    environment: Environment = Environment.DEVELOPMENT
    kind: DatabaseKind
    url: URL = field(repr=False)
    password: SecretValue | None = None
    password_file: Path | None = None
    pool_size: int = 5
    timeout: float = 2.0
    lease: float = 15.0

    def __post_init__(self) -> None:
        if self.url.password is not None:
            raise ConfigurationError("The catalogue's URL holds a password; give it apart.")
        if self.pool_size < 1 or not self.timeout > 0 or not self.lease > 0:
            raise ConfigurationError(
                "The catalogue's pool has 1 or more connections, its times are greater than 0."
            )
        match self.kind:
            case "sqlite":
                _check_sqlite(self.url, self.password_file)
            case "postgresql":
                _check_postgresql(self.url, self.environment)

    @property
    def shown(self) -> str:
        """The URL as it may be shown: it never holds a password."""
        return self.url.render_as_string(hide_password=True)

    @property
    def file(self) -> Path:
        """The file of a SQLite catalogue."""
        return Path(self.url.database or "")

    @property
    def audit_retention(self) -> timedelta:
        """How long an audit record is kept in the catalogue."""
        return timedelta(seconds=self.environment.defaults.audit_retention)

    @classmethod
    def of(
        cls,
        raw_url: str,
        *,
        environment: Environment = Environment.DEVELOPMENT,
        password_file: Path | None = None,
        pool_size: int = 5,
        timeout: float = 2.0,
        lease: float = 15.0,
        from_file: bool = False,
    ) -> CatalogueConfig:
        """Return the configuration for a URL, which may hold a password outside production, and
        anywhere if it comes from a file.

        Raises:
            ConfigurationError: the URL is none of SQLite or PostgreSQL, names no place, or
                holds what it must not.
        """
        name = f"{PREFIX}DATABASE_URL"
        try:
            url = make_url(raw_url)
        except (ArgumentError, ValueError):
            # What was seen is not repeated: it may hold a password that broke the grammar.
            raise ConfigurationError(
                f"{name} is no URL; use sqlite:////absolute/path or "
                "postgresql://user@host:5432/database."
            ) from None
        kind = _KINDS.get(url.drivername)
        if kind is None:
            raise ConfigurationError(
                f"{name} begins with {url.drivername!r}; use sqlite: or postgresql:."
            )
        password = url.password
        if password is not None and environment is Environment.PRODUCTION and not from_file:
            raise ConfigurationError(
                f"{name} holds a password; in production it comes from the file that "
                f"{name.removesuffix('URL')}PASSWORD_FILE names."
            )
        return cls(
            environment=environment,
            kind=kind,
            url=URL.create(kind, url.username, None, url.host, url.port, url.database, url.query),
            password=None if password is None else SecretValue(str(password)),
            password_file=password_file,
            pool_size=pool_size,
            timeout=timeout,
            lease=lease,
        )

    @classmethod
    def from_env(
        cls, environment: str | None = None, *, environ: Mapping[str, str] | None = None
    ) -> CatalogueConfig:
        """Return the configuration that the environment variables describe.

        `environment` overrides ``GREENLANG_SECRETS_ENVIRONMENT``; without either it is
        development. Without ``GREENLANG_SECRETS_DATABASE_URL`` the catalogue is a SQLite file
        in `Settings.state_dir`.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        settings = Settings(os.environ if environ is None else environ)
        raw_url = settings.text("DATABASE_URL")
        if raw_url is None:
            raw_url = f"sqlite:///{settings.state_dir() / _FILE_NAME}"
        return cls.of(
            raw_url,
            environment=Environment.parse(
                environment or settings.text("ENVIRONMENT") or "development"
            ),
            password_file=settings.file("DATABASE_PASSWORD_FILE"),
            pool_size=int(settings.number("DATABASE_POOL_SIZE", 5, least=1)),
            timeout=settings.number("DATABASE_TIMEOUT_SECONDS", 2.0, least=0.001),
        )

    def read_password(self) -> str | None:
        """Return the password as it is now: from the file, else from the URL. Blocks.

        Raises:
            ConfigurationError: the file cannot be read, or holds no password.
        """
        if self.password_file is None:
            return None if self.password is None else self.password.reveal()
        shown = shown_path(str(self.password_file))
        try:
            with self.password_file.open("rb") as file:
                octets = file.read(_MAX_PASSWORD)
            text = octets.decode().rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            text = ""
        if not text:
            raise ConfigurationError(
                f"{PREFIX}DATABASE_PASSWORD_FILE is {shown}; it cannot be read, or is empty."
            )
        return text


def _check_sqlite(url: URL, password_file: Path | None) -> None:
    if not Path(url.database or "").is_absolute() or url.host or url.query:
        raise ConfigurationError(
            f"{PREFIX}DATABASE_URL names no absolute file; use sqlite:////absolute/path."
        )
    if password_file is not None:
        raise ConfigurationError(
            f"{PREFIX}DATABASE_PASSWORD_FILE is set, and a SQLite file has no password; "
            "unset one of the two."
        )


def _check_postgresql(url: URL, environment: Environment) -> None:
    if not (url.host and url.username and url.database):
        raise ConfigurationError(
            f"{PREFIX}DATABASE_URL must name everything: postgresql://user@host:port/database."
        )
    check_tls(url)
    if environment is Environment.PRODUCTION and not is_encrypted(url):
        raise ConfigurationError(
            f"{PREFIX}DATABASE_URL goes over the network in the clear; in production use "
            "?sslmode=verify-full&sslrootcert=FILE, or require."
        )
