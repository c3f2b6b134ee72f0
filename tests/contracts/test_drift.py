"""Manifests, Vault's roles, policies, charts and runbooks name the same things.

Each test is one of the ways in which deployments of Vault drift apart: roles that nobody made, roles
of other accounts, policies without a role, listeners without TLS, placeholders that are pushed.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from contracts.manifests import OVERLAYS, build, containers
from contracts.markdown import ROOT
from greenlang_secrets.provision.desired import POLICIES

K8S: Final = ROOT / "k8s"
VAULT: Final = K8S / "vault"
HCL: Final = {file.stem: file.read_text("utf-8") for file in VAULT.glob("policies/*.hcl")}
ROLES: Final = yaml.safe_load((VAULT / "roles.yaml").read_text("utf-8"))
INJECT: Final = "vault.hashicorp.com/"

Manifest = dict[str, Any]
Login = tuple[str, str, str]
"""Role, and namespace and name of the service account."""


def manifests() -> list[Manifest]:
    """Return what production applies, and the patches of applications with an agent."""
    patches = [
        yaml.safe_load(file.read_text("utf-8"))
        for file in sorted((K8S / "agent-injector").glob("greenlang-*.yaml"))
    ]
    for each in patches:
        each["metadata"].setdefault("namespace", "greenlang")
    return copy.deepcopy([*build(K8S / "overlays" / "prod"), *patches])


def logins(found: Sequence[Manifest]) -> Iterator[Login]:
    """Yield each login to Vault that manifests describe."""
    for each in found:
        namespace = each["metadata"].get("namespace", "")
        provider = each.get("spec", {}).get("provider", {})
        auth = provider.get("vault", provider).get("auth", {}).get("kubernetes")
        if auth:
            account = auth["serviceAccountRef"]
            yield auth["role"], account.get("namespace", namespace), account["name"]
        if each["kind"] not in {"Deployment", "Job"}:
            continue
        pod = each["spec"]["template"]
        role = pod.get("metadata", {}).get("annotations", {}).get(f"{INJECT}role")
        if role:
            yield role, namespace, pod["spec"].get("serviceAccountName", "default")
            continue
        for container in containers(each):
            for variable in container.get("env", []):
                if variable["name"] == "GREENLANG_SECRETS_AUTH_ROLE":
                    yield variable["value"], namespace, pod["spec"]["serviceAccountName"]


def provisioned() -> set[Login]:
    """Return whom Vault's roles let in."""
    return {
        (name, role["namespace"], role["service_account"])
        for name, role in ROLES["kubernetes"]["roles"].items()
    }


def test_every_login_is_a_role_that_vault_has() -> None:
    """Role, namespace and account of each manifest are one of roles.yaml, and each of those is
    somebody's; nobody is `default`.
    """
    asked = set(logins(manifests()))

    assert asked == provisioned()
    assert "default" not in {account for _, _, account in asked}


def test_a_login_that_drifted_is_found() -> None:
    """The control: another role, another namespace, another account."""
    for name, value in (("role", "external-secrets-kv"), ("namespace", "default"), ("name", "x")):
        found = manifests()
        [store] = [each for each in found if each["metadata"]["name"] == "vault-kv"]
        auth = store["spec"]["provider"]["vault"]["auth"]["kubernetes"]
        (auth if name == "role" else auth["serviceAccountRef"])[name] = value

        assert set(logins(found)) - provisioned()


def orphans(roles: Manifest, files: Sequence[str]) -> set[str]:
    """Return policies that no role has, and policies of roles that are in no file."""
    named = {policy for role in roles.values() for policy in role["policies"]}
    return (set(files) - named) | (named - set(files) - set(POLICIES))


def test_every_policy_has_its_role() -> None:
    """Files and roles.yaml name the same policies; a role has one, of its own name."""
    roles = ROLES["kubernetes"]["roles"]

    assert orphans(roles, list(HCL)) == set()
    assert {name: role["policies"] for name, role in roles.items()} == {
        name: [name] for name in roles
    }
    assert orphans(roles, [*HCL, "process-heat-api"]) == {"process-heat-api"}  # the control
    assert orphans({"a": {"policies": ["gone"]}}, []) == {"gone"}


def broad(policy: str) -> list[str]:
    """Return paths that reach into what is not known: a `*`, or a wildcard for a mount."""
    paths = re.findall(r'^path "([^"]+)"', policy, re.MULTILINE)
    return [path for path in paths if "*" in path or path.startswith("+")]


def test_no_policy_reaches_what_nobody_named() -> None:
    """`*` matches whatever comes to lie below; ours name each depth."""
    assert {name: broad(text) for name, text in HCL.items() if broad(text)} == {}
    assert broad('path "mount/*" {\n}\npath "+/data/a" {\n}') == ["mount/*", "+/data/a"]


def clear(text: str) -> list[str]:
    """Return where a text speaks to Vault, or has it listen, without TLS."""
    return re.findall(r"http://[\w.-]*vault\S*|tls_disable\s*=\s*\S*(?:1|true)\S*", text)


def test_vault_is_spoken_to_by_tls() -> None:
    """Clients say https, and no listener of the values is without TLS."""
    files = sorted(K8S.rglob("*.yaml"))

    assert {str(file): clear(file.read_text("utf-8")) for file in files} == {
        str(file): [] for file in files
    }
    for file in VAULT.glob("values-*.yaml"):
        text = file.read_text("utf-8")
        assert text.count("listener ") == text.count("tls_cert_file"), file.name
    assert clear("server: http://vault.vault.svc:8200\ntls_disable = 1")  # the control


def unnamed(texts: Sequence[str], page: str) -> set[str]:
    """Return hosts that texts reach Vault at, and that its certificate is not told to have."""
    [names] = re.findall(r"is made by your certificate issuer, for (.+)", page)
    hosts = {host for text in texts for host in re.findall(r"https://([\w.-]+):8200", text)}
    hosts |= {
        host
        for text in texts
        for host in re.findall(r"(?:serverName|servername|SERVER_NAME)\W+([a-z.]+)", text)
    }
    # A certificate's wildcard is one label.
    return {
        host
        for host in hosts
        if not {f"`{host}`", f"`*.{host.partition('.')[2]}`"} & names_in(names)
    }


def names_in(sentence: str) -> set[str]:
    """Return what stands in backquotes, with them."""
    return set(re.findall(r"`[^`]+`", sentence))


def test_vault_has_a_certificate_for_each_of_its_names() -> None:
    """Stores, agents, the service and the nodes themselves name hosts that it is made for."""
    texts = [file.read_text("utf-8") for file in sorted(K8S.rglob("*.yaml"))]
    page = (ROOT / "docs" / "how-to" / "provision-vault.md").read_text("utf-8")

    assert unnamed(texts, page) == set()
    lacking = page.replace("`vault.vault.svc.cluster.local`", "")
    assert unnamed(texts, lacking) == {"vault.vault.svc.cluster.local"}  # the control


def careless(found: Sequence[Manifest]) -> list[str]:
    """Return PushSecrets that delete in Vault, or push a Secret that is committed."""
    committed = {each["metadata"]["name"] for each in found if each["kind"] == "Secret"}
    return [
        each["metadata"]["name"]
        for each in found
        if each["kind"] == "PushSecret"
        and (
            each["spec"].get("deletionPolicy", "None") != "None"
            or each["spec"]["selector"]["secret"]["name"] in committed
        )
    ]


def test_pushes_delete_nothing_and_push_no_placeholder() -> None:
    """What is pushed was made in the cluster, and stays in Vault when the push goes."""
    found = manifests()
    pushes = [each for each in found if each["kind"] == "PushSecret"]
    assert careless(found) == []

    pushes[0]["spec"]["deletionPolicy"] = "Delete"  # the controls
    name = pushes[1]["spec"]["selector"]["secret"]["name"]
    found.append({"kind": "Secret", "metadata": {"name": name}})
    assert careless(found) == [each["metadata"]["name"] for each in pushes]


MADE_BY_APPLICATIONS: Final = {("greenlang-api-session-keys", "signing-key")}
"""Secrets that an application makes in the cluster at its first start, and their keys."""


def unmade(found: Sequence[Manifest]) -> set[tuple[str, str]]:
    """Return name and key of what is pushed, and no ExternalSecret makes."""
    made = {
        (each["spec"]["target"]["name"], key)
        for each in found
        if each["kind"] == "ExternalSecret"
        for key in each["spec"]["target"]["template"]["data"]
    }
    return {
        (each["spec"]["selector"]["secret"]["name"], entry["match"]["secretKey"])
        for each in found
        if each["kind"] == "PushSecret"
        for entry in each["spec"]["data"]
    } - made


def test_what_is_pushed_is_made_in_the_cluster() -> None:
    """By an ExternalSecret, whose key it is, or by the application that is named here."""
    found = manifests()
    assert unmade(found) == MADE_BY_APPLICATIONS

    for each in found:  # the control
        if each["kind"] == "PushSecret" and each["metadata"]["name"] == "greenlang-api-mtls":
            each["spec"]["data"][0]["match"]["secretKey"] = "tls.cert"
    assert unmade(found) == {*MADE_BY_APPLICATIONS, ("greenlang-api-mtls", "tls.cert")}


def test_leases_are_as_long_as_generators_say() -> None:
    """The annotation by which refreshes are chosen is the life that the role gives."""
    lives = {
        **{f"database/creds/{name}": role["ttl"] for name, role in ROLES["database_roles"].items()},
        **{f"pki_int/issue/{name}": role["ttl"] for name, role in ROLES["pki_roles"].items()},
    }
    generators = [each for each in manifests() if each["kind"] == "VaultDynamicSecret"]

    assert {
        each["spec"]["path"]: each["metadata"]["annotations"]["greenlang.io/lease-ttl"]
        for each in generators
    } == {
        each["spec"]["path"]: lives[each["spec"]["path"]].replace("1d", "24h")
        for each in generators
    }


def jobs(found: Sequence[Manifest]) -> set[str]:
    """Return the jobs that ServiceMonitors make."""
    named = set()
    for each in found:
        if each["kind"] == "ServiceMonitor":
            [endpoint] = each["spec"]["endpoints"]
            labels = {one["targetLabel"]: one.get("replacement") for one in endpoint["relabelings"]}
            assert "environment" in labels
            named.add(
                labels.get("job")
                or each["spec"]["selector"]["matchLabels"][each["spec"]["jobLabel"]]
            )
    return named


def test_rules_ask_for_jobs_that_are_scraped() -> None:
    """Each `job` of a rule is a ServiceMonitor's, whose series have an environment."""
    rules = (K8S / "monitoring" / "prometheusrule.yaml").read_text("utf-8")

    assert (
        set(re.findall(r'job="([^"]+)"', rules))
        == jobs(manifests())
        == {
            "greenlang-secrets",
            "openbao",
        }
    )


NODES: Final = re.compile(r"\b([a-z]+)-\d\b(?= |$|`)")


def objects_in(text: str) -> set[tuple[str, str]]:
    """Return kind and name of the objects that a runbook's commands are for."""
    commands = re.findall(r"^.*\bkubectl\b.*$", text, re.MULTILINE)
    found = set()
    for command in commands:
        found |= set(re.findall(r"\b(deploy|job|svc)/([a-z][a-z-]*)", command))
        found |= {("pod", name) for name in NODES.findall(command)}
    return found


def test_runbooks_are_for_what_is_deployed() -> None:
    """A command names Deployments, Services and nodes of Vault that manifests or charts make."""
    kinds = {"Deployment": "deploy", "Job": "job", "Service": "svc"}
    there = {
        (kinds[each["kind"]], each["metadata"]["name"])
        for each in manifests()
        if each["kind"] in kinds
    }
    chart = {("svc", "vault"), ("pod", "vault")}  # release and fullnameOverride
    others = {("deploy", "external-secrets"), ("svc", "prometheus-operated")}
    pages = sorted((ROOT / "observability" / "runbooks").glob("*.md"))

    pages_text = {page.name: page.read_text("utf-8") for page in pages}
    asked = {name: objects_in(text) for name, text in pages_text.items()}

    unknown = {name: found - there - chart - others for name, found in asked.items()}
    assert {name: found for name, found in unknown.items() if found} == {}
    assert {one for found in asked.values() for one in found} >= {
        ("deploy", "greenlang-secrets"),
        ("pod", "vault"),
    }
    assert "export NS=greenlang BAO_NS=vault\n" in pages_text["README.md"]
    openbao = yaml.safe_load((VAULT / "values-openbao.yaml").read_text("utf-8"))
    assert openbao["fullnameOverride"] == "vault"
    assert objects_in("kubectl exec openbao-0 -- df\nkubectl logs deploy/api") == {
        ("pod", "openbao"),
        ("deploy", "api"),
    }


def test_every_overlay_has_the_same_objects() -> None:
    """Environments differ by numbers and names, and not by what there is."""
    found = {
        name: sorted(
            (each["kind"], re.sub(r"-\w{10}$", "", each["metadata"]["name"]))
            for each in build(Path(K8S / "overlays" / name))
        )
        for name in OVERLAYS
    }

    assert len({tuple(objects) for objects in found.values()}) == 1
