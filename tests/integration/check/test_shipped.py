"""`check` on the manifests that this repository ships: nothing is found, and each drift would be.

Metrics are those of the reference, which is held against the code; `check` with the live scrapes of
all servers is in scenarios/test_dashboard.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner, Result

from contracts.manifests import OVERLAYS, build
from contracts.markdown import ROOT
from contracts.test_dashboard import known
from greenlang_secrets.cli.group import cli

K8S: Final = ROOT / "k8s"
VAULT: Final = K8S / "vault"


@pytest.fixture
def run(vault_server, tmp_path: Path) -> Callable[..., Result]:
    """A function that runs the command."""
    token, metrics = tmp_path / "token", tmp_path / "metrics.txt"
    token.write_text(vault_server.root_token)
    metrics.write_text("\n".join(known()))

    def run(*arguments: str) -> Result:
        options = [f"--server={vault_server.addr}", f"--token-file={token}", "--seed", "--json"]
        return CliRunner().invoke(cli, ["check", *arguments, *options, f"--metrics-file={metrics}"])

    return run


def findings(result: Result) -> list[dict[str, Any]]:
    """Return what a run found."""
    assert result.exit_code in {0, 1}, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["findings"]
    assert (result.exit_code == 1) == bool(found)
    return found


def test_nothing_is_found_in_what_is_shipped(run) -> None:
    """Each path is there and readable by who asks, each grant is used, each metric is exported, no
    secret is in a manifest, each image has a tag, each wildcard a reason, each refresh its pace.
    """
    result = run(str(K8S))

    assert findings(result) == []
    looked = json.loads(result.stdout)
    assert looked["files"] > 35
    assert looked["policies"] == len(list((VAULT / "policies").glob("*.hcl")))
    assert looked["needs"] > 100


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_is_found_in_a_built_overlay(run, tmp_path: Path, overlay: str) -> None:
    """What kustomize makes of it is as good, by the pace of its environment."""
    built = tmp_path / "built.yaml"
    built.write_text(yaml.safe_dump_all(build(K8S / "overlays" / overlay)))
    component = K8S / "agent-injector"

    result = run(
        *(str(built), str(component), f"--policies={VAULT / 'policies'}"),
        *(f"--roles={VAULT / 'roles.yaml'}", f"--environment={OVERLAYS[overlay]}"),
    )

    assert findings(result) == []
    assert json.loads(result.stdout)["needs"] > 100


DRIFTS: Final = {
    "a policy line is deleted": (
        "vault/policies/eso-kv.hcl",
        'path "secret/data/greenlang/database/redis" {\n  capabilities = ["read"]\n}\n',
        "",
        ("unreadable_path", "external-secrets/greenlang-api.yaml"),
    ),
    "a capability is deleted": (
        "vault/policies/eso-push.hcl",
        '["create", "read", "update"]',
        '["read", "update"]',
        ("unreadable_path", "external-secrets/push.yaml"),
    ),
    "a policy grants more": (
        "vault/policies/greenlang-jobs.hcl",
        '["read"]',
        '["read", "list"]',
        ("unused_grant", "vault/policies/greenlang-jobs.hcl"),
    ),
    "a metric of a rule is misspelt": (
        "monitoring/prometheusrule.yaml",
        "gl_vault_up",
        "gl_vault_upp",
        ("unknown_metric", "monitoring/prometheusrule.yaml"),
    ),
    "a metric of the dashboard is misspelt": (
        "monitoring/grafana-dashboard.yaml",
        "gl_secrets_operations_total",
        "gl_secrets_operation_total",
        ("unknown_metric", "monitoring/grafana-dashboard.yaml"),
    ),
    "a path is renamed": (
        "external-secrets/greenlang-jobs.yaml",
        "greenlang/database/timescaledb",
        "greenlang/database/timescale",
        ("unknown_path", "external-secrets/greenlang-jobs.yaml"),
    ),
    "a field of a template is misspelt": (
        "external-secrets/greenlang-api.yaml",
        "{{ .private_key }}",
        "{{ .privatekey }}",
        ("unknown_path", "external-secrets/greenlang-api.yaml"),
    ),
    "an agent's template reads a neighbour": (
        "agent-injector/greenlang-jobs.yaml",
        '{{- with secret "secret/data/greenlang/api-keys/internal" -}}',
        '{{- with secret "secret/data/greenlang/api-keys/external" -}}',
        ("unreadable_path", "agent-injector/greenlang-jobs.yaml"),
    ),
    "a field of an agent's template is misspelt": (
        "agent-injector/greenlang-api.yaml",
        "{{ .Data.data.password | urlquery",
        "{{ .Data.data.pasword | urlquery",
        ("unknown_path", "agent-injector/greenlang-api.yaml"),
    ),
    "a metric of a variable is misspelt": (
        "monitoring/grafana-dashboard.yaml",
        "label_values(gl_",
        "label_values(glx_",
        ("unknown_metric", "monitoring/grafana-dashboard.yaml"),
    ),
    "a file is no text": (
        "secrets-api/service.yaml",
        "# Rules and dashboard",
        "# R\udce9gles and dashboard",
        ("invalid_file", "secrets-api/service.yaml"),
    ),
    "a password of libpq is in the environment": (
        "secrets-api/deployment.yaml",
        "            - name: GREENLANG_SECRETS_DRAIN_SECONDS",
        (
            "            - name: PGPASSWORD\n              value: summer-of-69\n"
            "            - name: GREENLANG_SECRETS_DRAIN_SECONDS"
        ),
        ("secret_literal", "secrets-api/deployment.yaml"),
    ),
    "a role is another": (
        "external-secrets/stores.yaml",
        "role: eso-kv",
        "role: external-secrets-kv",
        ("unknown_role", "external-secrets/"),
    ),
    "a wildcard has no reason": (
        "vault/policies/eso-pki.hcl",
        '# Certificates of mutual TLS between services.\npath "pki_int/issue/internal-mtls"',
        '\npath "pki_int/issue/+"',
        ("unexplained_wildcard", "vault/policies/eso-pki.hcl"),
    ),
    "an image has no tag": (
        "secrets-api/deployment.yaml",
        "greenlang/greenlang-secrets:0.1.0",
        "greenlang/greenlang-secrets",
        ("unpinned_image", "secrets-api/deployment.yaml"),
    ),
    "an overlay is slow": (
        "overlays/prod/kustomization.yaml",
        "path: /spec/refreshInterval\n        value: 15s",
        "path: /spec/refreshInterval\n        value: 30s",
        ("slow_refresh", "overlays/prod/kustomization.yaml"),
    ),
    "a Secret is committed": (
        "secrets-api/service.yaml",
        "---\n",
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {token: x}\n---\n",
        ("secret_literal", "secrets-api/service.yaml"),
    ),
}


SUFFERS: Final = {
    "a policy line is deleted": "key: greenlang/database/redis",
    "a capability is deleted": "remoteKey: greenlang/pushed/",
    "a role is another": "key: greenlang/",
}
"""What stands on the lines that suffer, where those are not the changed ones."""


def lines_of(text: str, part: str) -> set[int]:
    """Return the numbers of all lines that a part of a text, wherever it stands, reaches over."""
    found = set()
    at = text.find(part)
    while at >= 0:
        first = text.count("\n", 0, at) + 1
        found |= set(range(first, first + part.rstrip("\n").count("\n") + 1))
        at = text.find(part, at + 1)
    return found


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_drift_is_found_where_it_is(run, tmp_path: Path, drift: str) -> None:
    """The control: each of these turns the check red, in its file, on the changed line or on those
    that suffer from it.
    """
    name, before, after, (rule, place) = DRIFTS[drift]
    copy = shutil.copytree(K8S, tmp_path / "k8s")
    text = (copy / name).read_text("utf-8")
    assert before in text
    changed = text.replace(before, after)
    (copy / name).write_bytes(changed.encode("utf-8", "surrogateescape"))

    found = [each for each in findings(run(str(copy))) if each["rule"] == rule]

    told = {
        (each["file"].removeprefix(f"{copy}/"), each["line"])
        for each in found
        if place in each["file"]
    }
    assert told
    if rule == "invalid_file":
        assert told == {(name, 1)}  # of what cannot be read no line is known
    elif place == name:
        assert told <= {(name, line) for line in lines_of(changed, after)}
    else:
        suffering = {file: (copy / file).read_text("utf-8").splitlines() for file, _ in told}
        assert all(SUFFERS[drift] in suffering[file][line - 1] for file, line in told)


def test_a_fault_is_told_where_it_is_and_not_where_it_is_used(run, tmp_path: Path) -> None:
    """A renamed path is told at its own line; the fields that a template takes of it are not."""
    copy = shutil.copytree(K8S, tmp_path / "k8s")
    file = copy / "external-secrets" / "greenlang-jobs.yaml"
    text = file.read_text("utf-8")
    changed = text.replace("greenlang/database/timescaledb", "greenlang/database/timescale")
    file.write_text(changed)

    found = findings(run(str(copy)))

    [line] = lines_of(changed, "key: greenlang/database/timescale")
    assert {(each["rule"], each["line"]) for each in found} == {
        ("unknown_path", line),
        ("unreadable_path", line),
    }
    assert len(found) == 2


def test_a_linked_folder_is_told_of(run, tmp_path: Path) -> None:
    """What is behind a link is not read, and that is said."""
    copy = shutil.copytree(K8S, tmp_path / "k8s")
    (copy / "linked").symlink_to(copy / "monitoring")

    [found] = findings(run(str(copy)))

    assert (found["rule"], found["file"]) == ("invalid_file", str(copy / "linked"))
