"""TLS to PostgreSQL, as the URL says it in libpq's words (PostgreSQL, "SSL Support").

Made anew for each connection, so that replaced certificates are picked up; the driver's own
reading of these words would look for files on the event loop.
"""

from __future__ import annotations

import re
import ssl
from typing import Final

from sqlalchemy.engine import URL

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.settings import PREFIX

__all__ = ["check_tls", "is_encrypted", "tls_context"]

_MODES: Final = ("disable", "require", "verify-ca", "verify-full")
_OPTIONS: Final = ("sslmode", "sslrootcert", "sslcert", "sslkey")
_NEARBY: Final = re.compile(r"localhost|127(?:\.\d{1,3}){3}|::1|/.*")
_SETTING: Final = f"{PREFIX}DATABASE_URL"


def check_tls(url: URL) -> None:
    """Return if the URL's options make sense.

    Raises:
        ConfigurationError: they do not.
    """
    unknown = sorted(set(url.query) - set(_OPTIONS))
    if unknown:
        raise ConfigurationError(
            f"{_SETTING} has the option {unknown[0]!r}; there are: {', '.join(_OPTIONS)}."
        )
    if _mode(url) not in _MODES:
        raise ConfigurationError(f"{_SETTING} has another sslmode than {', '.join(_MODES)}.")
    if _mode(url).startswith("verify") and _option(url, "sslrootcert") is None:
        raise ConfigurationError(
            f"{_SETTING} has sslmode={_mode(url)} and no sslrootcert; name the authority's PEM file."
        )


def is_encrypted(url: URL) -> bool:
    """Whether what is said stays on this machine or goes over TLS."""
    return _mode(url) != "disable" or _is_nearby(url)


def tls_context(url: URL) -> ssl.SSLContext | bool:
    """Return what to connect with; False is without TLS. Blocks.

    Raises:
        ConfigurationError: a file cannot be used.
    """
    mode = _mode(url)
    if mode == "disable":
        return False
    authority = _option(url, "sslrootcert")
    certificate = _option(url, "sslcert")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = mode == "verify-full"
    try:
        if authority is None:
            context.verify_mode = ssl.CERT_NONE  # as libpq's `require`
        else:
            context.load_verify_locations(cafile=authority)
        if certificate is not None:
            context.load_cert_chain(certificate, keyfile=_option(url, "sslkey"))
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise ConfigurationError(
            f"{_SETTING} names a certificate, key or authority that cannot be used."
        ) from None
    return context


def _mode(url: URL) -> str:
    """Without a word of it: TLS, unless the server is on this machine."""
    return _option(url, "sslmode") or ("disable" if _is_nearby(url) else "require")


def _is_nearby(url: URL) -> bool:
    return _NEARBY.fullmatch(url.host or "") is not None


def _option(url: URL, name: str) -> str | None:
    value = url.query.get(name)
    return value if isinstance(value, str) else (value or (None,))[-1]
