"""The manifests are valid to the letter, carry no secret, and say what the code says."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from os.path import relpath
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.manifests import OVERLAYS, SECRETS, build, complaints, containers, literals
from contracts.markdown import ROOT, rows, section
from greenlang_secrets.config import Environment

FOLDERS = {name: ROOT / "k8s" / "overlays" / name for name in OVERLAYS}
PROD = FOLDERS["prod"]
PAGE = ROOT / "docs" / "reference" / "kubernetes.md"
LONGEST_END = 50
"""Seconds that the service takes to end, at most, after it has drained: docs/reference/rest.md."""

overlay = pytest.mark.parametrize("name", OVERLAYS)


def one(kind: str, name: str, folder: Path = PROD) -> dict[str, Any]:
    """Return a copy of one object."""
    [found] = [
        each for each in build(folder) if each["kind"] == kind and each["metadata"]["name"] == name
    ]
    return copy.deepcopy(found)


def of(kind: str, folder: Path = PROD) -> list[dict[str, Any]]:
    """Return the objects of a kind."""
    return [each for each in build(folder) if each["kind"] == kind]


def duration(text: str) -> float:
    """Return seconds from a duration such as ``15s`` or ``24h``."""
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def images() -> list[str]:
    """Return each image that a container runs."""
    return [container["image"] for each in build(PROD) for container in containers(each)]


# ---------------------------------------------------------------- schemas


@overlay
def test_every_object_is_valid(name: str) -> None:
    """Each overlay builds, and its schema knows every field of each object."""
    found = {
        f"{each['kind']} {each['metadata']['name']}": complaints(each)
        for each in build(FOLDERS[name])
    }

    assert len(found) == len(build(FOLDERS[name])) > 40
    assert {key: value for key, value in found.items() if value} == {}


def test_the_variant_for_aws_is_valid(tmp_path: Path) -> None:
    """With the component for IAM every store logs in by it, and is valid."""
    component = relpath(SECRETS / "aws-iam", tmp_path.resolve())
    base = relpath(SECRETS, tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": [base], "components": [component]})
    )

    made = build(tmp_path)

    stores = [each for each in made if each["kind"] in {"ClusterSecretStore", "SecretStore"}]
    assert {tuple(each["spec"]["provider"]["vault"]["auth"]) for each in stores} == {("iam",)}
    assert len(stores) == 4
    assert [text for each in made for text in complaints(each)] == []


@pytest.mark.parametrize(
    ("kind", "name", "path", "right", "wrong"),
    [
        ("Deployment", "greenlang-secrets", "spec.template.spec", "containers", "container"),
        ("NetworkPolicy", "greenlang-secrets-api", "spec", "ingress", "ingres"),
        ("ExternalSecret", "greenlang-api-redis", "spec", "refreshInterval", "refreshIntervall"),
        ("ExternalSecret", "greenlang-api-redis", "spec.target", "deletionPolicy", "deletePolicy"),
        ("ClusterSecretStore", "vault-kv", "spec.provider.vault.auth.kubernetes", "role", "rol"),
        ("SecretStore", "vault-push", "spec.provider.vault", "server", "address"),
        ("PushSecret", "greenlang-api-mtls", "spec", "updatePolicy", "updatesPolicy"),
        ("VaultDynamicSecret", "internal-mtls", "spec", "resultType", "resultTyp"),
        ("ServiceMonitor", "greenlang-secrets", "spec", "endpoints", "endpoint"),
    ],
)
def test_a_misspelt_field_is_refused(
    kind: str, name: str, path: str, right: str, wrong: str
) -> None:
    """The control: a field that the kind does not have fails, whoever's kind it is."""
    broken = one(kind, name)
    place = broken
    for step in path.split("."):
        place = place[step]
    place[wrong] = place.pop(right)

    assert complaints(broken) != []


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    [
        ("Deployment", "greenlang-secrets", "selector"),
        ("ClusterSecretStore", "vault-kv", "provider"),
        ("PushSecret", "greenlang-api-mtls", "selector"),
        ("VaultDynamicSecret", "internal-mtls", "path"),
        ("ServiceMonitor", "greenlang-secrets", "selector"),
    ],
)
def test_a_removed_field_is_missed(kind: str, name: str, field: str) -> None:
    """The control: without a field that the kind requires an object fails."""
    broken = one(kind, name)
    del broken["spec"][field]

    assert complaints(broken) != []


# ---------------------------------------------------------------- secrets and images


@overlay
def test_no_manifest_has_a_secret(name: str) -> None:
    """No object is a Secret, has a value like one, or puts one into the environment."""
    assert {
        each["metadata"]["name"]: literals(each) for each in build(FOLDERS[name]) if literals(each)
    } == {}


@pytest.mark.parametrize(
    "planted",
    [
        {"name": "VAULT_TOKEN", "value": "root"},
        {"name": "A", "value": "s" + ".1234567890abcdefghijABCD"},
        {"name": "A", "value": "postgresql://app:" + "hunter2@db/app"},
        {"name": "A", "value": "Zx9" * 8},
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}},
    ],
)
def test_a_planted_secret_is_found(planted: dict[str, Any]) -> None:
    """The control: a literal is found, and so is a Secret as a variable."""
    broken = one("Deployment", "greenlang-secrets")
    broken["spec"]["template"]["spec"]["containers"][0]["env"].append(planted)

    assert literals(broken) != []


def test_an_object_of_kind_secret_is_found() -> None:
    """The control: a Secret is one, whatever is in it."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}

    assert literals(secret) == ["an object of kind Secret"]


def tagged(image: str) -> bool:
    """Return whether an image says which one it is."""
    return bool(re.search(r"(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})$", image))


def test_every_image_says_which_one_it_is() -> None:
    """Each image has a tag that is not latest, and so has the one that ours is built on."""
    base = re.findall(r"^ARG PYTHON=(\S+)$", containerfile(), re.MULTILINE)

    assert images() == ["greenlang/greenlang-secrets:0.1.0"] * 3
    assert [image for image in [*images(), *base] if not tagged(image)] == []
    assert not tagged("python")
    assert not tagged("python:latest")


def containerfile() -> str:
    """Return what the image is built by."""
    return (ROOT / "k8s" / "secrets-api" / "Containerfile").read_text("utf-8")


def test_the_image_is_built_from_the_lock() -> None:
    """Packages come with their hashes, what is copied is there, and the process is nobody's."""
    text = containerfile()
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    ]

    assert "--require-hashes -r requirements/api.txt" in text
    assert {source: (ROOT / source).exists() for source in copied} == dict.fromkeys(copied, True)
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert "asyncpg==" in (ROOT / "requirements" / "api.txt").read_text("utf-8")


def lint(containerfile: Path) -> str:
    """Return what the linter of `make check` says, empty for a file without a fault."""
    run = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), containerfile],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (run.returncode == 0) == (not run.stdout), run.stderr
    return run.stdout


def test_the_image_is_linted(tmp_path: Path) -> None:
    """The linter finds nothing; the control, a base without a tag and a `sudo`, is found."""
    broken = tmp_path / "Containerfile"
    broken.write_text("FROM python\nRUN sudo true\n")

    assert lint(ROOT / "k8s" / "secrets-api" / "Containerfile") == ""
    assert "DL3006" in lint(broken)
    assert "DL3004" in lint(broken)


# ---------------------------------------------------------------- the service


@overlay
def test_an_overlay_has_the_numbers_of_its_environment(name: str) -> None:
    """What differs between environments is what config.py says."""
    numbers = Environment(OVERLAYS[name]).defaults
    data = one("ConfigMap", "greenlang-environment", FOLDERS[name])["data"]
    container = containers(one("Deployment", "greenlang-secrets", FOLDERS[name]))[0]
    [job] = containers(one("Job", "vault-provision", FOLDERS[name]))
    monitors = of("ServiceMonitor", FOLDERS[name])
    refreshes = {
        each["spec"]["refreshInterval"]
        for each in of("ExternalSecret", FOLDERS[name])
        if each["metadata"]["labels"]["greenlang.io/refresh"] == "environment"
    }

    assert data["environment"] == OVERLAYS[name]
    assert int(data["vault-replicas"]) == numbers.vault_replicas
    assert duration(data["eso-refresh"]) == numbers.eso_refresh
    assert duration(data["rotation-interval"]) == numbers.rotation_interval
    assert duration(data["lease-ttl"]) == numbers.lease_ttl
    assert duration(data["audit-retention"]) == numbers.audit_retention
    assert refreshes == {data["eso-refresh"]}
    assert container["env"][0]["value"] == OVERLAYS[name]
    assert job["env"][0] == {"name": "GREENLANG_SECRETS_ENVIRONMENT", "value": OVERLAYS[name]}
    assert [each["spec"]["endpoints"][0]["relabelings"][0] for each in monitors] == [
        {"targetLabel": "environment", "replacement": OVERLAYS[name]}
    ] * 2


def test_pods_are_restricted() -> None:
    """Each pod keeps the restricted Pod Security Standard, and writes nowhere but to its volumes."""
    for workload in [*of("Deployment"), *of("Job")]:
        pod = workload["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {next(k for k in v if k != "name") for v in pod["volumes"]} <= {
            "configMap",
            "emptyDir",
            "projected",
            "secret",
        }
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_a_pod_has_the_time_to_end() -> None:
    """Requests have stopped coming before draining ends, and rotations end before the pod."""
    pod = one("Deployment", "greenlang-secrets")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    drain = int(
        {each["name"]: each["value"] for each in container["env"]}[
            "GREENLANG_SECRETS_DRAIN_SECONDS"
        ]
    )
    ready = container["readinessProbe"]

    assert ready["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert ready["periodSeconds"] * ready["failureThreshold"] < drain
    assert pod["terminationGracePeriodSeconds"] >= drain + LONGEST_END


def test_what_is_mounted_is_made() -> None:
    """Each Secret that a pod of the service mounts, and each file a variable names, is an
    ExternalSecret's; those of Vault's namespace are an operator's: there is no Vault to ask yet.
    """
    made = {
        each["spec"]["target"]["name"]: set(each["spec"]["target"]["template"]["data"])
        for each in of("ExternalSecret")
    }
    workloads = [*of("Deployment"), *of("Job")]
    for workload in (each for each in workloads if each["metadata"]["namespace"] == "greenlang"):
        volumes = {each["name"]: each for each in workload["spec"]["template"]["spec"]["volumes"]}
        [container] = containers(workload)
        files = {
            f"{mount['mountPath']}/{key}"
            for mount in container["volumeMounts"]
            if "secret" in volumes[mount["name"]]
            for key in made[volumes[mount["name"]]["secret"]["secretName"]]
        }
        named = {
            each["value"]
            for each in container["env"]
            if each["name"].endswith("_FILE") and "JWT" not in each["name"]
        }
        assert named == files


# ---------------------------------------------------------------- external secrets


def test_every_store_that_is_named_exists() -> None:
    """ExternalSecrets, generators and pushes name stores, generators and Secrets that are there."""
    stores = {("ClusterSecretStore", each["metadata"]["name"]) for each in of("ClusterSecretStore")}
    stores |= {("SecretStore", each["metadata"]["name"]) for each in of("SecretStore")}
    generators = {each["metadata"]["name"] for each in of("VaultDynamicSecret")}
    used = set()
    for each in of("ExternalSecret"):
        if "secretStoreRef" in each["spec"]:
            reference = each["spec"]["secretStoreRef"]
            used.add((reference["kind"], reference["name"]))
        else:
            [source] = each["spec"]["dataFrom"]
            generators.remove(source["sourceRef"]["generatorRef"]["name"])
    for each in of("PushSecret"):
        used |= {(ref["kind"], ref["name"]) for ref in each["spec"]["secretStoreRefs"]}

    assert used <= stores
    assert generators == set()
    assert {name for _, name in stores} == {"vault-kv", "vault-database", "vault-pki", "vault-push"}


def test_every_service_has_its_secrets() -> None:
    """Each application has each of the five, by names that can be guessed."""
    names = {each["spec"]["target"]["name"] for each in of("ExternalSecret")}

    assert names >= {
        f"{application}-{what}"
        for application in ("greenlang-api", "greenlang-agents", "greenlang-jobs")
        for what in ("postgresql", "redis", "api-keys", "tls", "timescaledb")
    }


def torn(external_secret: dict[str, Any]) -> list[str]:
    """Return the paths that are read more than once for one Secret."""
    spec = external_secret["spec"]
    reads = [each["remoteRef"]["key"] for each in spec.get("data", [])]
    reads += [each["extract"]["key"] for each in spec.get("dataFrom", []) if "extract" in each]
    return sorted({key for key in reads if reads.count(key) > 1})


def test_one_read_takes_all_of_a_path() -> None:
    """The operator reads Vault for each entry: two of one path could be of two versions, a rotation
    between them, and a user would stand beside the password of another.
    """
    assert {
        each["metadata"]["name"]: torn(each) for each in of("ExternalSecret") if torn(each)
    } == {}

    broken = one("ExternalSecret", "greenlang-api-redis")
    broken["spec"]["data"] = [
        {"secretKey": "a", "remoteRef": {"key": "greenlang/database/redis", "property": "password"}}
    ]
    assert torn(broken) == ["greenlang/database/redis"]


def leaking(external_secret: dict[str, Any]) -> bool:
    """Return whether a Secret would have keys that its template does not name."""
    template = external_secret["spec"]["target"].get("template", {})
    return not template.get("data") or template.get("mergePolicy", "Replace") != "Replace"


def test_a_secret_has_the_keys_of_its_template_alone() -> None:
    """What else lies at the path, or is added to it later, does not reach a pod."""
    assert [each["metadata"]["name"] for each in of("ExternalSecret") if leaking(each)] == []

    broken = one("ExternalSecret", "greenlang-api-redis")
    broken["spec"]["target"]["template"]["mergePolicy"] = "Merge"
    assert leaking(broken)
    del broken["spec"]["target"]["template"]
    assert leaking(broken)


def test_an_external_secret_fits_its_lease() -> None:
    """What a generator made lives for two refreshes more than the one that replaces it."""
    ttl = {
        each["metadata"]["name"]: duration(
            each["metadata"]["annotations"]["greenlang.io/lease-ttl"]
        )
        for each in of("VaultDynamicSecret")
    }
    leased = [
        each["spec"]
        for each in of("ExternalSecret")
        if each["metadata"]["labels"]["greenlang.io/refresh"] == "lease"
    ]

    assert len(leased) == 3
    for spec in leased:
        generator = spec["dataFrom"][0]["sourceRef"]["generatorRef"]["name"]
        assert duration(spec["refreshInterval"]) * 3 <= ttl[generator]


def test_a_login_is_an_account_of_its_own() -> None:
    """Role and service account have one name; the account exists, and its tokens are for Vault."""
    accounts = {
        (each["metadata"]["namespace"], each["metadata"]["name"]) for each in of("ServiceAccount")
    }
    for each in [*of("ClusterSecretStore"), *of("SecretStore"), *of("VaultDynamicSecret")]:
        provider = each["spec"]["provider"]
        login = provider.get("vault", provider)["auth"]["kubernetes"]
        account = login["serviceAccountRef"]
        cluster = each["kind"] == "ClusterSecretStore"
        namespace = account["namespace"] if cluster else each["metadata"]["namespace"]
        assert (namespace, account["name"]) in accounts
        assert login["role"] == account["name"]
        assert account["audiences"] == ["vault"]


def test_a_template_uses_what_is_read() -> None:
    """Each field of a template is read from Vault, and each that is read is used."""
    for each in of("ExternalSecret"):
        if "data" in each["spec"]:
            texts = " ".join(each["spec"]["target"]["template"]["data"].values())
            used = set(re.findall(r"\{\{ \.(\w+)", texts))
            assert used == {entry["secretKey"] for entry in each["spec"]["data"]}


def test_keys_are_relative_to_the_mount() -> None:
    """No key begins with a mount or has ``data/``; what is pushed is below its application."""
    read = [
        entry["remoteRef"]["key"]
        for each in of("ExternalSecret")
        for entry in each["spec"].get("data", [])
    ]
    read += [
        source["extract"]["key"]
        for each in of("ExternalSecret")
        for source in each["spec"].get("dataFrom", [])
        if "extract" in source
    ]
    pushed = [
        entry["match"]["remoteRef"]["remoteKey"]
        for each in of("PushSecret")
        for entry in each["spec"]["data"]
    ]

    assert all(re.fullmatch(r"greenlang/(?!pushed/)[a-z-]+/[a-z-]+", key) for key in read)
    assert all(re.fullmatch(r"greenlang/pushed/greenlang-[a-z]+/[a-z-]+", key) for key in pushed)


# ---------------------------------------------------------------- names and pages


def test_runbooks_name_what_there_is() -> None:
    """The workload, Service and port of the runbooks' commands are the manifests'."""
    text = "\n".join(
        path.read_text("utf-8") for path in (ROOT / "observability" / "runbooks").glob("*.md")
    )
    ours = set(re.findall(r'-n "\$NS"[^\n`]*?\b((?:deploy|svc)/[\w-]+)', text))
    [port] = one("Service", "greenlang-secrets")["spec"]["ports"]

    assert ours == {"deploy/greenlang-secrets", "svc/greenlang-secrets"}
    assert one("Deployment", "greenlang-secrets")["metadata"]["namespace"] == "greenlang"
    assert f"svc/greenlang-secrets {port['port']}:{port['port']}" in text


def test_the_page_has_a_row_for_each_object() -> None:
    """Each object of an overlay is described, and nothing else is."""
    table = rows(section(PAGE.read_text("utf-8"), "Objects"))
    told = sorted((row[0], row[1].strip("`")) for row in table)

    # What kustomize adds to a ConfigMap's name changes with its content.
    assert told == sorted(
        (each["kind"], re.sub(r"^(vault-\w+)-\w{10}$", r"\1", each["metadata"]["name"]))
        for each in build(PROD)
    )
    assert all(row[2] for row in table)
