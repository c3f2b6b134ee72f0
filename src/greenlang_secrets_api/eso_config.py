"""Whether ExternalSecrets are watched, and how the Kubernetes API server is reached.

In a pod nothing but the switch is set: address, token and authority are where Kubernetes puts
them. Elsewhere the three are named.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.settings import PREFIX, Settings

__all__ = ["EsoConfig", "WatchPace"]

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts a pod's token and the authority of the API server."""

_SWITCH: Final = f"{PREFIX}ESO_WATCH"
_NUDGE: Final = f"{PREFIX}ESO_NUDGE"
_URL: Final = f"{PREFIX}ESO_API_URL"
_NAMESPACES: Final = f"{PREFIX}ESO_NAMESPACES"
_MOST: Final = f"{PREFIX}ESO_MAX_SECRETS"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_A_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123's label


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPace:
    """How long each part of a watch may take, in seconds.

    Attributes:
        open_within: for the API server to begin its answer.
        page_within: for one page of a list.
        watch_for: after which the server is asked to end a watch, at most; a quarter less by
            chance, so that replicas do not come back together.
        silence: without an octet, after which a stream counts as dead: the API server sends a
            bookmark every minute.
        first_wait, longest_wait: what the wait before another attempt is drawn from, at first and
            at most.
        absent_wait: before looking again for a kind that the server does not serve.
        steady: that a stream must last for the waits to begin anew.
    """

    open_within: float = 10.0
    page_within: float = 30.0
    watch_for: float = 240.0
    silence: float = 90.0
    first_wait: float = 0.5
    longest_wait: float = 60.0
    absent_wait: float = 300.0
    steady: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EsoConfig:
    """What is watched, and where.

    Attributes:
        enabled: whether anything is.
        api_url: the API server's base URL.
        token_file: read anew at each request; None sends no token.
        ca_file: authorities to trust instead of the system's.
        namespaces: those watched; none are all, which needs a ClusterRole.
        max_secrets: ExternalSecrets and PushSecrets told of, each by five series.
        nudge: whether a change has the ExternalSecrets that read it refreshed at once.
        pace: how long things may take.
    """

    enabled: bool = False
    api_url: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None
    namespaces: tuple[str, ...] = ()
    max_secrets: int = 500
    nudge: bool = False
    pace: WatchPace = field(default_factory=WatchPace)

    def __post_init__(self) -> None:
        if self.nudge and not self.enabled:
            raise ConfigurationError(
                f"{_NUDGE} is true and {_SWITCH} is not; set {_SWITCH} to true, which finds the "
                f"ExternalSecrets, or {_NUDGE} to false."
            )
        if self.enabled:
            _check_url(self.api_url)
        for namespace in self.namespaces:
            if _A_NAMESPACE.fullmatch(namespace) is None:
                raise ConfigurationError(
                    f"{_NAMESPACES} has {namespace!r}; use names of namespaces, separated by "
                    "commas, or leave it empty for all."
                )
        if self.max_secrets < 1:
            raise ConfigurationError(f"{_MOST} is {self.max_secrets}; use 1 or more.")

    @classmethod
    def from_env(cls, *, environ: Mapping[str, str] | None = None) -> EsoConfig:
        """Return what the environment variables describe.

        Raises:
            ConfigurationError: a setting is wrong, or the watch is switched on and there is no
                API server to be found.
        """
        settings = Settings(os.environ if environ is None else environ)
        nudge = settings.flag("ESO_NUDGE", default=False)
        if not settings.flag("ESO_WATCH", default=False):
            return cls(nudge=nudge)
        url = settings.text("ESO_API_URL")
        token_file, ca_file = settings.file("ESO_TOKEN_FILE"), settings.file("ESO_CA_FILE")
        if url is None:
            url = _address_in_a_pod(settings)
            token_file = token_file or _mounted("token", "ESO_TOKEN_FILE")
            ca_file = ca_file or _mounted("ca.crt", "ESO_CA_FILE")
        return cls(
            enabled=True,
            api_url=url,
            token_file=token_file,
            ca_file=ca_file,
            namespaces=_names(settings.text("ESO_NAMESPACES")),
            max_secrets=int(settings.number("ESO_MAX_SECRETS", 500, least=1)),
            nudge=nudge,
        )


def _address_in_a_pod(settings: Settings) -> str:
    host, port = settings.kubernetes("SERVICE_HOST"), settings.kubernetes("SERVICE_PORT")
    if host is None or port is None:
        raise ConfigurationError(
            f"{_SWITCH} is true, and KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, which "
            f"every pod has, are not set; set {_URL} to the URL of the Kubernetes API server, or "
            f"{_SWITCH} to false."
        )
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


def _mounted(name: str, setting: str) -> Path:
    path = SERVICE_ACCOUNT / name
    if not path.is_file():
        raise ConfigurationError(
            f"{_SWITCH} is true, and the pod has no {str(path)!r}; set "
            f"automountServiceAccountToken to true in the pod, or {PREFIX}{setting} to a file."
        )
    return path


def _names(raw: str | None) -> tuple[str, ...]:
    names = (part.strip() for part in (raw or "").split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    shown = url.rpartition("@")[2]  # a password typed into it must not be shown
    bare = not (parts.username or parts.password or parts.query or parts.fragment)
    if not parts.hostname or not port_is_fine or not bare:
        raise ConfigurationError(f"{_URL} is {shown!r}; use https://host:port without a user.")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ConfigurationError(
            f"{_URL} is {shown!r}; it must begin with https:// (http:// only to this machine, for "
            "`kubectl proxy`)."
        )
