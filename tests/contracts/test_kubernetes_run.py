"""What of `make test-k8s` needs no cluster: its gate, its overlay, and how servers are started."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml

from contracts.manifests import SECRETS, build, complaints
from contracts.markdown import ROOT
from greenlang_secrets.testing import OpenBaoServer
from side_by_side import folders
from support.certificates import self_signed
from support.cluster_needs import CONFIRMED, message, missing
from support.cluster_vault import tls_listener
from support.eso_operator import definitions, operator_command
from support.kubectl import Kubectl, KubectlRefused, kustomize
from support.operator_overlay import SHIPPED_SERVER, namespaces, write_overlay
from support.real_kubernetes import (
    apiserver_command,
    etcd_command,
    running,
    write_account_keys,
    write_kubeconfig,
)
from support.shipped import SEEDED

SERVER = "https://127.0.0.1:18200"
NEEDED = {
    "KUBEBUILDER_ASSETS",
    "KUBECONFIG",
    "GREENLANG_SECRETS_TEST_CLUSTER",
    "ESO_BINARY",
    "ESO_CRDS",
}


@pytest.fixture
def everything(tmp_path: Path) -> dict[str, str]:
    """Variables that name things which are there, though they do nothing."""
    for name in ("etcd", "kube-apiserver", "external-secrets"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    for name in ("crds.yaml", "config"):
        (tmp_path / name).write_text("")
    return {
        "KUBEBUILDER_ASSETS": str(tmp_path),
        "ESO_BINARY": str(tmp_path / "external-secrets"),
        "ESO_CRDS": str(tmp_path / "crds.yaml"),
    }


def named(lines: list[str]) -> list[str]:
    """Return the variable that each line begins with."""
    return [line.partition(":")[0].partition("=")[0] for line in lines]


def test_without_what_it_needs_it_fails_and_says_so() -> None:
    """Exit code 2, each variable and where its thing comes from, and no word of a skip."""
    environment = {name: each for name, each in os.environ.items() if name not in NEEDED}

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/kubernetes"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert run.returncode == 2
    for word in ("KUBEBUILDER_ASSETS", "KUBECONFIG", "ESO_BINARY", "ESO_CRDS", "setup-envtest"):
        assert word in run.stderr
    assert "skip" not in run.stdout + run.stderr


def test_with_everything_it_runs(everything: dict[str, str], tmp_path: Path) -> None:
    """The control: started servers, or a named cluster with the word, pass the gate."""
    named_cluster = {
        **everything,
        "KUBEBUILDER_ASSETS": "",
        "KUBECONFIG": str(tmp_path / "config"),
        "GREENLANG_SECRETS_TEST_CLUSTER": CONFIRMED,
    }

    assert message(everything) is None
    assert message(named_cluster) is None


@pytest.mark.parametrize("variable", ["KUBEBUILDER_ASSETS", "ESO_BINARY", "ESO_CRDS"])
@pytest.mark.parametrize("value", ["", "/nowhere"])
def test_one_thing_that_is_missing_is_named(
    variable: str, value: str, everything: dict[str, str]
) -> None:
    """A variable that is unset, or names nothing, is told, and no other."""
    assert named(missing({**everything, variable: value})) == [variable]


def test_a_named_cluster_is_refused_without_the_word(
    everything: dict[str, str], tmp_path: Path
) -> None:
    """KUBECONFIG alone, which many shells have, lets nothing be applied."""
    environment = {
        **everything,
        "KUBEBUILDER_ASSETS": "",
        "KUBECONFIG": str(tmp_path / "config"),
        "GREENLANG_SECRETS_TEST_CLUSTER": "yes",
    }

    assert named(missing(environment)) == ["GREENLANG_SECRETS_TEST_CLUSTER"]


def test_make_test_leaves_the_folder_out() -> None:
    """Neither the whole run nor a part of it collects these tests; `make test-k8s` does."""
    others = [
        f"--ignore={path.relative_to(ROOT)}"
        for path in (ROOT / "tests").iterdir()
        if path.is_dir() and path.name != "kubernetes"
    ]
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider"),
            *("tests", *others),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )

    assert run.returncode == 5, run.stdout  # nothing collected, and no gate asked
    assert "kubernetes" not in {path.name for path in folders()}
    assert "pytest tests/kubernetes" in (ROOT / "Makefile").read_text("utf-8")


def test_the_overlay_changes_the_address_and_the_authority_only(tmp_path: Path) -> None:
    """Every store and generator names the given address; all else is as shipped."""
    found = kustomize(write_overlay(tmp_path, SERVER, "an authority\n"))

    shipped = [
        yaml.safe_load(yaml.safe_dump(each).replace(SHIPPED_SERVER, SERVER))
        for each in build(SECRETS)
    ]
    authorities = [each for each in found if each["kind"] == "ConfigMap"]
    assert yaml.safe_dump(found).count(SERVER) == yaml.safe_dump(build(SECRETS)).count("server:")
    assert SHIPPED_SERVER not in yaml.safe_dump(found)
    assert [each for each in found if each["kind"] != "ConfigMap"] == shipped
    assert {each["metadata"]["namespace"]: each["data"] for each in authorities} == {
        "external-secrets": {"ca.crt": "an authority\n"},
        "greenlang": {"ca.crt": "an authority\n"},
    }
    assert {each["metadata"]["name"] for each in authorities} == {"vault-ca"}
    assert [complaints(each) for each in [*found, *namespaces()] if complaints(each)] == []


def test_what_the_overlay_asks_for_is_seeded() -> None:
    """Each key and property of an ExternalSecret is in what the test's OpenBao gets."""
    asked = {
        (entry["remoteRef"]["key"], entry["remoteRef"]["property"])
        for each in build(SECRETS)
        if each["kind"] == "ExternalSecret"
        for entry in each["spec"].get("data", [])
    }
    seeded = {(f"greenlang/{path}", name) for path, data in SEEDED.items() for name in data}

    assert asked
    assert asked - seeded == set()


def test_servers_listen_on_loopback_only(tmp_path: Path) -> None:
    """Every address in the command lines is 127.0.0.1; the API server has TLS and RBAC."""
    pem = self_signed(tmp_path, "apiserver")
    etcd = etcd_command(tmp_path, tmp_path, 2379, 2380)
    apiserver = apiserver_command(tmp_path, tmp_path, pem, "http://127.0.0.1:2379", 6443)
    operator = operator_command(tmp_path / "external-secrets", 8080, 8082)

    addresses = [
        word.partition("=")[2]
        for word in [*etcd, *apiserver, *operator]
        if word.partition("=")[0].endswith(("-urls", "-address", "-addr", "-servers"))
    ]
    assert len(addresses) == 9
    assert all(each.removeprefix("http://").partition(":")[0] == "127.0.0.1" for each in addresses)
    assert f"--tls-cert-file={pem.cert}" in apiserver
    assert "--authorization-mode=RBAC" in apiserver
    assert etcd[0] == str(tmp_path / "etcd")
    assert apiserver[0] == str(tmp_path / "kube-apiserver")


def test_the_accounts_keys_are_a_pair(tmp_path: Path) -> None:
    """What one half signs, the other verifies; both are in the forms that the API server reads."""
    write_account_keys(tmp_path)

    private = (tmp_path / "accounts.key").read_text()
    public = (tmp_path / "accounts.pub").read_text()
    assert private.startswith("-----BEGIN RSA PRIVATE" + " KEY-----")
    assert public.startswith("-----BEGIN PUBLIC KEY-----")
    token = jwt.encode({"sub": "x"}, private, algorithm="RS256")
    assert jwt.decode(token, public, algorithms=["RS256"]) == {"sub": "x"}


def test_a_process_ends_with_its_test(tmp_path: Path) -> None:
    """A server that runs is ended, and one that ended by itself is told, with its log."""
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\necho broken\nexit 7\n")
    program.chmod(0o755)
    with ExitStack() as stack:
        lasting = running(stack, tmp_path, ["sleep", "600"])
        lasting.must_run()
        broken = running(stack, tmp_path, [str(program)])
        broken.popen.wait(10)
        with pytest.raises(AssertionError, match=r"ended with 7:\nbroken"):
            broken.must_run()

    assert lasting.popen.poll() == -9


async def test_kubectl_says_why_it_failed(tmp_path: Path) -> None:
    """The file that is written is one that kubectl reads, and an absent server is an error."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    pem = self_signed(tmp_path, "ca")
    write_kubeconfig(tmp_path / "config", f"https://127.0.0.1:{port}", pem.cert, "t")
    kubectl = Kubectl(tmp_path / "config", tmp_path)

    said, _ = await kubectl.run("config", "view", "--raw", "-o", "json")

    assert f"https://127.0.0.1:{port}" in said
    with pytest.raises(KubectlRefused, match=f"127.0.0.1:{port}"):
        await kubectl.apply(namespaces())


def test_only_definitions_are_taken_from_a_release(tmp_path: Path) -> None:
    """Deployments of the operator's file are left out, and its webhook with them."""
    crd: dict[str, Any] = {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "a"},
        "spec": {"group": "g", "conversion": {"strategy": "Webhook"}},
    }
    release = tmp_path / "external-secrets.yaml"
    release.write_text(yaml.safe_dump_all([{"kind": "Deployment"}, None, crd]))

    expected = [{**crd, "spec": {"group": "g", "conversion": {"strategy": "None"}}}]
    assert definitions(release) == expected
    assert definitions(tmp_path) == expected
    release.write_text(yaml.safe_dump({"kind": "Deployment"}))
    with pytest.raises(AssertionError, match="ESO_CRDS"):
        definitions(release)


async def test_openbao_serves_the_operator_with_tls(tmp_path: Path) -> None:
    """The second listener answers under the authority that the overlay carries."""
    url, ca, stanza = tls_listener(tmp_path)
    (tmp_path / "ca.crt").write_text(ca)

    async with OpenBaoServer(extra_config=stanza):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import ssl, sys, urllib.request as r\n"
            "t = ssl.create_default_context(cafile=sys.argv[2])\n"
            "print(r.urlopen(sys.argv[1] + '/v1/sys/health', context=t, timeout=10).status)",
            url,
            str(tmp_path / "ca.crt"),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()

    assert said.strip() == b"200"
