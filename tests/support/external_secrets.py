"""What the External Secrets Operator does with our manifests, against a real server.

Logins, reads and pushes are its requests. Its templates are rendered by a real ``bao agent``, whose
engine is Go's, as the operator's is: inside a ``with`` that makes the dot what the operator makes of
it, and with the functions of sprig by the agent's names for them.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenlang_secrets.testing.openbao import _bao
from support.shipped import Shipped

Manifest = dict[str, Any]

_SPRIG = re.compile(r"\|\s*(trim|replace)\b")
_ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_AGENT_SECONDS = 45.0


class Refused(AssertionError):
    """Vault does not let the operator do what a manifest asks of it."""


@dataclass(frozen=True)
class Login:
    """Who the operator logs in as, and at which auth mount."""

    mount: str
    role: str
    namespace: str
    account: str
    audience: str


class Operator:
    """Does for manifests what the operator does.

    Attributes:
        manifests: all that is applied.
    """

    def __init__(self, vault: Shipped, manifests: Sequence[Manifest]) -> None:
        self._vault = vault
        self.manifests = manifests

    def of(self, kind: str) -> list[Manifest]:
        """Return the manifests of a kind."""
        return [each for each in self.manifests if each["kind"] == kind]

    def one(self, kind: str, name: str) -> Manifest:
        """Return the manifest of a kind and name."""
        [found] = [each for each in self.of(kind) if each["metadata"]["name"] == name]
        return found

    def generator(self, external_secret: Manifest) -> Manifest | None:
        """Return the generator that an ExternalSecret takes, or None."""
        for source in external_secret["spec"].get("dataFrom", []):
            if "sourceRef" in source:
                reference = source["sourceRef"]["generatorRef"]
                return self.one(reference["kind"], reference["name"])
        return None

    def _home(self, manifest: Manifest) -> tuple[Manifest, dict[str, Any]]:
        """Return what a manifest takes, generator or store, and the Vault that it names."""
        home = self.generator(manifest)
        if home is None:
            spec = manifest["spec"]
            reference = spec.get("secretStoreRef") or spec["secretStoreRefs"][0]
            home = self.one(reference["kind"], reference["name"])
        provider: dict[str, Any] = home["spec"]["provider"]
        namespace = manifest["metadata"]["namespace"]
        conditions = home["spec"].get("conditions", [])
        if home["kind"] == "ClusterSecretStore":
            allowed = not conditions or any(
                namespace in each.get("namespaces", []) for each in conditions
            )
        else:
            allowed = home["metadata"]["namespace"] == namespace
        if not allowed:
            raise Refused(f"{home['metadata']['name']} is not for the namespace {namespace}")
        return home, provider.get("vault", provider)

    def login(self, manifest: Manifest) -> Login:
        """Return the login of an ExternalSecret or a PushSecret."""
        home, vault = self._home(manifest)
        auth = vault["auth"]["kubernetes"]
        account = auth["serviceAccountRef"]
        # Only a ClusterSecretStore may name an account of another namespace than its own.
        cluster = home["kind"] == "ClusterSecretStore"
        return Login(
            mount=auth["mountPath"],
            role=auth["role"],
            namespace=account["namespace"] if cluster else home["metadata"]["namespace"],
            account=account["name"],
            audience=account["audiences"][0],
        )

    def _path(self, manifest: Manifest, key: str, tree: str = "data") -> str:
        """Return where Vault has a key of the manifest's store."""
        _, vault = self._home(manifest)
        middle = f"{tree}/" if vault["version"] == "v2" else ""
        return f"{vault['path']}/{middle}{key}"

    async def token(self, login: Login) -> str:
        """Log in."""
        account = self._vault.accounts.token(
            login.namespace, login.account, audience=login.audience
        )
        status, body = await self._vault.server.request(
            "POST", f"auth/{login.mount}/login", {"role": login.role, "jwt": account}
        )
        if status != 200:
            raise Refused(f"login as {login.role}: {status}")
        return str(body["auth"]["client_token"])

    async def read(self, external_secret: Manifest) -> dict[str, str]:
        """Read what an ExternalSecret names, and return what its template gets."""
        token = await self.token(self.login(external_secret))
        got: dict[str, str] = {}
        for entry in external_secret["spec"].get("data", []):
            remote = entry["remoteRef"]
            data = await self._data(self._path(external_secret, remote["key"]), token)
            if remote["property"] not in data:
                raise Refused(f"{remote['key']} has no {remote['property']}")
            got[entry["secretKey"]] = data[remote["property"]]
        for source in external_secret["spec"].get("dataFrom", []):
            if "extract" in source:
                path = self._path(external_secret, source["extract"]["key"])
                got |= await self._data(path, token)
        return got

    async def _data(self, path: str, token: str) -> dict[str, str]:
        status, body = await self._vault.server.request("GET", path, None, token)
        if status != 200:
            raise Refused(f"{path}: {status}")
        data: dict[str, str] = body["data"]["data"]
        return data

    async def generated(self, external_secret: Manifest) -> dict[str, Any]:
        """Ask for what a generator makes, by its own method and parameters."""
        generator = self.generator(external_secret)
        assert generator is not None
        spec = generator["spec"]
        token = await self.token(self.login(external_secret))
        status, body = await self._vault.server.request(
            spec["method"], spec["path"], spec.get("parameters"), token
        )
        if status != 200:
            raise Refused(f"{spec['method']} {spec['path']}: {status}")
        data: dict[str, Any] = body["data"]
        return data

    async def push(self, push_secret: Manifest) -> set[int]:
        """Make and update what a PushSecret pushes; return the statuses of deleting it."""
        token = await self.token(self.login(push_secret))
        statuses: set[int] = set()
        for entry in push_secret["spec"]["data"]:
            key = entry["match"]["remoteRef"]["remoteKey"]
            values = self._path(push_secret, key)
            about = self._path(push_secret, key, "metadata")
            mark = {"custom_metadata": {"managed-by": "external-secrets"}}
            for method, path, body in (
                ("POST", about, mark),
                ("POST", values, {"data": {"value": "one"}}),
                ("GET", values, None),
                ("POST", values, {"data": {"value": "two"}}),
                ("POST", about, mark),
                ("GET", about, None),
            ):
                status, _ = await self._vault.server.request(method, path, body, token)
                if status not in {200, 204}:
                    raise Refused(f"{method} {path}: {status}")
            for path in (values, about):
                status, _ = await self._vault.server.request("DELETE", path, None, token)
                statuses.add(status)
        return statuses

    async def rendered(
        self, external_secrets: Iterable[Manifest], folder: Path
    ) -> dict[str, dict[str, str]]:
        """Return the Secrets, by name of the ExternalSecret; one agent runs for each login."""
        by_login: dict[Login, list[Manifest]] = {}
        for each in external_secrets:
            by_login.setdefault(self.login(each), []).append(each)
        runs = (self._agent(login, those, folder) for login, those in by_login.items())
        made: dict[str, dict[str, str]] = {}
        for run in await asyncio.gather(*runs):
            made |= run
        return made

    async def _agent(
        self, login: Login, those: Sequence[Manifest], folder: Path
    ) -> dict[str, dict[str, str]]:
        home = folder / login.role
        home.mkdir(parents=True)
        (home / "token").write_text(
            self._vault.accounts.token(login.namespace, login.account, audience=login.audience)
        )
        templates = [
            {
                "destination": str(home / each["metadata"]["name"] / key),
                "contents": self._contents(each, text),
                "error_on_missing_key": True,
            }
            for each in those
            for key, text in each["spec"]["target"]["template"]["data"].items()
        ]
        method = {"role": login.role, "token_path": str(home / "token")}
        config = {
            "vault": {"address": self._vault.server.addr},
            # A list: the agent refuses an object that is all there is in auto_auth.
            "auto_auth": {
                "method": [
                    {
                        "type": "kubernetes",
                        "mount_path": f"auth/{login.mount}",
                        "config": method,
                        "exit_on_err": True,
                    }
                ]
            },
            "exit_after_auth": True,
            "template_config": {"exit_on_retry_failure": True},
            "template": templates,
        }
        (home / "config.json").write_text(json.dumps(config))
        process = await asyncio.create_subprocess_exec(
            *(str(_bao()), "agent", f"-config={home / 'config.json'}"),
            env={"HOME": str(home)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), _AGENT_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise Refused(f"the agent of {login.role} ended with {process.returncode}: {output!r}")
        return {
            each["metadata"]["name"]: {
                key: (home / each["metadata"]["name"] / key).read_text("utf-8")
                for key in each["spec"]["target"]["template"]["data"]
            }
            for each in those
        }

    def _contents(self, external_secret: Manifest, template: str) -> str:
        """A template of the operator as one of the agent."""
        text = _ACTION.sub(lambda action: _as_agents(action[0]), template)
        generator = self.generator(external_secret)
        if generator is not None:
            spec = generator["spec"]
            parameters = "".join(
                f' "{name}={value}"' for name, value in spec.get("parameters", {}).items()
            )
            return _within(f'secret "{spec["path"]}"{parameters}', _within(".Data", text))
        extracts = [each["extract"]["key"] for each in external_secret["spec"].get("dataFrom", [])]
        if extracts:
            [key] = extracts
            assert "data" not in external_secret["spec"], "one form or the other"
            path = self._path(external_secret, key)
            return _within(f'secret "{path}"', _within(".Data.data", text))
        entries = external_secret["spec"]["data"]
        pairs = " ".join(f'"{entry["secretKey"]}" $v{n}' for n, entry in enumerate(entries))
        text = _within(f"sprig_dict {pairs}", text)
        for n, entry in reversed(list(enumerate(entries))):
            remote: Mapping[str, str] = entry["remoteRef"]
            taken = f"{{{{ $v{n} := .Data.data.{remote['property']} }}}}{text}"
            path = self._path(external_secret, remote["key"])
            text = _within(f'secret "{path}"', taken)
        return text


def _as_agents(action: str) -> str:
    """An action with the functions of sprig by the agent's names."""
    return _SPRIG.sub(r"| sprig_\1", action).replace("{{ fail ", "{{ sprig_fail ")


def _within(dot: str, text: str) -> str:
    return f"{{{{ with {dot} }}}}{text}{{{{ end }}}}"
