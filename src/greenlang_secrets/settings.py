"""Environment variables, read by name: what they hold, and what is wrong with one.

Vault's own variables are read as Vault's tools read them (``VAULT_*`` with their ``BAO_*``
twins); ours begin with ``GREENLANG_SECRETS_``. What the values mean is left to those who
ask. Every refusal names the setting, what was seen (never a secret) and the fix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from greenlang_secrets.errors import ConfigurationError

__all__ = ["PREFIX", "Settings", "shown_path"]

PREFIX: Final = "GREENLANG_SECRETS_"

_A_PATH: Final = re.compile(r"(?!-)[\w./ -]*/[\w./ -]*")


@dataclass(frozen=True, slots=True)
class Settings:
    """Reads settings by name and says what is wrong with one."""

    environ: Mapping[str, str] = field(repr=False)  # it may hold VAULT_TOKEN

    def text(self, name: str) -> str | None:
        """Return ``GREENLANG_SECRETS_<name>``, or None if it is unset or empty."""
        return self.environ.get(PREFIX + name, "").strip() or None

    def vault(self, name: str) -> str | None:
        """Return ``VAULT_<name>``, else ``BAO_<name>``, or None."""
        for prefix in ("VAULT_", "BAO_"):
            value = self.environ.get(prefix + name, "").strip()
            if value:
                return value
        return None

    def kubernetes(self, name: str) -> str | None:
        """Return ``KUBERNETES_<name>``, which Kubernetes sets in each container, or None."""
        return self.environ.get(f"KUBERNETES_{name}", "").strip() or None

    def number(self, name: str, default: float, *, least: float = 0.0) -> float:
        """Return a number of at least `least`.

        Raises:
            ConfigurationError: it is set to something else.
        """
        raw = self.text(name)
        if raw is None:
            return default
        try:
            value = float(raw)
        except ValueError:
            value = float("nan")
        if not least <= value < float("inf"):
            raise ConfigurationError(
                f"{PREFIX}{name} is {raw!r}; use a number of at least {least:g}."
            )
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false.

        Raises:
            ConfigurationError: it is set to something else.
        """
        raw = self.text(name)
        if raw is None:
            return default
        if raw.lower() not in {"true", "false"}:
            raise ConfigurationError(f"{PREFIX}{name} is {raw!r}; use true or false.")
        return raw.lower() == "true"

    def state_dir(self) -> Path:
        """Return the folder of what the service keeps on this machine: its audit log and, unless
        a database server has it, the catalogue. It is not made here.

        ``GREENLANG_SECRETS_STATE_DIR``, else ``$XDG_STATE_HOME/greenlang-secrets``, else
        ``~/.local/state/greenlang-secrets`` (XDG Base Directory Specification 0.8).

        Raises:
            ConfigurationError: it is relative, or no variable says where it is.
        """
        named = self.text("STATE_DIR")
        if named is not None:
            folder = Path(named)
            if not folder.is_absolute():
                raise ConfigurationError(
                    f"{PREFIX}STATE_DIR is {shown_path(named)}; use an absolute path."
                )
            return folder
        state, home = (Path(self.environ.get(name, "")) for name in ("XDG_STATE_HOME", "HOME"))
        if state.is_absolute():  # the specification has relative ones ignored
            return state / "greenlang-secrets"
        if home.is_absolute():
            return home / ".local" / "state" / "greenlang-secrets"
        raise ConfigurationError(
            f"{PREFIX}STATE_DIR is not set, and neither is HOME; set it to a folder that only the "
            "service may read."
        )

    def file(self, name: str) -> Path | None:
        """Return the path of a readable file, or None if unset.

        Raises:
            ConfigurationError: there is no such file.
        """
        return _file(PREFIX + name, self.text(name))

    def vault_file(self, name: str) -> Path | None:
        """Return the path of a readable file from one of Vault's variables, or None.

        Raises:
            ConfigurationError: there is no such file.
        """
        return _file(f"VAULT_{name}", self.vault(name))


def shown_path(raw: str) -> str:
    """Return a file's name as an error may quote it.

    Without a slash, or with more than a path's characters, it may be the secret itself, put
    where its file's name belongs.
    """
    return repr(raw) if _A_PATH.fullmatch(raw) else "a text that is no path"


def _file(setting: str, raw: str | None) -> Path | None:
    if raw is None:
        return None
    path = Path(raw)
    try:
        found = path.is_file()
    except OSError:  # too long for a name, or in a folder that is closed to us
        found = False
    if not found:
        raise ConfigurationError(f"{setting} is {shown_path(raw)}; there is no such file.")
    return path
