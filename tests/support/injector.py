"""What the Vault Agent Injector makes of a pod's annotations, run here with a real agent.

It follows the injector's own rules: one template for each ``agent-inject-secret-NAME``, one
configuration as JSON in VAULT_CONFIG, and a container that decodes and runs it, changed by the
JSON patch of the annotations. An annotation that is not known here fails the test.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from greenlang_secrets.testing.openbao import _bao

PATCHES = Path(__file__).resolve().parents[2] / "k8s" / "agent-injector"
PREFIX = "vault.hashicorp.com/"

_COMMAND = (
    "echo ${VAULT_CONFIG?} | base64 -d > /home/vault/config.json && "
    "vault agent -config=/home/vault/config.json"
)
_OF_A_FILE = (
    *("agent-inject-secret-", "agent-inject-template-", "agent-inject-file-"),
    *("agent-inject-perms-", "agent-inject-command-", "error-on-missing-key-"),
)
_OF_THE_POD = {
    *("agent-inject", "role", "auth-path", "service", "tls-secret", "ca-cert"),
    *("agent-service-account-token-volume-name", "agent-pre-populate"),
    *("agent-pre-populate-only", "agent-init-first", "template-static-secret-render-interval"),
    *("template-config-exit-on-retry-failure", "agent-auto-auth-exit-on-err"),
    *("agent-init-json-patch", "agent-json-patch", "agent-set-security-context"),
    *("agent-run-as-user", "agent-run-as-group", "agent-share-process-namespace"),
    *("agent-revoke-on-shutdown", "agent-revoke-grace"),
    *("agent-requests-cpu", "agent-limits-cpu", "agent-requests-mem", "agent-limits-mem"),
}


def annotations(name: str) -> dict[str, str]:
    """Return the annotations of a patch, without their prefix."""
    document = yaml.safe_load((PATCHES / f"{name}.yaml").read_text())
    found = document["spec"]["template"]["metadata"]["annotations"]
    assert all(key.startswith(PREFIX) for key in found)
    assert all(isinstance(value, str) for value in found.values())
    return {key.removeprefix(PREFIX): value for key, value in found.items()}


def unknown(given: Mapping[str, str]) -> set[str]:
    """Return the annotations that mean nothing to the injector."""
    return {key for key in given if key not in _OF_THE_POD and not key.startswith(_OF_A_FILE)}


def configuration(given: Mapping[str, str], *, init: bool, address: str) -> dict[str, Any]:
    """Return the agent's configuration, for the init container or the sidecar."""
    assert unknown(given) == set()
    names = [
        key.removeprefix("agent-inject-secret-")
        for key in given
        if key.startswith("agent-inject-secret-")
    ]
    config: dict[str, Any] = {
        "auto_auth": {
            "method": {
                "type": "kubernetes",
                "mount_path": given["auth-path"],
                "config": {
                    "role": given["role"],
                    "token_path": "/var/run/secrets/vault.hashicorp.com/serviceaccount/token",
                },
                "exit_on_err": given.get("agent-auto-auth-exit-on-err") == "true",
            },
            "sink": [{"type": "file", "config": {"path": "/home/vault/.vault-token"}}],
        },
        "exit_after_auth": init,
        "pid_file": "/home/vault/.pid",
        "vault": {"address": address},
        "template": [_template(given, name) for name in names],
        "template_config": {
            "exit_on_retry_failure": given.get("template-config-exit-on-retry-failure") != "false"
        },
    }
    interval = given.get("template-static-secret-render-interval")
    if interval:
        config["template_config"]["static_secret_render_interval"] = interval
    return config


def _template(given: Mapping[str, str], name: str) -> dict[str, Any]:
    template = {
        "destination": f"/vault/secrets/{given.get(f'agent-inject-file-{name}', name)}",
        "contents": given[f"agent-inject-template-{name}"],
        "left_delimiter": "{{",
        "right_delimiter": "}}",
        "error_on_missing_key": given.get(f"error-on-missing-key-{name}") == "true",
    }
    for key in ("command", "perms"):
        if value := given.get(f"agent-inject-{key}-{name}"):
            template[key] = value
    return template


def container(given: Mapping[str, str], *, init: bool) -> dict[str, Any]:
    """Return the container's arguments and security context, after the JSON patch."""
    made: dict[str, Any] = {"args": [_COMMAND], "securityContext": {}}
    patch = given.get("agent-init-json-patch" if init else "agent-json-patch", "[]")
    for operation in json.loads(patch):
        *parents, last = operation["path"].strip("/").split("/")
        place: Any = made
        for part in parents:
            place = place[part]
        place[int(last) if isinstance(place, list) else last] = operation["value"]
    return made


@dataclass(frozen=True)
class Pod:
    """A pod's volumes, as folders.

    Attributes:
        folder: has `secrets`, in place of /vault/secrets.
        address: of Vault.
    """

    folder: Path
    address: str

    @property
    def secrets(self) -> Path:
        """The memory volume."""
        return self.folder / "secrets"

    @classmethod
    def made(cls, folder: Path, address: str, token: str) -> Pod:
        """Make the volumes, and programs of the image; signals reach this pod's processes only."""
        for name in ("secrets", "home", "bin", "token"):
            (folder / name).mkdir(parents=True)
        (folder / "token" / "token").write_text(token)
        for name in ("bao", "vault"):
            (folder / "bin" / name).symlink_to(_bao())
        pkill = folder / "bin" / "pkill"
        pkill.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__)} {folder}/app "$@"\n')
        pkill.chmod(0o700)
        return cls(folder, address)

    def files(self) -> dict[str, str]:
        """Return what is rendered."""
        return {file.name: file.read_text() for file in sorted(self.secrets.iterdir())}

    def log(self) -> str:
        """Return what agents wrote."""
        return (self.folder / "log").read_text()

    @asynccontextmanager
    async def agent(
        self, given: Mapping[str, str], *, init: bool
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run the container; it is gone afterwards."""
        config = configuration(given, init=init, address=self.address)
        encoded = base64.b64encode(self._here(json.dumps(config)).encode()).decode()
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        with (self.folder / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-ec", self._here(container(given, init=init)["args"][0])),
                env={"PATH": path, "VAULT_CONFIG": encoded, "HOME": str(self.folder / "home")},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def initialised(self, given: Mapping[str, str]) -> int:
        """Run the init container and return its exit code."""
        async with self.agent(given, init=True) as process:
            return await process.wait()

    def _here(self, text: str) -> str:
        places = {
            "/home/vault": "home",
            "/vault/secrets": "secrets",
            "/var/run/secrets/vault.hashicorp.com/serviceaccount": "token",
        }
        for place, name in places.items():
            text = text.replace(place, str(self.folder / name))
        return text


def _signal(pid_file: Path, options: list[str]) -> int:
    """What pkill does, for the one process that is this pod's application."""
    if options[:2] != ["-HUP", "-f"]:
        return 2
    import re

    if not pid_file.exists():
        return 1
    pid, command = pid_file.read_text().split(" ", 1)
    if not re.search(options[2], command):
        return 1
    os.kill(int(pid), signal.SIGHUP)
    return 0


if __name__ == "__main__":
    sys.exit(_signal(Path(sys.argv[1]), sys.argv[2:]))
