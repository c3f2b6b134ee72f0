"""Where several replicas count their requests together: the URL of a Valkey or Redis."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, urlsplit

from greenlang_secrets.config import Environment
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.settings import PREFIX, Settings

__all__ = ["storage_url"]

MAX_FILE: Final = 4096  # octets

_URL: Final = f"{PREFIX}RATE_LIMIT_URL"
_FILE: Final = f"{PREFIX}RATE_LIMIT_URL_FILE"
# The two speak one protocol; the client knows the older names.
_SCHEMES: Final = {
    "valkey": "redis",
    "redis": "redis",
    "valkeys": "rediss",
    "rediss": "rediss",
}


def storage_url(settings: Settings, where: Environment) -> SecretValue | None:
    """Return the URL as the client takes it, or None for counting in memory.

    The file wins over the variable.

    Raises:
        ConfigurationError: it is no such URL, there is no such file, or in production a
            password stands in the environment.
    """
    file = settings.file("RATE_LIMIT_URL_FILE")
    if file is not None:
        try:
            with file.open("rb") as opened:
                raw = opened.read(MAX_FILE + 1).decode()
        except (OSError, UnicodeDecodeError):
            raw = ""
        return SecretValue(_as_redis(_split(raw.strip(), f"The content of {_FILE}")))
    text = settings.text("RATE_LIMIT_URL")
    if text is None:
        return None
    parts = _split(text, _URL)
    if parts.password and where is Environment.PRODUCTION:
        raise ConfigurationError(
            f"{_URL} has a password in it; in production put the URL into a file and name that "
            f"in {_FILE}."
        )
    return SecretValue(_as_redis(parts))


def _split(raw: str, setting: str) -> SplitResult:
    """Take the URL apart; what is wrong with it is said without repeating it."""
    try:
        parts = urlsplit(raw)
        host, port, database = parts.hostname, parts.port, parts.path.strip("/")
    except ValueError:
        host, port, database = None, None, ""
        parts = urlsplit("")
    if (
        parts.scheme not in _SCHEMES
        or not host
        or port == 0
        or parts.query
        or parts.fragment
        or (database and not database.isdecimal())
    ):
        raise ConfigurationError(
            f"{setting} is no URL of a Valkey or Redis; use valkey://[user:password@]host:6379/0 "
            "(or redis://), and valkeys:// (or rediss://) for TLS."
        )
    return parts


def _as_redis(parts: SplitResult) -> str:
    return parts._replace(scheme=_SCHEMES[parts.scheme]).geturl()
