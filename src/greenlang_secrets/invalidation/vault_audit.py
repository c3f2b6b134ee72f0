"""Writes of anybody, seen in the file that Vault's audit device writes.

Each answer stands there before it is given, with its path in clear and its values as HMACs (Vault
documentation, "Audit Devices"; measured in docs/explanation/vault-facts.md). There is no number
by which one could see that a line is missing, so what may hide one counts as a gap, and
everything is read anew: see `log_file`.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread

from greenlang_secrets.background import reported
from greenlang_secrets.invalidation.log_file import LogFile, Read
from greenlang_secrets.invalidation.revalidation import Revalidation
from greenlang_secrets.paths import KvPath, Scope, SecretPath

__all__ = ["AuditReader", "Change", "VaultAuditTail"]

_WRITES: Final = frozenset({"create", "update", "patch", "delete"})
_A_WRITE: Final = re.compile(rb'"operation":"(?:create|update|patch|delete)"')
_AN_ANSWER: Final = b'"type":"response"'
_BEGINNING: Final = b'{"time":'

_OTHERS: Final = ("sys/remount", "sys/storage/raft/snapshot", "sys/storage/raft/snapshot-force")
"""Requests that change whatever is in a mount."""

_log: Final = logging.getLogger("greenlang_secrets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A secret that was written, deleted, undeleted or destroyed, or whose metadata were.

    Attributes:
        written: the version that a write has made, and when.
    """

    scope: Scope
    path: SecretPath
    written: tuple[int, datetime] | None = None


class AuditReader:
    """Finds what changes secrets of one mount among the lines of an audit log."""

    def __init__(self, *, kv_mount: str, namespace: str | None) -> None:
        self._mount = kv_mount
        self._namespace = f"{namespace.strip('/')}/" if namespace else ""
        self._whole = (f"sys/mounts/{kv_mount}", *_OTHERS)

    def changes(self, lines: Iterable[bytes]) -> tuple[list[Change], str]:
        """Return the changes, and why others may be missing, or an empty text."""
        found: list[Change] = []
        gap = ""
        for line in lines:
            # Nearly all lines are requests and reads: they are not parsed. The text cannot stand
            # elsewhere in the line: quotes within a JSON text are escaped. A line that is no whole
            # one, or two torn ones, is.
            whole = line[:1] == b"{" and line[-1:] == b"}" and line.count(_BEGINNING) == 1
            if whole and (_AN_ANSWER not in line or _A_WRITE.search(line) is None):
                continue
            try:
                entry = json.loads(line[line.index(b"{") :])
                change = self._change(entry)
            except (ValueError, RecursionError):
                gap = "unreadable"
                continue
            if isinstance(change, Change):
                found.append(change)
            elif change:
                gap = change
        return found, gap

    def _change(self, entry: Any) -> Change | str | None:
        """The change of one entry; the reason where it is not only one secret's."""
        request = entry.get("request") if isinstance(entry, dict) else None
        if not isinstance(request, dict) or not isinstance(request.get("path"), str):
            raise ValueError  # noqa: TRY004  # as for what is no JSON: the line cannot be read
        if (
            entry.get("type") != "response"
            or entry.get("error")
            or request.get("operation") not in _WRITES
            or _namespace_of(request) != self._namespace
        ):
            return None
        path: str = request["path"]
        if path.rstrip("/") in self._whole:
            return "mount"
        placed = KvPath.placed(self._mount, path)
        if placed is None:
            return None
        return Change(scope=placed[0], path=placed[1], written=_written(entry.get("response")))


def _by_path(
    changes: Iterable[Change],
) -> dict[tuple[Scope, SecretPath], tuple[int, datetime] | None]:
    """One message for each path, of its last version if a write of that was all: a `put` that sets
    the type stands in the file as two requests.
    """
    paths: dict[tuple[Scope, SecretPath], tuple[int, datetime] | None] = {}
    for change in changes:
        key = (change.scope, change.path)
        paths[key] = change.written if paths.get(key, change.written) else None
    return paths


def _namespace_of(request: Mapping[str, Any]) -> str:
    namespace = request.get("namespace")
    path = namespace.get("path") if isinstance(namespace, dict) else None
    return path if isinstance(path, str) else ""


def _written(response: Any) -> tuple[int, datetime] | None:
    data = response.get("data") if isinstance(response, dict) else None
    if not isinstance(data, dict):
        return None
    version, created = data.get("version"), data.get("created_time")
    if not isinstance(version, int) or not isinstance(created, str):
        return None
    try:
        return version, datetime.fromisoformat(created).astimezone(UTC)
    except ValueError:
        return None


class VaultAuditTail:
    """Follows one audit file.

    Attributes:
        path: the file.
        following: whether it is being read just now.
    """

    def __init__(
        self, path: Path, reader: AuditReader, revalidation: Revalidation, *, poll_every: float
    ) -> None:
        self.path = path
        self.following = False
        self._reader = reader
        self._revalidation = revalidation
        self._poll_every = poll_every
        self._file = LogFile(path)
        self._missing = ""
        self._thread = anyio.CapacityLimiter(1)  # not behind whatever else threads are used for

    async def run(self) -> None:
        """Follow it until cancelled."""
        try:
            while True:
                if not await reported(self._look(), name="vault_audit"):
                    await anyio.sleep(self._poll_every)
        finally:
            self._file.close()

    async def _look(self) -> bool:
        """Read on, and return whether there was more."""
        read, changes, gap = await anyio.to_thread.run_sync(self._read, limiter=self._thread)
        self._note(read)
        for (scope, path), written in _by_path(changes).items():
            self._revalidation.path(scope.key, str(path), written=written)
        if gap:
            self._revalidation.everything(f"vault_audit.{gap}")
        return read.more

    def _read(self) -> tuple[Read, list[Change], str]:
        read = self._file.look()
        changes, gap = self._reader.changes(read.lines)
        return read, changes, read.gap or gap

    def _note(self, read: Read) -> None:
        self.following = not read.missing
        if read.missing != self._missing:
            self._missing = read.missing
            if read.missing:
                _log.warning("vault_audit.missing", extra={"error": read.missing})
            else:
                _log.info("vault_audit.following")
