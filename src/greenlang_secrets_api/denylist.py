"""Revoked bearers: a file with the `jti` (RFC 7519, 4.1.7) of each, one on a line.

A bearer lives an hour at most, so a line may go an hour after the bearer was issued, and the
list stays short. Replace the file by renaming another onto it: one that is being written is
read as it stands, and again when it has changed.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets_api.watched_file import FileContentError, WatchedFile

__all__ = ["MAX_ID", "Denylist"]

_log: Final = logging.getLogger("greenlang_secrets_api.denylist")

MAX_ID: Final = 256
"""Characters of a `jti`; a bearer with a longer one is refused where there is a list."""

MAX_FILE: Final = 4 * 1024 * 1024  # octets: an id on each of 100,000 lines


class Denylist:
    """The ids of a denylist file, read anew within a second of its change.

    A file that later cannot be read, or holds something else, leaves the last list in force.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: WatchedFile[frozenset[str]] = WatchedFile(
            path, limit=MAX_FILE, parse=_parse, log=_log, event="denylist.reload_failed"
        )

    async def open(self) -> None:
        """Read the file for the first time; an empty one revokes nothing.

        Raises:
            ConfigurationError: it cannot be read, or is no list of ids.
        """
        try:
            await self._file.open()
        except (OSError, FileContentError) as error:
            why = error if isinstance(error, FileContentError) else "it cannot be read"
            raise ConfigurationError(
                f"GREENLANG_SECRETS_JWT_DENYLIST_FILE is {str(self._path)!r}: {why}; "
                "write the `jti` of each revoked bearer on a line of its own."
            ) from None

    async def refresh(self) -> None:
        """Look whether the file has changed, at most once a second."""
        await self._file.refresh()

    def denies(self, jti: str) -> bool:
        """Return whether the bearer of that id is revoked."""
        return jti in self._file.value


def _parse(content: bytes) -> frozenset[str]:
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise FileContentError("it is not text in UTF-8") from None
    ids = frozenset(stripped for line in lines if (stripped := line.strip()))
    if any(len(each) > MAX_ID or not each.isprintable() for each in ids):
        raise FileContentError(f"a line is no id of 1 to {MAX_ID} printable characters")
    return ids
