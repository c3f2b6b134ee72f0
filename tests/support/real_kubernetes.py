"""A real Kubernetes API server: one that is started for the test, or one that is named.

``KUBEBUILDER_ASSETS`` is a folder with `etcd` and `kube-apiserver`, as `setup-envtest` makes it;
``KUBECONFIG`` is a file whose current context has a token or a client certificate. The first wins:
a cluster of somebody's is touched only where nothing else is named.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from greenlang_secrets.testing.family import dying_with_owner
from greenlang_secrets.testing.process import free_port
from support.certificates import Pem, self_signed
from support.kubectl import Kubectl

__all__ = [
    "RealKubernetes",
    "apiserver_command",
    "etcd_command",
    "real_kubernetes",
    "running",
    "write_account_keys",
    "write_kubeconfig",
]

_START = 60.0  # seconds for the API server to be ready
_TAIL = 4000  # bytes of a log that are shown


@dataclass(frozen=True)
class RealKubernetes:
    """An API server, as its administrator sees it.

    Attributes:
        kubeconfig: a file that names it, with the administrator's login.
        is_ours: whether it was started here, and ends with everything in it.
    """

    url: str
    ca_file: Path
    session: aiohttp.ClientSession
    headers: dict[str, str]
    tls: ssl.SSLContext
    kubeconfig: Path
    kubectl: Kubectl
    is_ours: bool

    async def ask(
        self, method: str, path: str, body: Any = None, *, merge: bool = False
    ) -> tuple[int, Any]:
        """Send one request; `merge` is for PATCH."""
        type_ = "application/merge-patch+json" if merge else "application/json"
        async with self.session.request(
            method,
            self.url + path,
            json=body,
            headers={**self.headers, "Content-Type": type_},
            ssl=self.tls,
        ) as answer:
            return answer.status, await answer.json(content_type=None)

    async def must(self, method: str, path: str, body: Any = None, *, merge: bool = False) -> Any:
        """Send one request that must be done."""
        status, answer = await self.ask(method, path, body, merge=merge)
        assert status in {200, 201, 202}, (method, path, status, answer)
        return answer


@asynccontextmanager
async def real_kubernetes(folder: Path) -> AsyncIterator[RealKubernetes]:
    """Yield the one that the environment names, started if need be; files of it are in `folder`."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    with ExitStack() as stack:
        processes: list[Process] = []
        if assets:
            config, processes = _started(Path(assets), folder, stack)
        else:
            config = Path(os.environ["KUBECONFIG"])
        url, ca_file, headers, tls = _configured(config, folder)
        async with aiohttp.ClientSession() as session:
            server = RealKubernetes(
                url, ca_file, session, headers, tls, config, Kubectl(config, folder), bool(assets)
            )
            async with asyncio.timeout(_START):
                while not await _is_ready(server):
                    for process in processes:
                        process.must_run()
                    await asyncio.sleep(0.1)
            yield server


async def _is_ready(server: RealKubernetes) -> bool:
    try:
        async with server.session.get(
            server.url + "/readyz", headers=server.headers, ssl=server.tls
        ) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def _started(assets: Path, folder: Path, stack: ExitStack) -> tuple[Path, list[Process]]:
    """Start etcd and the API server with RBAC, and with one administrator's token."""
    pem = self_signed(folder, "apiserver")
    write_account_keys(folder)
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    client, peer, secure = (free_port() for _ in range(3))
    commands = (
        etcd_command(assets, folder, client, peer),
        apiserver_command(assets, folder, pem, f"http://127.0.0.1:{client}", secure),
    )
    processes = [running(stack, folder, command) for command in commands]
    config = folder / "kubeconfig"
    write_kubeconfig(config, f"https://127.0.0.1:{secure}", pem.cert, token)
    return config, processes


def etcd_command(assets: Path, folder: Path, client: int, peer: int) -> list[str]:
    """Return how etcd is started, on two ports of loopback, without waiting for the disk."""
    url = f"http://127.0.0.1:{client}"
    peer_url = f"http://127.0.0.1:{peer}"
    return [
        str(assets / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--unsafe-no-fsync",
    ]


def apiserver_command(assets: Path, folder: Path, pem: Pem, etcd: str, secure: int) -> list[str]:
    """Return how the API server is started, on a port of loopback with TLS and RBAC.

    The admission plugin ServiceAccount wants accounts that a controller makes, and none runs.
    """
    return [
        str(assets / "kube-apiserver"),
        f"--etcd-servers={etcd}",
        f"--secure-port={secure}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--disable-admission-plugins=ServiceAccount",
        "--authorization-mode=RBAC",
        f"--cert-dir={folder}",
        f"--tls-cert-file={pem.cert}",
        f"--tls-private-key-file={pem.key}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={folder / 'accounts.pub'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
    ]


def write_account_keys(folder: Path) -> None:
    """Write the key that signs service accounts' tokens, and its public half.

    Each in the form that the API server has always read: PKCS #1, and PKIX.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "accounts.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    (folder / "accounts.pub").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def write_kubeconfig(path: Path, url: str, ca_file: Path, token: str) -> None:
    """Write a file with one context, whose user has a token."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "test", "cluster": {"server": url, "certificate-authority": str(ca_file)}}
        ],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }
    path.write_text(yaml.safe_dump(config))


@dataclass(frozen=True)
class Process:
    """A server of the test's, and its log."""

    log: Path
    popen: subprocess.Popen[bytes]

    def must_run(self) -> None:
        """Fail with the end of its log if it has ended."""
        code = self.popen.poll()
        tail = self.log.read_bytes()[-_TAIL:].decode(errors="replace")
        assert code is None, f"{self.log.stem} ended with {code}:\n{tail}"


def _own_environment() -> dict[str, str]:
    """Ours, without what would tell the operator's client of another Vault."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("VAULT_", "BAO_"))}


def running(stack: ExitStack, folder: Path, command: Sequence[str], **variables: str) -> Process:
    """Start a program that ends with the stack, and with us even if we are killed."""
    log = folder / f"{Path(command[0]).name}.log"
    output = stack.enter_context(log.open("wb"))
    popen = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**_own_environment(), **variables},
        start_new_session=True,
        preexec_fn=dying_with_owner(),  # noqa: PLW1509  two system calls, prepared before the fork
    )
    stack.callback(popen.wait)
    stack.callback(popen.kill)
    return Process(log, popen)


def _configured(path: Path, folder: Path) -> tuple[str, Path, dict[str, str], ssl.SSLContext]:
    """Read a kubeconfig's current context."""
    config = yaml.safe_load(path.read_text("utf-8"))
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    ca_file = _file(cluster, "certificate-authority", path, folder)
    assert ca_file is not None, "the context's cluster needs a certificate-authority"
    tls = ssl.create_default_context(cafile=ca_file)
    if "token" in user:
        return cluster["server"], ca_file, {"Authorization": f"Bearer {user['token']}"}, tls
    cert, key = (_file(user, name, path, folder) for name in ("client-certificate", "client-key"))
    assert cert is not None, "the context's user needs a token or a client-certificate"
    tls.load_cert_chain(cert, key)
    return cluster["server"], ca_file, {}, tls


def _named(entries: list[Any], name: str) -> Any:
    return next(entry for entry in entries if entry["name"] == name)


def _file(values: dict[str, Any], name: str, config: Path, folder: Path) -> Path | None:
    """A file that is named, or whose content is given."""
    if f"{name}-data" in values:
        path = folder / name
        path.write_bytes(base64.b64decode(values[f"{name}-data"]))
        return path
    return config.parent / values[name] if name in values else None
