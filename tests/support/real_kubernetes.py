"""A real Kubernetes API server: one that is started for the test, or one that is named.

``KUBEBUILDER_ASSETS`` is a folder with `etcd` and `kube-apiserver`, as `setup-envtest` makes it;
``KUBECONFIG`` is a file whose current context has a token or a client certificate.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from support.certificates import self_signed

NEEDED = (
    "needs a Kubernetes API server: set KUBEBUILDER_ASSETS to a folder with etcd and "
    "kube-apiserver, or KUBECONFIG"
)
_START = 60.0  # seconds for the API server to be ready


def is_named() -> bool:
    """Whether the environment names one."""
    return bool(os.environ.get("KUBEBUILDER_ASSETS") or os.environ.get("KUBECONFIG"))


@dataclass(frozen=True)
class RealKubernetes:
    """An API server, as its administrator sees it."""

    url: str
    ca_file: Path
    session: aiohttp.ClientSession
    headers: dict[str, str]
    tls: ssl.SSLContext

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
    """Yield the one that the environment names, started if need be."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    with ExitStack() as stack:
        if assets:
            url, ca_file, headers = _started(Path(assets), folder, stack)
            tls = ssl.create_default_context(cafile=ca_file)
        else:
            url, ca_file, headers, tls = _configured(Path(os.environ["KUBECONFIG"]), folder)
        async with aiohttp.ClientSession() as session:
            server = RealKubernetes(url, ca_file, session, headers, tls)
            async with asyncio.timeout(_START):
                while not await _is_ready(server):
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


def _started(assets: Path, folder: Path, stack: ExitStack) -> tuple[str, Path, dict[str, str]]:
    """Start etcd and the API server with RBAC, and with one administrator's token."""
    pem = self_signed(folder, "apiserver")
    tokens = folder / "tokens.csv"
    tokens.write_text("admin,admin,admin,system:masters\n")
    client, peer, secure = (_free_port() for _ in range(3))
    etcd = f"http://127.0.0.1:{client}"
    _run(
        stack,
        folder / "etcd.log",
        assets / "etcd",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={etcd}",
        f"--advertise-client-urls={etcd}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        "--unsafe-no-fsync",
    )
    _run(
        stack,
        folder / "apiserver.log",
        assets / "kube-apiserver",
        f"--etcd-servers={etcd}",
        f"--secure-port={secure}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--disable-admission-plugins=ServiceAccount",
        "--authorization-mode=RBAC",
        f"--cert-dir={folder}",
        f"--tls-cert-file={pem.cert}",
        f"--tls-private-key-file={pem.key}",
        f"--token-auth-file={tokens}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pem.key}",
        f"--service-account-signing-key-file={pem.key}",
    )
    return f"https://127.0.0.1:{secure}", pem.cert, {"Authorization": "Bearer admin"}


def _run(stack: ExitStack, log: Path, *words: object) -> None:
    output = stack.enter_context(log.open("wb"))
    process = subprocess.Popen([str(word) for word in words], stdout=output, stderr=output)
    stack.callback(process.wait)
    stack.callback(process.kill)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


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
