"""URLs that hold a password: each part encoded, so that any text survives.

A text that holds ``@``, ``/`` or ``%`` would end its part of a URL, or change its meaning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

from greenlang_secrets.errors import SecretIncomplete
from greenlang_secrets.sensitive import SecretValue

__all__ = ["url"]

# A name, an IPv4 address, or an IPv6 address, perhaps with a zone. Nothing of this is encoded:
# readers of URLs differ in what they decode of a host.
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?\Z")
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\Z")


def url(
    scheme: str,
    *,
    username: str | None,
    password: SecretValue,
    host: str,
    port: int,
    name: str | None,
    options: Mapping[str, str] | None = None,
    path: str | None = None,
) -> SecretValue:
    """Return ``scheme://username:password@host:port/name?options``.

    A `host` that begins with ``/`` is a folder with a Unix socket; it is named in the options,
    as clients of PostgreSQL take it.

    Raises:
        SecretIncomplete: `host` is neither a name, nor an address, nor a folder; `path` is the
            secret's, for that error.
    """
    query = dict(options or {})
    if host.startswith("/"):
        query = {"host": host, "port": str(port), **query}
        where = ""
    elif _IPV6.match(host):
        where = f"[{host}]:{port}"
    elif _HOST.match(host):
        where = f"{host}:{port}"
    else:
        raise SecretIncomplete("host", wanted="a host's name or address", path=path)
    user = "" if username is None else quote(username, safe="")
    secret = quote(password.reveal(), safe="")
    database = "" if name is None else f"/{quote(name, safe='')}"
    if not database and query:
        database = "/"
    rest = f"?{urlencode(query, quote_via=quote)}" if query else ""
    return SecretValue(f"{scheme}://{user}:{secret}@{where}{database}{rest}")
