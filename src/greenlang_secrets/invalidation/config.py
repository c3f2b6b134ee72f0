"""What is listened to, and how much it may cost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.settings import PREFIX, Settings, shown_path

__all__ = ["InvalidationConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidationConfig:
    """Where changes are heard of.

    Attributes:
        vault_audit_logs: files that Vault's file audit device writes, one for each node whose
            file can be read here. They need not be there yet.
        audit_poll_every: seconds between two looks at such a file: half of it is what a change
            waits on average.
        revalidate_every: seconds between two times that everything is read anew, at least: what a
            flood of messages, or a file that cannot be read, may cost.
        settle_after: seconds after which what was heard of is read once more, because a standby
            may have answered that had not applied the change yet; 0 does not. None is 0.5 with
            several addresses of Vault and 0 with one, which is no standby's.
    """

    vault_audit_logs: tuple[Path, ...] = ()
    audit_poll_every: float = 0.1
    revalidate_every: float = 5.0
    settle_after: float | None = None

    def __post_init__(self) -> None:
        if not self.audit_poll_every > 0 or not self.revalidate_every > 0:
            raise ConfigurationError("The seconds between two looks are greater than 0.")
        if self.settle_after is not None and not self.settle_after >= 0:
            raise ConfigurationError("The seconds to settle are 0 or greater.")

    @classmethod
    def from_env(cls, *, environ: Mapping[str, str] | None = None) -> InvalidationConfig:
        """Return what the environment variables describe.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        settings = Settings(os.environ if environ is None else environ)
        return cls(
            vault_audit_logs=_files(settings.text("VAULT_AUDIT_LOG")),
            audit_poll_every=settings.number("VAULT_AUDIT_POLL_SECONDS", 0.1, least=0.001),
            revalidate_every=settings.number("REVALIDATE_EVERY_SECONDS", 5.0, least=0.001),
            settle_after=(
                None
                if settings.text("SETTLE_SECONDS") is None
                else settings.number("SETTLE_SECONDS", 0.0)
            ),
        )


def _files(raw: str | None) -> tuple[Path, ...]:
    files = tuple(Path(part.strip()) for part in (raw or "").split(",") if part.strip())
    for file in files:
        if not file.is_absolute():
            raise ConfigurationError(
                f"{PREFIX}VAULT_AUDIT_LOG is {shown_path(str(file))}; use the absolute path of the "
                "file that Vault's audit device writes (several are separated by commas)."
            )
    return files
