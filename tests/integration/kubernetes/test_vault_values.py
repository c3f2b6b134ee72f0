"""The values for the chart: what differs between environments, and the configuration, started."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from greenlang_secrets.testing.openbao import _bao
from greenlang_secrets.testing.process import free_port
from support.certificates import self_signed
from support.shipped import VAULT

REPLICAS = {"dev": 1, "staging": 3, "prod": 5}


def values(name: str) -> dict[str, Any]:
    return yaml.safe_load((VAULT / f"{name}.yaml").read_text())


def configuration(name: str) -> str:
    return str(values(name)["server"]["ha"]["raft"]["config"])


@pytest.mark.parametrize(("environment", "replicas"), REPLICAS.items())
def test_replicas_are_the_environments(environment, replicas):
    """One, three and five nodes, each of which knows all, on machines of their own."""
    server = values(f"values-{environment}")["server"]
    joins = re.findall(r"https://vault-(\d)\.vault-internal:8200", server["ha"]["raft"]["config"])

    assert server["ha"]["replicas"] == replicas
    assert joins == ([str(number) for number in range(replicas)] if replicas > 1 else [])
    assert ("requiredDuringScheduling" in server.get("affinity", "")) == (replicas > 1)
    role = server["serviceAccount"]["annotations"]["eks.amazonaws.com/role-arn"]
    assert role.endswith(f"greenlang-{environment}-vault-unseal")
    assert 'seal "awskms" {}' in server["ha"]["raft"]["config"]


def test_openbao_has_the_names_and_places_of_the_other_chart():
    """Labels, by which NetworkPolicy and monitor select, and the folders of data and audit log."""
    openbao = values("values-openbao")

    assert (openbao["nameOverride"], openbao["fullnameOverride"]) == ("vault", "vault")
    assert openbao["server"]["dataStorage"]["mountPath"] == "/vault/data"
    assert openbao["server"]["auditStorage"]["mountPath"] == "/vault/audit"
    for environment in REPLICAS:
        text = configuration(f"values-openbao-{environment}")
        assert 'path = "/vault/data"' in re.sub(r" +", " ", text)
        assert 'file_path = "/vault/audit/audit.log"' in text
        assert "template" not in values(f"values-{environment}")["server"].get("affinity", "")


@pytest.mark.parametrize("environment", REPLICAS)
def test_openbao_differs_where_it_must(environment):
    """Two settings and the audit stanza are OpenBao's, one is Vault's; all else is equal."""
    vault = configuration(f"values-{environment}").splitlines()
    openbao = configuration(f"values-openbao-{environment}").splitlines()

    assert [line for line in vault if line not in openbao] == ["disable_mlock = true"]
    assert [line.strip() for line in openbao if line not in vault] == [
        "metrics_only                   = true",
        "# OpenBao takes audit devices from here only.",
        'audit "file" "file" {',
        "options {",
        'file_path = "/vault/audit/audit.log"',
    ]


def _here(config: str, folder: Path, ports: dict[str, int]) -> str:
    """The configuration with places of this machine, and without a cloud's key."""
    (folder / "data").mkdir()
    (folder / "audit").mkdir()
    key = folder / "seal.key"
    key.write_bytes(b"0123456789abcdef0123456789abcdef")
    static = f'seal "static" {{\n  current_key_id = "1"\n  current_key = "file://{key}"\n}}'
    assert 'seal "awskms" {}' in config
    config = config.replace('seal "awskms" {}', static)
    config = config.replace('service_registration "kubernetes" {}', "")
    config = re.sub(r"  retry_join \{.*?\n  \}", "", config, flags=re.DOTALL)
    for port, here in ports.items():
        config = config.replace(f"[::]:{port}", f"127.0.0.1:{here}")
    for place in ("data", "audit"):
        config = config.replace(f"/vault/{place}", str(folder / place))
    config = config.replace("/vault/userconfig/vault-tls/tls.crt", str(folder / "vault.pem"))
    config = config.replace("/vault/userconfig/vault-tls/tls.key", str(folder / "vault.key"))
    api = f"https://127.0.0.1:{ports['8200']}"
    cluster = f"https://127.0.0.1:{ports['8201']}"
    return f'{config}\napi_addr = "{api}"\ncluster_addr = "{cluster}"\n'


def _get(url: str, trusted: ssl.SSLContext) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, context=trusted, timeout=5) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@pytest.mark.parametrize("environment", REPLICAS)
async def test_configuration_starts_and_shows_metrics_on_their_port_only(environment, tmp_path):
    """A real OpenBao takes the configuration without a complaint about a name, over TLS; metrics
    need no token on 8205, where there is nothing else, and are not to be had like that on 8200.
    """
    certificate = self_signed(tmp_path, "vault")
    ports = {port: free_port() for port in ("8200", "8201", "8205", "8206")}
    file = tmp_path / "config.hcl"
    file.write_text(_here(configuration(f"values-openbao-{environment}"), tmp_path, ports))
    trusted = ssl.create_default_context(cafile=str(certificate.cert))
    log = tmp_path / "log"
    with log.open("wb") as out:
        server = await asyncio.create_subprocess_exec(
            *(str(_bao()), "server", f"-config={file}"), stdout=out, stderr=out
        )

    async def get(port: str, path: str) -> tuple[int, str]:
        return await asyncio.to_thread(_get, f"https://127.0.0.1:{ports[port]}/v1/{path}", trusted)

    try:
        begin = time.monotonic()
        while (metrics := await get("8205", "sys/metrics?format=prometheus"))[0] != 200:
            assert server.returncode is None, log.read_text()
            assert time.monotonic() - begin < 30, (metrics, log.read_text())
            await asyncio.sleep(0.1)

        assert "core_unsealed" in metrics[1]
        assert (await get("8205", "sys/seal-status"))[0] not in {0, 200}
        status, text = await get("8200", "sys/seal-status")
        assert (status, json.loads(text)["storage_type"]) == (200, "raft")
        assert (await get("8200", "sys/metrics?format=prometheus"))[0] not in {0, 200}
        assert "unknown" not in log.read_text()
    finally:
        server.kill()
        await server.wait()


def test_metrics_are_for_prometheus_alone():
    """The only rule that opens 8205 names Prometheus, and no rule opens every port."""
    policy = yaml.safe_load((VAULT / "networkpolicy.yaml").read_text())
    rules = policy["spec"]["ingress"]

    opened = [rule for rule in rules if any(port["port"] == 8205 for port in rule["ports"])]
    assert len(opened) == 1
    assert opened[0]["from"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
        }
    ]
    assert all(rule["ports"] and rule["from"] for rule in rules)


def test_job_gets_every_policy_and_the_options_that_exist():
    """The Job's ConfigMaps hold each shipped file, and its arguments are options of `provision`."""
    from greenlang_secrets.cli.operations import provision

    kustomization = yaml.safe_load((VAULT / "kustomization.yaml").read_text())
    files = {each["name"]: each["files"] for each in kustomization["configMapGenerator"]}
    documents = list(yaml.safe_load_all((VAULT / "provision-job.yaml").read_text()))
    [container] = documents[1]["spec"]["template"]["spec"]["containers"]

    shipped = [f"policies/{file.name}" for file in sorted((VAULT / "policies").glob("*.hcl"))]
    assert files == {"vault-policies": shipped, "vault-roles": ["roles.yaml"]}
    known = {option for parameter in provision.params for option in parameter.opts}
    assert {argument.partition("=")[0] for argument in container["args"]} <= known
