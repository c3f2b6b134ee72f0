"""Manifests, checked by a real server."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from greenlang_secrets.check import Options, check
from greenlang_secrets.check.metrics import names_in_scrape
from greenlang_secrets.check.tree import read_tree
from greenlang_secrets.cli.group import cli
from greenlang_secrets.config import Environment
from greenlang_secrets.errors import AccessDenied, ConfigurationError, VaultProtocolError
from greenlang_secrets.testing import ExternalVault
from support.manifests import FILES, METRICS, TREE, write

CHANCE = "q7Rz2" + "VnX9bLk4TfW8sGd1Hy" + "Jc6MpA3"


async def checked(folder: Path, server, **more):
    (folder / "tree.txt").write_text(TREE)
    options = Options(
        paths=[folder],
        tree=await asyncio.to_thread(read_tree, folder / "tree.txt"),
        metrics=names_in_scrape(METRICS),
        server=server,
        **more,
    )
    return await check(options)


async def test_good_manifests_have_no_finding(vault_server, tmp_path: Path) -> None:
    """Each path is readable, each grant is used; the server keeps none of the check's policies."""
    write(tmp_path)

    found = await checked(tmp_path, vault_server)

    assert found.findings == ()
    assert (found.files, found.policies, found.needs) == (7, 4, 10)
    _, policies = await vault_server.request("LIST", "sys/policies/acl")
    assert not [name for name in policies["data"]["keys"] if name.startswith("check-")]


BROKEN = {
    "a policy line deleted": (
        "vault/policies/eso-database.hcl",
        '["read"]',
        '["list"]',
        {
            ("unreadable_path", "external-secrets/api.yaml", 25),
            ("unused_grant", "vault/policies/eso-database.hcl", 2),
        },
    ),
    "a path renamed": (
        "external-secrets/api.yaml",
        "greenlang/database/postgresql",
        "greenlang/database/postgres",
        {
            ("unreadable_path", "external-secrets/api.yaml", 10),
            ("unknown_path", "external-secrets/api.yaml", 10),
            ("unused_grant", "vault/policies/eso-kv.hcl", 3),
        },
    ),
    "a property misspelt": (
        "external-secrets/api.yaml",
        "property: password",
        "property: pasword",
        {("unknown_path", "external-secrets/api.yaml", 10)},
    ),
    "a push elsewhere": (
        "external-secrets/api.yaml",
        "pushed/api/session",
        "pushed/jobs/session",
        {("unreadable_path", "external-secrets/api.yaml", 19)}
        | {("unused_grant", "vault/policies/eso-push.hcl", line) for line in (3, 6)},
    ),
    "a template's path renamed": (
        "agent-injector/api.yaml",
        'pkiCert "pki_int/issue/internal-mtls"',
        'pkiCert "pki_int/issue/external-mtls"',
        {
            ("unreadable_path", "agent-injector/api.yaml", 14),
            ("unused_grant", "vault/policies/greenlang-api.hcl", 5),
        },
    ),
    "a role misspelt": (
        "agent-injector/api.yaml",
        "role: greenlang-api",
        "role: greenlang-apy",
        {("unknown_role", "agent-injector/api.yaml", 10)}
        | {("unused_grant", "vault/policies/greenlang-api.hcl", line) for line in (2, 5)},
    ),
    "a role's policy without a file": (
        "vault/roles.yaml",
        "policies: [greenlang-api]",
        "policies: [greenlang-api, greenlang-more]",
        {("unknown_role", "agent-injector/api.yaml", 10)},
    ),
    "an injector without a role": (
        "agent-injector/api.yaml",
        "vault.hashicorp.com/role",
        "vault.hashicorp.com/rolle",
        {("unknown_role", "agent-injector/api.yaml", 8)}
        | {("unused_grant", "vault/policies/greenlang-api.hcl", line) for line in (2, 5)},
    ),
    "a store without a role": (
        "external-secrets/stores.yaml",
        "role: eso-push",
        "rolle: eso-push",
        {("unknown_role", "external-secrets/stores.yaml", 18)}
        | {("unused_grant", "vault/policies/eso-push.hcl", line) for line in (3, 6)},
    ),
    "a generator without a role": (
        "external-secrets/api.yaml",
        "{role: eso-database}",
        "{}",
        {
            ("unknown_role", "external-secrets/api.yaml", 25),
            ("unused_grant", "vault/policies/eso-database.hcl", 2),
        },
    ),
    "a store misspelt": (
        "external-secrets/api.yaml",
        "name: vault-push",
        "name: vault-pull",
        {("unknown_store", "external-secrets/api.yaml", 17)}
        | {("unused_grant", "vault/policies/eso-push.hcl", line) for line in (3, 6)},
    ),
    "a wildcard unexplained": (
        "vault/policies/eso-push.hcl",
        "# The names of what applications push are theirs.\n",
        "",
        {("unexplained_wildcard", "vault/policies/eso-push.hcl", line) for line in (1, 4)},
    ),
    "a policy that is none": (
        "vault/policies/eso-database.hcl",
        '["read"]',
        '["raed"]',
        {
            ("invalid_file", "vault/policies/eso-database.hcl", 2),
            ("unknown_role", "external-secrets/api.yaml", 25),
            ("unreadable_path", "external-secrets/api.yaml", 25),
        },
    ),
    "a policy the server refuses": (
        "vault/policies/greenlang-api.hcl",
        'path "sys/internal/ui/mounts" {\n',
        'path "sys/internal/ui/mounts" {\n  min_wrapping_ttl = "soon"\n',
        {
            ("invalid_file", "vault/policies/greenlang-api.hcl", 1),
            ("unreadable_path", "agent-injector/api.yaml", 10),
            ("unreadable_path", "agent-injector/api.yaml", 14),
        },
    ),
    "a file that is no YAML": (
        "monitoring/dashboard.yaml",
        "kind: ConfigMap",
        "kind: [",
        {("invalid_file", "monitoring/dashboard.yaml", 3)},
    ),
    "a metric misspelt in a rule": (
        "monitoring/rules.yaml",
        "gl_vault_up",
        "gl_vault_upp",
        {("unknown_metric", "monitoring/rules.yaml", 12)},
    ),
    "a metric misspelt in a dashboard": (
        "monitoring/dashboard.yaml",
        "gl_vault_up",
        "gl_vault_upp",
        {("unknown_metric", "monitoring/dashboard.yaml", 7)},
    ),
    "a slow patch": (
        "overlays/prod/kustomization.yaml",
        "value: 15s",
        "value: 30s",
        {("slow_refresh", "overlays/prod/kustomization.yaml", 7)},
    ),
    "a patch that is no YAML": (
        "overlays/prod/kustomization.yaml",
        "op: replace",
        "op: [",
        {("invalid_file", "overlays/prod/kustomization.yaml", 7)},
    ),
    "a refresh that never comes": (
        "external-secrets/api.yaml",
        "  refreshInterval: 15s",
        "  refreshPolicy: OnChange",
        {("slow_refresh", "external-secrets/api.yaml", 5)},
    ),
    "no refresh": (
        "external-secrets/api.yaml",
        "  refreshInterval: 15s\n",
        "",
        {("slow_refresh", "external-secrets/api.yaml", 5)},
    ),
    "an image without a tag": (
        "agent-injector/api.yaml",
        "greenlang-api:1.4.2",
        "greenlang-api",
        {("unpinned_image", "agent-injector/api.yaml", 19)},
    ),
    "a value of a variable": (
        "agent-injector/api.yaml",
        "name: DATABASE_PASSWORD, valueFrom: {secretKeyRef: {name: a, key: b}}",
        "name: DATABASE_PASSWORD, value: hunter2-hunter2",
        {("secret_literal", "agent-injector/api.yaml", 21)},
    ),
    "a Secret with data": (
        "monitoring/dashboard.yaml",
        "kind: ConfigMap",
        "kind: Secret",
        {("secret_literal", "monitoring/dashboard.yaml", line) for line in (4, 6)},
    ),
    "a password in a ConfigMap": (
        "monitoring/dashboard.yaml",
        "notes: nothing",
        "db_password: hunter2-hunter2",
        {("secret_literal", "monitoring/dashboard.yaml", 4)},
    ),
    "chance": (
        "monitoring/dashboard.yaml",
        "notes: nothing",
        f"notes: {CHANCE}",
        {("secret_literal", "monitoring/dashboard.yaml", 4)},
    ),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_is_broken_is_found_where_it_is(vault_server, tmp_path: Path, case: str) -> None:
    """Each break turns the check red, with file and line, and without a secret's value."""
    name, old, new, expected = BROKEN[case]
    assert old in FILES[name]
    write(tmp_path, **{name: FILES[name].replace(old, new, 1)})

    found = await checked(tmp_path, vault_server)

    places = {
        (finding.rule, str(finding.place.file.relative_to(tmp_path)), finding.place.line)
        for finding in found.findings
    }
    assert {place for place in places if place not in expected} == set()
    assert {place for place in expected if place not in places} == set()
    assert "hunter2" not in repr(found)
    assert CHANCE not in repr(found)


async def test_an_environment_holds_for_all(vault_server, tmp_path: Path) -> None:
    """Named by hand, it is stricter than the folders."""
    slower = FILES["external-secrets/api.yaml"].replace("15s", "1m")
    write(tmp_path, **{"external-secrets/api.yaml": slower})

    by_folder = await checked(tmp_path, vault_server)
    production = await checked(tmp_path, vault_server, environment=Environment.PRODUCTION)

    assert by_folder.findings == ()
    assert [finding.rule for finding in production.findings] == ["slow_refresh"]


async def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Neither a folder that does not exist nor one without manifests passes as good."""
    with pytest.raises(ConfigurationError, match="There is no"):
        await check(Options(paths=[tmp_path / "k9s"]))
    with pytest.raises(ConfigurationError, match="nothing to check"):
        await check(Options(paths=[tmp_path]))


async def test_a_token_that_may_not_write_policies_is_told(vault_server, tmp_path: Path) -> None:
    """A server that refuses is an error, and no finding about the manifests."""
    write(tmp_path)
    _, made = await vault_server.request("POST", "auth/token/create", {"policies": ["default"]})
    other = ExternalVault(vault_server.addr, made["auth"]["client_token"])

    with pytest.raises(AccessDenied):
        await checked(tmp_path, other)


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["check", *arguments], input=stdin)


def test_the_command_starts_its_own_server(tmp_path: Path) -> None:
    """Without a server one is started; the exit code is 0 without findings, and 1 with one."""
    write(tmp_path)
    (tmp_path / "tree.txt").write_text(TREE)
    (tmp_path / "metrics.txt").write_text(METRICS)
    arguments = [str(tmp_path), "--tree", str(tmp_path / "tree.txt"), "--json"]
    arguments += ["--metrics-file", str(tmp_path / "metrics.txt")]
    arguments += ["--roles", str(tmp_path / "vault/roles.yaml")]

    good = run(*arguments)
    (tmp_path / "vault/policies/eso-kv.hcl").unlink()
    bad = run(*arguments)

    assert good.exit_code == 0, good.output
    assert json.loads(good.stdout)["findings"] == []
    assert bad.exit_code == 1
    rules = {finding["rule"] for finding in json.loads(bad.stdout)["findings"]}
    assert rules == {"unknown_role", "unreadable_path"}


def test_the_command_asks_a_given_server(vault_server, tmp_path: Path) -> None:
    """Findings are a table; the metrics come from a scrape, the secrets from the seed."""
    write(tmp_path, **{"vault/roles.yaml": None})
    scrape = f"{vault_server.addr}/v1/sys/health"

    found = run(
        str(tmp_path), "--seed", "--server", vault_server.addr, "--token-file", "-",
        "--metrics-url", scrape, stdin=vault_server.root_token,
    )  # fmt: skip

    assert found.exit_code == 1
    assert "the metric gl_vault_up is not exported" in found.stdout
    assert "unreadable_path" not in found.stdout
    assert "10 grants asked for" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((".", "--server", "http://127.0.0.1:1"), "together"),
        ((".", "--metrics-url", "file:///etc/passwd"), "http or https"),
        ((".", "--metrics-url", "http://127.0.0.1:1/metrics"), "cannot be read"),
        (("/nowhere/k8s",), "There is no"),
        ((".", "--server", "http://127.0.0.1:1", "--token-file", "-"), "no server to ask"),
        ((), "Missing argument"),
    ],
)
def test_a_wrong_call_is_usage(tmp_path, monkeypatch, arguments, complaint: str) -> None:
    """Exit code 2, so that a pipeline tells it from a finding."""
    write(tmp_path)
    monkeypatch.chdir(tmp_path)

    result = run(*arguments, stdin="none")

    assert result.exit_code == 2
    assert complaint in result.output


async def test_an_answer_that_is_no_vaults_is_told(tmp_path: Path) -> None:
    """A server that answers with something else is an error, and grants nothing."""

    class Other(ExternalVault):
        async def request(self, *arguments, **more):
            return 200, "<html>"

    write(tmp_path)

    with pytest.raises(VaultProtocolError):
        await checked(tmp_path, Other("http://127.0.0.1:1", "none"))


def test_policies_and_roles_may_be_elsewhere(vault_server, tmp_path: Path) -> None:
    """Folders and files are named one by one; a good tree is said to be good on stderr."""
    write(tmp_path)

    found = run(
        str(tmp_path / "external-secrets"), str(tmp_path / "agent-injector"),
        "--policies", str(tmp_path / "vault/policies"),
        "--roles", str(tmp_path / "vault/roles.yaml"),
        "--server", vault_server.addr, "--token-file", "-",
        stdin=vault_server.root_token,
    )  # fmt: skip

    assert (found.exit_code, found.stdout) == (0, "")
    assert "4 policies, 10 grants asked for: 0 findings" in found.stderr


async def test_manifests_that_ask_nothing_need_no_server(tmp_path: Path) -> None:
    """Without policies and grants no server is started or asked."""
    write(tmp_path)

    found = await check(
        Options(paths=[tmp_path / "monitoring"], server=ExternalVault("http://127.0.0.1:1", "none"))
    )

    assert (found.files, found.findings) == (2, ())


def test_without_the_server_it_says_what_to_install(tmp_path, monkeypatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "greenlang_secrets.check", None)

    result = run(str(tmp_path))

    assert result.exit_code == 2
    assert "pip install" in result.output
