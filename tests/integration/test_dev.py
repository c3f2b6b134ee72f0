"""``greenlang-secrets dev`` as a developer runs it: a process, real servers, real signals."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from greenlang_secrets.config import AuthConfig, SecretsServiceConfig
from greenlang_secrets.development.api_process import ApiProcess
from greenlang_secrets.development.issuer import AUDIENCE, ISSUER, DevelopmentIssuer
from greenlang_secrets.development.seed import Beside, seed
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.provision import Desired, provision
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.service import SecretsService
from greenlang_secrets.testing import ServerError
from support.dev_run import Dev

BASE = "/api/v1/secrets"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Dev]]:
    """Start a stack; all of them are gone after the test."""
    runs: list[Dev] = []

    def start(*arguments: str, folder: Path = tmp_path, port: int = 0) -> Dev:
        runs.append(Dev(folder, *arguments, port=port))
        return runs[-1]

    yield start

    for run in runs:
        run.finish()


@pytest.fixture
def service(secrets: SecretsService) -> SecretsService:
    """A service on the shared server; the module `secrets` has its name here."""
    return secrets


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """A whole stack, for tests that only talk to it."""
    run = Dev(tmp_path_factory.mktemp("dev"))
    try:
        run.ready()
        yield run
    finally:
        run.finish()


def fetch(url: str, method: str, headers: dict[str, str], body: Any = None) -> tuple[int, bytes]:
    where = urlsplit(url)
    assert where.hostname == "127.0.0.1"
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    with contextlib.closing(connection):
        sent = None if body is None else json.dumps(body).encode()
        connection.request(method, url.removeprefix(f"http://{where.netloc}"), sent, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def ask(
    ready: dict[str, Any], method: str, path: str, token: str, body: Any = None, **more: str
) -> Any:
    """Return the status and the document of one request to the API."""
    headers = {
        "Authorization": f"Bearer {ready['tokens'][token]}",
        "Content-Type": "application/json",
        **more,
    }
    status, answer = fetch(f"{ready['api_url']}{BASE}{path}", method, headers, body)
    return status, json.loads(answer or b"null")


# ---------------------------------------------------------------- what it offers


def test_the_ready_file_keeps_its_contract(stack):
    """It names every address, process and token, and only its owner reads it."""
    ready = stack.ready()

    assert list(ready) == [
        *("api_url", "vault_addr", "vault_token", "postgres_url", "valkey_url", "metrics_url"),
        *("audit_log", "openbao_audit_log", "env_file", "pids", "tokens"),
    ]
    assert list(ready["pids"]) == ["api", "openbao", "postgres", "valkey"]
    assert list(ready["tokens"]) == [
        *("platform-admin", "platform-reader", "acme-admin", "acme-reader"),
        *("globex-admin", "no-permissions"),
    ]
    assert set(ready["pids"].values()) <= set(stack.family())
    for file in (stack.ready_file, Path(ready["env_file"])):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Path(ready["openbao_audit_log"]).stat().st_size > 0


def test_metrics_answer(stack):
    """The metrics URL is one that Prometheus can scrape."""
    status, text = fetch(stack.ready()["metrics_url"], "GET", {})

    assert status == 200
    assert b"gl_secrets_operations_total" in text


@pytest.mark.parametrize(
    ("token", "method", "path", "status"),
    [
        ("platform-admin", "GET", "/database/postgresql", 200),
        ("platform-admin", "GET", "/api-keys/stripe?tenant=acme", 200),
        ("platform-admin", "GET", "/status", 200),
        ("platform-reader", "GET", "/services/agent-factory", 200),
        ("platform-reader", "DELETE", "/services/agent-factory", 403),
        ("acme-admin", "GET", "/integrations/sap", 200),
        ("acme-admin", "GET", "/database/postgresql", 404),
        ("acme-admin", "GET", "/api-keys/stripe?tenant=globex", 403),
        ("acme-reader", "GET", "/api-keys/mapbox", 200),
        ("acme-reader", "DELETE", "/api-keys/mapbox", 403),
        ("globex-admin", "GET", "/integrations/salesforce", 200),
        ("no-permissions", "GET", "/api-keys/stripe", 403),
    ],
)
def test_each_token_opens_what_it_is_for(stack, token, method, path, status):
    """Tokens of the ready file do what their names say, and no more."""
    assert ask(stack.ready(), method, path, token)[0] == status


def test_a_tenant_writes_and_reads_back(stack):
    """What the greeting proposes works: acme writes a secret, globex cannot see it."""
    ready = stack.ready()

    assert ask(ready, "POST", "/my/first", "acme-admin", {"data": {"key": "value"}})[0] == 201

    status, document = ask(ready, "GET", "/my/first", "acme-admin")
    assert (status, document["data"]) == (200, {"key": "value"})
    assert ask(ready, "GET", "/my/first", "globex-admin")[0] == 404


def test_the_seeded_paths_are_the_products(stack):
    """The platform's tree is there, each secret with its type."""
    listings = {
        prefix: ask(stack.ready(), "GET", f"?prefix={prefix}", "platform-admin")[1]["items"]
        for prefix in ("database/", "api-keys/", "certificates/", "services/")
    }

    assert {item["path"]: item["type"] for items in listings.values() for item in items} == {
        "database/catalogue": "database",
        "database/postgresql": "database",
        "database/postgresql-admin": "database",
        "database/redis": "cache",
        "database/redis-admin": "cache",
        "database/timescaledb": "database",
        "api-keys/external": "api_key",
        "api-keys/internal": "api_key",
        "certificates/internal-mtls": "certificate",
        "services/agent-factory": "service_token",
        "services/audit-service": "service_token",
        "services/auth-service": "service_token",
    }


async def test_seeded_credentials_log_in(stack):
    """What lies at database/postgresql and database/redis opens the servers beside."""
    ready = stack.ready()
    postgres = ask(ready, "GET", "/database/postgresql", "platform-reader")[1]["data"]
    redis = ask(ready, "GET", "/database/redis", "platform-reader")[1]["data"]

    connection = await asyncpg.connect(
        host=postgres["host"],
        port=int(postgres["port"]),
        user=postgres["username"],
        password=postgres["password"],
        database=postgres["database"],
    )
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    with socket.create_connection((redis["host"], int(redis["port"])), timeout=5) as link:
        link.sendall(f"AUTH {redis['username']} {redis['password']}\r\nPING\r\n".encode())
        with link.makefile("rb") as answers:
            assert answers.read(12) == b"+OK\r\n+PONG\r\n"
    assert redis["url"].startswith("redis://app:")
    assert redis["url"].endswith(ready["valkey_url"].rpartition("@")[2])


async def test_what_the_tutorial_rotates_is_rotated(start):
    """The command of the greeting gives a new login, which works beside the old one."""
    run = start()
    ready = run.ready()
    secret, rotate = "/database/postgresql", "/rotate/database/postgresql"
    old = ask(ready, "GET", secret, "platform-reader")[1]

    status, done = ask(ready, "POST", rotate, "platform-admin", {}, Prefer="wait=20")
    redis, _ = ask(ready, "POST", "/rotate/database/redis", "platform-admin", {}, Prefer="wait=20")
    new = ask(ready, "GET", f"{secret}?fresh=true", "platform-reader")[1]

    assert (status, done["version"], redis) == (200, 2, 200)
    assert (old["data"]["username"], new["data"]["username"]) == ("app_a", "app_b")
    for login in (old["data"], new["data"]):
        connection = await asyncpg.connect(
            host=login["host"],
            port=int(login["port"]),
            user=login["username"],
            password=login["password"],
            database=login["database"],
        )
        assert await connection.fetchval("SELECT current_user") == "app"
        await connection.close()
    assert f"-X POST -H 'Prefer: wait=20' {ready['api_url']}{BASE}{rotate}" in run.output


def test_vault_hands_out_database_credentials(stack):
    """The database engine of the stack is connected to its PostgreSQL."""
    ready = stack.ready()
    url = f"{ready['vault_addr']}/v1/database/creds/greenlang-readonly"

    assert fetch(url, "GET", {"X-Vault-Token": ready["vault_token"]})[0] == 200


def test_a_second_shell_can_join(stack):
    """After reading `env` the command line reads secrets and issues bearers."""
    env = Path(stack.ready()["env_file"])
    program = f"{sys.executable} -m greenlang_secrets.cli"
    commands = ("get database/redis --field host", "list services", "token --tenant globex")
    script = f". {env}" + "".join(f" && {program} {command}" for command in commands)

    done = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.startswith("127.0.0.1services/agent-factory\tservice_token\t1\tlive\t")
    assert done.stdout.splitlines()[-1].startswith("eyJ")
    assert stat.S_IMODE(env.stat().st_mode) == 0o600


def test_no_secret_is_in_an_argument_or_in_the_apis_environment(stack):
    """Whoever lists processes sees no password or token; the API never had the root token."""
    ready = stack.ready()
    postgres = ask(ready, "GET", "/database/postgresql", "platform-reader")[1]["data"]
    known = [ready["vault_token"], postgres["password"], *ready["tokens"].values()]
    known.append(ready["valkey_url"].split("@")[0].split(":")[-1])

    commands = " ".join(stack.family().values())
    assert "greenlang_secrets.cli" in commands
    assert [value for value in known if value in commands] == []
    if os.geteuid() == 0:  # to anybody else the API's environment is closed: test_hardening.py
        environment = Path(f"/proc/{ready['pids']['api']}/environ").read_text()
        assert "GREENLANG_SECRETS_AUTH_SECRET_ID_FILE" in environment
        assert [value for value in known if value in environment] == []


def test_the_greeting_says_what_to_try(stack):
    """The terminal shows commands with a token to copy."""
    stack.says("greenlang-secrets token")

    assert f"TOKEN={stack.ready()['tokens']['acme-admin']}" in stack.output
    assert f'curl -s -H "Authorization: Bearer $TOKEN" {stack.ready()["api_url"]}' in stack.output


# ---------------------------------------------------------------- how it ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])  # SIGINT: below, twice
def test_a_signal_ends_everything(start, number):
    """Each signal that asks for an end gets one: exit code 0, no process, no file."""
    run = start()
    run.ready()

    assert run.end(number) == 0

    run.left_nothing()


@pytest.mark.parametrize("moment", ["Starting", "Provisioning"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_start_ends_everything(start, moment, number):
    """A signal that comes before all is up leaves as little behind."""
    run = start()
    run.says(moment)
    run.until(lambda: len(run.family()) > 1)

    assert run.end(number) == 0

    run.left_nothing()


def test_ctrl_c_reaches_the_group_and_stops_in_order(start):
    """SIGINT to the whole foreground group, twice, still stops every server in order."""
    run = start()
    log = Path(run.ready()["env_file"]).with_name("api.log")

    os.killpg(run.process.pid, signal.SIGINT)
    os.killpg(run.process.pid, signal.SIGINT)

    assert run.ends() == 0
    assert "Traceback" not in run.output
    assert not log.exists()
    run.left_nothing()


def test_a_killed_command_takes_its_servers_along(start):
    """SIGKILL, which nobody can answer, leaves no server running."""
    run = start()
    run.ready()

    run.end(signal.SIGKILL)

    run.until(lambda: not run.family(), within=10)


@pytest.mark.parametrize("name", ["api", "valkey"])
def test_the_death_of_a_child_ends_everything(start, name):
    """A server that dies is named, and the others are stopped: exit code 1."""
    run = start("--no-postgres")
    os.kill(run.ready()["pids"][name], signal.SIGKILL)

    assert run.ends() == 1

    assert "error: " in run.output
    assert "died" in run.output
    run.left_nothing()


# ---------------------------------------------------------------- what it is told


def test_a_busy_port_is_said(start):
    """A taken port ends it with what to do and exit code 2, before a server was started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = start(port=port)

        assert run.ends() == 2

    assert f"Port {port} on 127.0.0.1 is in use" in run.output
    assert "--port" in run.output
    assert "Starting" not in run.output
    run.left_nothing()


def test_a_ready_file_that_cannot_be_written_is_said(start, tmp_path):
    """It is refused at once, and not when everything runs."""
    run = start("--ready-file", str(tmp_path / "missing" / "ready.json"))

    assert run.ends() == 2
    assert "Starting" not in run.output


def test_a_data_folder_that_cannot_be_is_said(start, tmp_path):
    """A folder below a file is refused at once, with its name."""
    (tmp_path / "file").touch()
    run = start("--data-dir", str(tmp_path / "file" / "data"))

    assert run.ends() == 2
    assert f"'{tmp_path / 'file' / 'data'}' cannot be used" in run.output
    run.left_nothing()


def test_servers_can_be_left_out(start):
    """Without PostgreSQL and Valkey their members are null, and nothing of them runs."""
    run = start("--no-postgres", "--no-valkey")

    ready = run.ready()

    assert (ready["postgres_url"], ready["valkey_url"]) == (None, None)
    assert list(ready["pids"]) == ["api", "openbao"]
    assert ask(ready, "GET", "/database/postgresql", "platform-reader")[0] == 200


def test_a_data_folder_keeps_everything(start, tmp_path):
    """After a restart own and seeded secrets are as they were; the real ones follow the ports."""
    data = tmp_path / "data"
    first = start("--data-dir", str(data))
    before = first.ready()
    ask(before, "POST", "/my/own", "acme-admin", {"data": {"k": "v"}})
    ask(before, "DELETE", "/api-keys/external", "platform-admin")
    internal = ask(before, "GET", "/api-keys/internal", "platform-reader")[1]
    assert first.end(signal.SIGTERM) == 0
    first.left_nothing()

    after = start("--data-dir", str(data)).ready()

    assert ask(after, "GET", "/my/own", "acme-admin")[1]["data"] == {"k": "v"}
    assert ask(after, "GET", "/api-keys/internal", "platform-reader")[1] == internal
    assert ask(after, "GET", "/api-keys/external", "platform-reader")[0] == 404
    postgres = ask(after, "GET", "/database/postgresql", "platform-reader")[1]
    assert f":{postgres['data']['port']}/" in after["postgres_url"]
    assert postgres["version"] == 2
    # Bearers of the first run are still good: the issuer's key was kept.
    assert ask({**before, "api_url": after["api_url"]}, "GET", "/my/own", "acme-admin")[0] == 200


def test_a_data_folder_serves_one_stack(start, tmp_path):
    """A second one on the same folder is refused, and leaves the first one's files alone."""
    data = tmp_path / "data"
    first = start("--data-dir", str(data), "--no-postgres", "--no-valkey")
    first.ready()
    elsewhere = tmp_path / "second"
    elsewhere.mkdir()

    second = start("--data-dir", str(data), folder=elsewhere)

    assert second.ends() == 2
    assert "in use by another greenlang-secrets dev" in second.output
    assert (data / "env").exists()
    assert first.process.poll() is None


def test_a_data_folder_in_a_checkout_is_none_of_gits(start, tmp_path):
    """What is kept has keys and tokens in it, and git takes none of it; a file beside it, yes."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "app.py").write_text("pass\n")
    run = start("--data-dir", str(tmp_path / ".dev"), "--no-postgres", "--no-valkey")
    run.ready()

    taken = subprocess.run(
        ["git", "-C", str(tmp_path), "ls-files", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()

    assert (tmp_path / ".dev" / "issuer.key").exists()
    assert "app.py" in taken
    assert [name for name in taken if name.startswith(".dev/")] == []


# ---------------------------------------------------------------- its parts


async def test_seeding_leaves_alone_what_is_in_its_way(new_vault_server):
    """A secret at or below a seeded path stays, that path is left out, and the others are made."""
    server = await new_vault_server()
    auth = AuthConfig(token=SecretValue(server.root_token))
    config = SecretsServiceConfig(addresses=(server.addr,), auth=auth)
    nothing_beside = Beside(postgres_url=None, valkey_url=None)

    async with SecretsService.open(config) as service:
        await provision(service.client, Desired())
        await service.create("services/auth-service/own", {"k": "v"})
        await service.create("database/postgresql", {"own": "value"})
        await service.create("certificates/internal-mtls/own", {"k": "v"})
        await seed(service, nothing_beside)
        await seed(service, nothing_beside)

        assert await service.get_or_none("services/auth-service") is None
        assert await service.get_or_none("certificates/internal-mtls") is None
        assert (await service.get("database/postgresql")).data.reveal() == {"own": "value"}
        assert (await service.get("services/audit-service")).version == 1


async def test_an_api_that_refuses_its_settings_says_which(tmp_path):
    """What the child says of a wrong setting becomes the error; nothing runs afterwards."""
    api = ApiProcess({"VAULT_TOKEN": "any"}, folder=tmp_path, port=0)

    with pytest.raises(ConfigurationError, match="GREENLANG_SECRETS_JWT_ISSUER is not set"):
        await api.start()

    assert not api.running


async def test_an_api_that_dies_while_starting_shows_its_log(tmp_path):
    """Another exit is reported with its code and the end of its log."""
    api = ApiProcess({"PYTHONHOME": str(tmp_path)}, folder=tmp_path, port=0)

    with pytest.raises(ServerError, match=r"(?s)exit code 1.*Python"):
        await api.start()


async def test_an_api_without_vault_is_given_up(tmp_path):
    """An API whose reads would not work is not ready: it is stopped when the time is over."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        environment = {
            "VAULT_ADDR": f"http://127.0.0.1:{mute.getsockname()[1]}",
            "VAULT_TOKEN": "any",
            "GREENLANG_SECRETS_JWT_ISSUER": ISSUER,
            "GREENLANG_SECRETS_JWT_AUDIENCE": AUDIENCE,
            "GREENLANG_SECRETS_JWT_JWKS_FILE": str(DevelopmentIssuer.make(tmp_path).jwks_file),
        }
        api = ApiProcess(environment, folder=tmp_path, port=0, start_within=2)

        with pytest.raises(ServerError, match="not ready within 2 seconds"):
            await api.start()

    assert not api.running
    assert not (tmp_path / "api.url").exists()
