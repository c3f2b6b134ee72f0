"""Where the audit log is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.settings import PREFIX, Settings, shown_path

__all__ = ["AuditConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """How the service audits.

    Attributes:
        log: the file; its sidecar and its rotated predecessors stand beside it.
    """

    log: Path

    @classmethod
    def from_env(cls, *, environ: Mapping[str, str] | None = None) -> AuditConfig:
        """Return what the environment says: ``GREENLANG_SECRETS_AUDIT_LOG``, else
        ``audit.jsonl`` in the state folder.

        Raises:
            ConfigurationError: the path is relative, or no variable says where the state is.
        """
        settings = Settings(os.environ if environ is None else environ)
        named = settings.text("AUDIT_LOG")
        if named is None:
            return cls(log=settings.state_dir() / "audit.jsonl")
        if not Path(named).is_absolute():
            raise ConfigurationError(
                f"{PREFIX}AUDIT_LOG is {shown_path(named)}; use an absolute path."
            )
        return cls(log=Path(named))
