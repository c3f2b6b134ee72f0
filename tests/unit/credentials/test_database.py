from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import pytest

from greenlang_secrets.credentials import DatabaseCredentials
from greenlang_secrets.errors import SecretIncomplete
from greenlang_secrets.model import SecretType
from greenlang_secrets.sensitive import SecretValue
from support.secrets import secret_of

CREDENTIALS = DatabaseCredentials(
    username="app", password=SecretValue("p"), host="db.internal", database="orders"
)

# The pattern by which SQLAlchemy 2.1 takes a URL apart (`sqlalchemy.engine.url`).
SQLALCHEMY = re.compile(
    r"(?P<name>[\w+]+)://(?:(?P<username>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:(?:\[(?P<ipv6host>[^/?]+)\]|(?P<ipv4host>[^/:?]+))?(?::(?P<port>[^/?]*))?)?"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
)

AWKWARD = ["p@ss", "a/b", "a:b", "100%", "#1", "what?", "ünïcode €", "a b+c", "%41", "[x]"]


def test_secret_is_read_by_its_fields() -> None:
    """Each field arrives where it belongs, beside where the secret was read from."""
    secret = secret_of(
        SecretType.DATABASE,
        stale=True,
        username="app",
        password="p",
        host="db",
        port="6432",
        database="orders",
    )

    credentials = DatabaseCredentials.of(secret)

    assert (credentials.username, credentials.password.reveal()) == ("app", "p")
    assert (credentials.host, credentials.port, credentials.database) == ("db", 6432, "orders")
    assert (credentials.path, credentials.version, credentials.stale) == ("some/path", 3, True)


def test_name_and_password_are_enough() -> None:
    """What Vault's database engine makes has no place; nor does it come from a secret."""
    credentials = DatabaseCredentials(username="app", password=SecretValue("p"))

    assert (credentials.host, credentials.port, credentials.database) == (None, 5432, None)
    assert (credentials.path, credentials.version, credentials.stale) == (None, None, False)
    assert credentials.dsn(host="db").reveal() == "postgresql://app:p@db:5432"


@pytest.mark.parametrize("missing", ["username", "password"])
@pytest.mark.parametrize("as_empty", [True, False])
def test_field_that_is_needed_is_named(missing, as_empty) -> None:
    """A secret without a name or a password is no credentials, and the error says which."""
    data = {"username": "app", "password": "p"}
    data = {**data, missing: ""} if as_empty else {k: v for k, v in data.items() if k != missing}

    with pytest.raises(SecretIncomplete) as caught:
        DatabaseCredentials.of(secret_of(SecretType.DATABASE, **data))

    assert (caught.value.field, caught.value.path) == (missing, "some/path")


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x", "5432 ", "05432", "0x10", "1" * 400])
def test_port_that_is_none_is_not_shown(port: str) -> None:
    """A text that is no port is refused by the field's name, without the text."""
    secret = secret_of(SecretType.DATABASE, username="app", password="p", port=port)

    with pytest.raises(SecretIncomplete, match="'port' is not a port") as caught:
        DatabaseCredentials.of(secret)

    assert caught.value.facts == {"field": "port"}


def test_missing_host_is_named() -> None:
    """A DSN needs a host, from the secret or from the caller; the error says so."""
    credentials = DatabaseCredentials(username="app", password=SecretValue("p"))

    for make in (credentials.dsn, credentials.sqlalchemy_url):
        with pytest.raises(SecretIncomplete, match="'host' is missing; write it, or give it"):
            make()


@pytest.mark.parametrize(
    "host", ["a b", "evil@host", "h/x", "h?x", "h#x", "[::1]", "-h", "h:1", "h,i", "%41", "höst"]
)
def test_host_that_would_change_the_url_is_refused(host: str) -> None:
    """A host is a name or an address; nothing that could end its part of the URL."""
    with pytest.raises(SecretIncomplete, match="'host' is not a host's name or address"):
        CREDENTIALS.dsn(host=host)


@pytest.mark.parametrize("text", AWKWARD)
def test_any_text_survives_in_a_url(text: str) -> None:
    """Name, password and database come back as they were, by both readers' rules."""
    credentials = DatabaseCredentials(
        username=text, password=SecretValue(text), host="db", database=text
    )

    plain = urlsplit(credentials.dsn().reveal())
    alchemy = SQLALCHEMY.fullmatch(credentials.sqlalchemy_url().reveal())

    assert alchemy is not None
    assert [unquote(part or "") for part in (plain.username, plain.password)] == [text, text]
    assert unquote(plain.path) == f"/{text}"
    assert (plain.hostname, plain.port) == ("db", 5432)
    assert [unquote(alchemy[part]) for part in ("username", "password", "database")] == [text] * 3
    assert alchemy["ipv4host"] == "db"


def test_what_the_caller_gives_counts() -> None:
    """A pool in front of the database has another place; options become the query."""
    dsn = CREDENTIALS.dsn(
        host="pool", port=6432, database="other", options={"sslmode": "verify-full", "x": "a b&c"}
    )

    assert dsn.reveal() == "postgresql://app:p@pool:6432/other?sslmode=verify-full&x=a%20b%26c"


def test_options_without_a_database_are_still_options() -> None:
    """A query stands after a path, if an empty one."""
    credentials = DatabaseCredentials(username="app", password=SecretValue("p"), host="db")

    assert credentials.dsn(options={"a": "b"}).reveal() == "postgresql://app:p@db:5432/?a=b"


def test_driver_of_sqlalchemy_can_be_chosen() -> None:
    """The dialect is named in the scheme, asyncpg unless another is asked for."""
    assert CREDENTIALS.sqlalchemy_url().reveal() == (
        "postgresql+asyncpg://app:p@db.internal:5432/orders"
    )
    assert CREDENTIALS.sqlalchemy_url("psycopg", port=1).reveal() == (
        "postgresql+psycopg://app:p@db.internal:1/orders"
    )


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("127.0.0.1", "@127.0.0.1:5432/orders"),
        ("::1", "@[::1]:5432/orders"),
        ("my_db.svc.cluster.local.", "@my_db.svc.cluster.local.:5432/orders"),
        ("/var/run/postgresql", "@/orders?host=%2Fvar%2Frun%2Fpostgresql&port=5432"),
    ],
)
def test_place_is_an_address_a_name_or_a_socket(host: str, where: str) -> None:
    """IPv6 stands in brackets, and a socket's folder in the query, as clients take it."""
    dsn = CREDENTIALS.dsn(host=host).reveal()

    # A slash within the query is no part of a path, and either spelling is the same.
    assert dsn.replace("=/var/run/postgresql", "=%2Fvar%2Frun%2Fpostgresql") == (
        f"postgresql://app:p{where}"
    )
