"""The patches of k8s/agent-injector with a real agent, a real server and its shipped policies."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

import asyncpg
import pytest
import yaml

from support.injector import PATCHES, PREFIX, Pod, annotations, container, unknown
from support.shipped import SEEDED

SERVICES = ("greenlang-api", "greenlang-agents", "greenlang-jobs")
SIDECARS = ("greenlang-api", "greenlang-agents")

POSTGRESQL_URL = (
    "postgresql://app_a:p%40ss%2Fw%3Ard%3F%23%25%26%22%20%5Cx"
    "@postgresql.greenlang.internal:5432/greenlang"
)
REDIS_URL = SEEDED["database/redis"]["url"]
TIMESCALEDB_URL = "postgresql://greenlang:ts%2Fp%40ss@timescaledb.greenlang.internal:5432/metrics"
BUNDLE = "\n".join(
    SEEDED["certificates/internal-mtls"][name]
    for name in ("private_key", "certificate", "ca_chain")
)

RENDERED = {
    "greenlang-api": {
        "api-keys.json": '{"internal": "gl_internal", "external": "gl_external"}',
        "internal-mtls.pem": BUNDLE,
        "postgresql-url": POSTGRESQL_URL,
        "redis-url": REDIS_URL,
    },
    "greenlang-agents": {
        "api-keys.json": '{"internal": "gl_internal"}',
        "internal-mtls.pem": BUNDLE,
        "postgresql-url": POSTGRESQL_URL,
        "redis-url": REDIS_URL,
        "timescaledb-url": TIMESCALEDB_URL,
    },
    "greenlang-jobs": {
        "api-keys.json": '{"internal": "gl_internal"}',
        "postgresql-url": POSTGRESQL_URL,
    },
}


@pytest.fixture
def pod(vault, tmp_path):
    """A function that makes a pod of a service."""

    def made(service: str, name: str = "") -> Pod:
        token = vault.accounts.token("greenlang", service)
        return Pod.made(tmp_path / f"pod-{name or service}", vault.server.addr, token)

    return made


async def _until(condition, seconds: float) -> float:
    """Wait for a condition and return how long that took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "it did not come to it"
        await asyncio.sleep(0.05)
    return time.monotonic() - begin


async def test_init_container_renders_every_file(pod):
    """Each service's init container ends with 0 and leaves its files, whole and with 0400."""
    pods = {service: pod(service) for service in SERVICES}

    codes = await asyncio.gather(
        *(pods[service].initialised(annotations(service)) for service in SERVICES)
    )

    assert codes == [0, 0, 0], {service: pods[service].log() for service in SERVICES}
    for service in SERVICES:
        assert pods[service].files() == RENDERED[service]
        json.loads(pods[service].files()["api-keys.json"])
        modes = {file.stat().st_mode & 0o777 for file in pods[service].secrets.iterdir()}
        assert modes == {0o400}


def test_connection_string_is_read_back_as_it_was():
    """What the URL of the templates says is, for a driver, the password with all its characters."""
    parse = asyncpg.connect_utils._parse_connect_dsn_and_args
    _, parameters = parse(
        dsn=POSTGRESQL_URL,
        **dict.fromkeys(("host", "port", "user", "password", "passfile", "database", "ssl"), None),
        service=None,
        servicefile=None,
        direct_tls=None,
        server_settings=None,
        target_session_attrs=None,
        krbsrvname=None,
        gsslib=None,
    )

    assert parameters.password == SEEDED["database/postgresql"]["password"]


async def _has_read(server, mark: int, given: dict[str, str]) -> None:
    """Wait until an agent has read all its secrets, so that the next change is news to it."""
    wanted = {value for key, value in given.items() if key.startswith("agent-inject-secret-")}
    begin = time.monotonic()
    while not wanted <= {path for _, path in await server.audit_requests(mark)}:
        assert time.monotonic() - begin < 30, "the sidecar does not read"
        await asyncio.sleep(0.05)


async def _application(pod: Pod, service: str) -> asyncio.subprocess.Process:
    """A process that notes each SIGHUP in a file, in place of the application."""
    heard = pod.folder / "heard"
    code = (
        "import signal, sys, pathlib\n"
        "heard = pathlib.Path(sys.argv[1])\n"
        "signal.signal(signal.SIGHUP, lambda *_: heard.open('a').write('x'))\n"
        "heard.write_text('')\n"
        "while True: signal.pause()\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(heard))
    await _until(heard.exists, 20)
    (pod.folder / "app").write_text(f"{process.pid} python /app/bin/{service}")
    return process


@pytest.mark.parametrize("service", SIDECARS)
async def test_change_reaches_file_and_application(vault, pod, service):
    """The sidecar follows: a password changed in Vault is in the file within 30 s, and the
    application gets SIGHUP; without an application (init), the command is no failure.
    """
    here = pod(service)
    given = annotations(service)
    assert await here.initialised(given) == 0, here.log()
    application = await _application(here, service)
    heard = here.folder / "heard"
    mark = await vault.server.audit_mark()
    try:
        async with here.agent(given, init=False) as agent:
            await _has_read(vault.server, mark, given)
            before = len(heard.read_text())
            await vault.put(
                "database/postgresql", {**SEEDED["database/postgresql"], "password": "n/w"}
            )
            took = await _until(
                lambda: "app_a:n%2Fw@" in here.files().get("postgresql-url", ""), 30
            )
            await _until(lambda: len(heard.read_text()) > before, 10)
            assert agent.returncode is None
    finally:
        application.send_signal(signal.SIGKILL)
        await application.wait()
    print(f"in the file after {took:.1f} s")  # noqa: T201  shown by pytest -rP
    assert took < 30


async def test_missing_secret_ends_the_init_container(vault, pod):
    """A secret that is not there: each service's init container ends with an error in 60 s, and
    so does one whose template names a path that its policy does not open (control: the same pods
    start in test_init_container_renders_every_file).
    """
    await vault.server.request("DELETE", "secret/metadata/greenlang/api-keys/internal")
    unreadable = annotations("greenlang-jobs")
    template = unreadable["agent-inject-template-postgresql"]
    unreadable["agent-inject-template-postgresql"] = template.replace(
        "database/postgresql", "database/timescaledb"
    )
    pods = [(pod(service), annotations(service)) for service in SERVICES]
    pods.append((pod("greenlang-jobs", "unreadable"), unreadable))
    begin = time.monotonic()

    codes = await asyncio.gather(*(each.initialised(given) for each, given in pods))

    assert time.monotonic() - begin < 60
    assert all(code != 0 for code in codes), codes
    for each, _ in pods[:3]:
        assert "api-keys.json" not in each.files()
        assert "no secret exists at secret/data/greenlang/api-keys/internal" in each.log()
    assert "postgresql-url" not in pods[3][0].files()
    assert "permission denied" in pods[3][0].log()


async def test_missing_field_ends_the_init_container_at_once(vault, pod):
    """A secret without a field that the template names leaves no file with a hole in it."""
    await vault.put("api-keys/internal", {"other": "x"})
    here = pod("greenlang-jobs")

    assert await here.initialised(annotations("greenlang-jobs")) != 0

    assert "api-keys.json" not in here.files()


async def test_refused_login_ends_the_init_container(vault, pod):
    """Another account's token is refused, and the pod does not start."""
    here = pod("greenlang-jobs")
    token = vault.accounts.token("greenlang", "default")
    (here.folder / "token" / "token").write_text(token)

    assert await here.initialised(annotations("greenlang-jobs")) != 0

    assert here.files() == {}


@pytest.mark.parametrize("service", SERVICES)
def test_every_file_fails_on_a_missing_field_and_is_its_owners(service):
    """Each file has a template, an error for a missing field and 0400; sidecars have a command."""
    given = annotations(service)
    names = [key[20:] for key in given if key.startswith("agent-inject-secret-")]

    assert names
    assert unknown(given) == set()
    for name in names:
        assert given[f"error-on-missing-key-{name}"] == "true"
        assert given[f"agent-inject-perms-{name}"] == "0400"
        assert (f"agent-inject-command-{name}" in given) == (service in SIDECARS)
        assert given[f"agent-inject-secret-{name}"] in given[f"agent-inject-template-{name}"]


def test_misspelt_annotation_is_found():
    """The control: an annotation that the injector would pass over in silence."""
    given = {**annotations("greenlang-api"), "agent-init-frist": "true"}

    assert unknown(given) == {"agent-init-frist"}


@pytest.mark.parametrize("service", SERVICES)
def test_pod_is_restricted_and_mounts_a_token_for_vault(service):
    """Containers and pod run under RuntimeDefault and as one user that is not root; the token is
    made for Vault, and jobs have no sidecar.
    """
    document = yaml.safe_load((PATCHES / f"{service}.yaml").read_text())
    spec = document["spec"]["template"]["spec"]
    given = annotations(service)

    assert spec["serviceAccountName"] == given["role"] == service
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert str(spec["securityContext"]["runAsUser"]) == given["agent-run-as-user"]
    [volume] = spec["volumes"]
    assert volume["name"] == given["agent-service-account-token-volume-name"]
    [source] = volume["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == "vault"
    for init in (True, False) if service in SIDECARS else (True,):
        made = container(given, init=init)
        assert made["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (given.get("agent-pre-populate-only") == "true") == (service not in SIDECARS)


def test_component_patches_each_service():
    """The kustomize component names every patch, and each patch the object it is for."""
    component = yaml.safe_load((PATCHES / "kustomization.yaml").read_text())

    assert {Path(patch["path"]).stem for patch in component["patches"]} == set(SERVICES)
    for patch in component["patches"]:
        document = yaml.safe_load((PATCHES / patch["path"]).read_text())
        assert patch["target"] == {
            "kind": document["kind"],
            "name": document["metadata"]["name"],
        }
        assert all(
            key.startswith(PREFIX)
            for key in document["spec"]["template"]["metadata"]["annotations"]
        )
