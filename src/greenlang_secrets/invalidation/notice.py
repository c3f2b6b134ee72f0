"""What replicas tell each other: a small JSON object, and never a value.

Whoever may connect to the database may send one. So it is parsed strictly, and what it can bring
about is bounded by whoever acts on it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from greenlang_secrets.errors import InvalidPath, InvalidTenant
from greenlang_secrets.paths import PLATFORM, Scope, SecretPath, Tenant, TenantId

__all__ = ["MAX_OCTETS", "Kind", "Notice"]

MAX_OCTETS: Final = 7999
"""PostgreSQL's bound for a payload ("must be shorter than 8000 bytes")."""

_ORIGIN: Final = re.compile(r"[0-9a-f]{16}\Z")
_FIELDS: Final = {"kind", "origin", "seq", "tenant", "path", "version"}


class Kind(StrEnum):
    """What a notice says.

    CHANGED: a path has. EVERYTHING: something has, it is not known what. ALIVE: nothing; the
    origin is there, and this is the number of its last change. LEFT: the origin goes, in order.
    """

    CHANGED = "changed"
    EVERYTHING = "everything"
    ALIVE = "alive"
    LEFT = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message.

    Attributes:
        origin: a random name of the process that sends it.
        seq: the number of its last change, this one included; from 1.
        scope, path: what has changed, if it says so.
        version: the version that was written, where that is known.
    """

    kind: Kind
    origin: str
    seq: int
    scope: Scope = PLATFORM
    path: SecretPath | None = None
    version: int | None = None

    @classmethod
    def parse(cls, payload: str) -> Notice | None:
        """Return the notice; None for what is none."""
        try:
            fields = json.loads(payload) if len(payload) <= MAX_OCTETS else None
        except (ValueError, RecursionError):
            return None
        if not isinstance(fields, dict) or fields.keys() != _FIELDS:
            return None
        kind, origin, seq = fields["kind"], fields["origin"], fields["seq"]
        tenant, path, version = fields["tenant"], fields["path"], fields["version"]
        if (
            kind not in tuple(Kind)
            or not isinstance(origin, str)
            or _ORIGIN.match(origin) is None
            or not _is_number(seq)
            or not (version is None or _is_number(version))
            or (path is not None) is not (kind == Kind.CHANGED)
        ):
            return None
        try:
            return cls(
                kind=Kind(kind),
                origin=origin,
                seq=seq,
                scope=PLATFORM if tenant is None else Tenant(TenantId(tenant)),
                path=None if path is None else SecretPath.parse(path),
                version=version,
            )
        except (InvalidPath, InvalidTenant):
            return None

    def payload(self) -> str:
        """Return it as it is sent."""
        return json.dumps(
            {
                "kind": self.kind.value,
                "origin": self.origin,
                "seq": self.seq,
                "tenant": self.scope.id.value if isinstance(self.scope, Tenant) else None,
                "path": None if self.path is None else str(self.path),
                "version": self.version,
            }
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
