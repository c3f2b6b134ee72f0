from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from greenlang_secrets.catalogue import CatalogueConfig
from greenlang_secrets.config import Environment
from greenlang_secrets.errors import ConfigurationError

PG = "postgresql://app@db.internal:5432/catalogue"


def from_env(**settings: str) -> CatalogueConfig:
    environ = {f"GREENLANG_SECRETS_{name}": value for name, value in settings.items()}
    return CatalogueConfig.from_env(environ={"HOME": "/home-of-nobody", **environ})


def test_the_default_is_a_file_in_the_state_folder() -> None:
    """Without a setting the catalogue is a SQLite file beside the audit log."""
    config = from_env(STATE_DIR="/state")

    assert (config.kind, config.file) == ("sqlite", Path("/state/catalogue.sqlite3"))
    assert (config.pool_size, config.timeout) == (5, 2.0)
    assert config.environment is Environment.DEVELOPMENT


def test_every_setting_arrives(tmp_path: Path) -> None:
    """The URL, the password's file, the pool and the deadline are read by their names."""
    file = tmp_path / "password"
    file.write_text("p\n")

    config = from_env(
        DATABASE_URL=PG,
        DATABASE_PASSWORD_FILE=str(file),
        DATABASE_POOL_SIZE="7",
        DATABASE_TIMEOUT_SECONDS="0.5",
        ENVIRONMENT="staging",
    )

    assert (config.kind, config.shown) == ("postgresql", PG)
    assert (config.pool_size, config.timeout, config.password_file) == (7, 0.5, file)
    assert config.read_password() == "p"
    assert config.audit_retention == timedelta(days=30)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_spellings_of_postgresql_are_one(scheme: str) -> None:
    """Whatever driver a URL names, it is ours that is used."""
    config = CatalogueConfig.of(PG.replace("postgresql", scheme))

    assert (config.kind, config.shown) == ("postgresql", PG)


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
def test_spellings_of_sqlite_are_one(scheme: str) -> None:
    """The driver's name may stand in a SQLite URL too."""
    config = CatalogueConfig.of(f"{scheme}:////folder/file.db")

    assert (config.kind, config.file) == ("sqlite", Path("/folder/file.db"))


def test_a_password_is_never_shown() -> None:
    """A password in the URL is kept apart from it, masked."""
    config = CatalogueConfig.of("postgresql://app:p4ssw0rd@db/catalogue")

    assert "p4ssw0rd" not in repr(config)
    assert config.shown == "postgresql://app@db/catalogue"
    assert config.read_password() == "p4ssw0rd"


def test_a_file_wins_over_the_url(tmp_path: Path) -> None:
    """With both, the password is the file's, as it is now."""
    file = tmp_path / "password"
    file.write_text("first")
    config = CatalogueConfig.of("postgresql://app:old@db/catalogue", password_file=file)

    assert config.read_password() == "first"
    file.write_text("second\r\n")
    assert config.read_password() == "second"


def test_without_a_password_there_is_none() -> None:
    """A database may trust us by other means."""
    assert CatalogueConfig.of(PG).read_password() is None


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_password_file_that_holds_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    """A file that is gone, empty or no text is said to be so when it is read."""
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    config = CatalogueConfig.of(PG, password_file=file)

    with pytest.raises(ConfigurationError, match=r"PASSWORD_FILE is '.*password'; it cannot"):
        config.read_password()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("no url p4ssw0rd", "DATABASE_URL is no URL"),
        ("postgresql://app:p4ssw0rd@db:nonsense/x", "DATABASE_URL is no URL"),
        ("mysql://app:p4ssw0rd@db/x", "begins with 'mysql'"),
        ("sqlite:///relative.db", "names no absolute file"),
        ("sqlite://", "names no absolute file"),
        ("sqlite:////folder/file?mode=ro", "names no absolute file"),
        ("postgresql://db/x", "must name everything"),
        ("postgresql://app:p4ssw0rd@db", "must name everything"),
        ("postgresql://app@db/x?p4ssw0rd=1&sslmode=require", "has the option"),
        (f"{PG}?sslmode=prefer", "another sslmode than disable, require"),
        (f"{PG}?sslmode=verify-full", "no sslrootcert"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused(url: str, text: str) -> None:
    """Each refusal says what is wrong, and shows no password."""
    with pytest.raises(ConfigurationError, match=text) as raised:
        CatalogueConfig.of(url)

    assert ":p4ssw0rd" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://app:p4ssw0rd@db/x", "in production it comes from the file"),
        (f"{PG}?sslmode=disable", "in the clear"),
    ],
)
def test_production_demands_more(url: str, text: str) -> None:
    """In production a password comes from a file, and the network is crossed over TLS; the
    control: in staging both are taken.
    """
    assert CatalogueConfig.of(url, environment=Environment.STAGING).kind == "postgresql"

    with pytest.raises(ConfigurationError, match=text) as raised:
        CatalogueConfig.of(url, environment=Environment.PRODUCTION)

    assert "p4ssw0rd" not in str(raised.value)


@pytest.mark.parametrize(
    "url", [PG, f"{PG}?sslmode=require", "postgresql://app@127.0.0.1/x", "sqlite:////a/b"]
)
def test_production_takes_what_is_safe(url: str) -> None:
    """TLS is used unless the server is on this machine, so nothing needs to be said."""
    assert CatalogueConfig.of(url, environment=Environment.PRODUCTION).environment == "production"


def test_a_url_from_a_file_may_hold_its_password() -> None:
    """The owner's URL is given in a file, in production too."""
    config = CatalogueConfig.of(
        "postgresql://owner:p@db/x", environment=Environment.PRODUCTION, from_file=True
    )

    assert config.read_password() == "p"


def test_a_file_has_no_password(tmp_path: Path) -> None:
    """A password for a SQLite file is a mistake, and said to be one."""
    with pytest.raises(ConfigurationError, match="a SQLite file has no password"):
        CatalogueConfig.of("sqlite:////a/b", password_file=tmp_path)


@pytest.mark.parametrize("change", [{"pool_size": 0}, {"timeout": 0.0}, {"lease": 0.0}])
def test_numbers_have_bounds(change) -> None:
    """A pool of nothing, or no time at all, is refused."""
    with pytest.raises(ConfigurationError, match="1 or more connections"):
        replace(CatalogueConfig.of(PG), **change)


def test_a_password_does_not_come_back_into_the_url() -> None:
    """A configuration whose URL holds a password cannot be made."""
    config = CatalogueConfig.of(PG)

    with pytest.raises(ConfigurationError, match="give it apart"):
        replace(config, url=config.url.set(password="p"))
