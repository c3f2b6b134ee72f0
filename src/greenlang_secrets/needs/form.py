"""In which form needs are printed, and the line that says so at the head of each file.

That line is the command that prints the file, so a reader can run it, and `check` can compare.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, fields
from typing import Final, Literal, Self, get_args

from greenlang_secrets.errors import ConfigurationError

__all__ = ["PROGRAM", "Artefact", "Form"]

Artefact = Literal["policy", "external-secret", "annotations"]

PROGRAM: Final = "greenlang-secrets needs"

_HEAD: Final = "# Printed by: "
_SOURCE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z")
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_STORE: Final = re.compile(r"(ClusterSecretStore|SecretStore)/[a-z0-9][a-z0-9.-]{0,252}\Z")
_DURATION: Final = re.compile(r"([1-9][0-9]*(h|m|s))+\Z")
_MOUNT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_-]*)*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is printed of which class, and the names in it.

    Attributes:
        source: the class, as ``MODULE:CLASS``.
        name: of the program: the first part of its ExternalSecrets' names, its Deployment, and its
            role at Vault; the module's first part, unless given.
        namespace: of the objects; none, where empty.
        kv_mount: the KV version 2 mount.
        store: kind and name of the operator's store.
        refresh: how often the operator reads.
    """

    artefact: Artefact
    source: str
    name: str = ""
    namespace: str = ""
    kv_mount: str = "secret"
    store: str = "ClusterSecretStore/vault-kv"
    refresh: str = "15s"

    def __post_init__(self) -> None:
        if _SOURCE.match(self.source) is None:
            raise ConfigurationError("Name the class as MODULE:CLASS, such as orders.needs:Needs.")
        if not self.name:
            object.__setattr__(self, "name", _first_part(self.source))
        for option, grammar in (
            ("name", _NAME),
            ("kv_mount", _MOUNT),
            ("store", _STORE),
            ("refresh", _DURATION),
        ):
            if grammar.match(getattr(self, option)) is None:
                raise ConfigurationError(f"{_flag(option)} is not {_WANTED[option]}.")
        if self.namespace and _NAME.match(self.namespace) is None:
            raise ConfigurationError(f"--namespace is not {_WANTED['name']}.")

    @property
    def head(self) -> str:
        """The line that says how the file is printed."""
        return f"{_HEAD}{self.command}"

    @property
    def command(self) -> str:
        """The command that prints the file."""
        usual = {each.name: each.default for each in fields(self)}
        usual["name"] = _first_part(self.source)
        words = [self.source, f"--{self.artefact}"]
        for option in ("name", "namespace", "kv_mount", "store", "refresh"):
            value = getattr(self, option)
            if value != usual[option]:
                words += [_flag(option), value]
        return f"{PROGRAM} {shlex.join(words)}"

    @classmethod
    def of(cls, line: str) -> Self | None:
        """Return the form that a file's first line names; None if it names none.

        Raises:
            ConfigurationError: it begins like one, and is none.
        """
        if not line.startswith(f"{_HEAD}{PROGRAM} "):
            return None
        try:
            _program, _command, source, artefact, *more = shlex.split(line.removeprefix(_HEAD))
        except ValueError:
            raise ConfigurationError("The line that begins the file is no command.") from None
        kinds = {f"--{each}": each for each in get_args(Artefact)}
        options = {_flag(each.name): each.name for each in fields(cls)[2:]}
        given = dict(zip(more[::2], more[1::2], strict=False))
        if artefact not in kinds or len(more) % 2 or not given.keys() <= options.keys():
            raise ConfigurationError("The line that begins the file is no command.")
        values = {options[flag]: value for flag, value in given.items()}
        return cls(artefact=kinds[artefact], source=source, **values)


_WANTED: Final = {
    "name": "a name in Kubernetes: 1 to 63 of a-z, 0-9 and '-'",
    "kv_mount": "a mount: segments of letters, digits, '_' and '-'",
    "store": "a store, such as ClusterSecretStore/vault-kv or SecretStore/vault",
    "refresh": "a duration, such as 15s or 1h30m",
}


def _flag(option: str) -> str:
    return "--" + option.replace("_", "-")


def _first_part(source: str) -> str:
    return re.split(r"[.:]", source)[0].strip("_").replace("_", "-").lower()
