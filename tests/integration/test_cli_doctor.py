"""The command doctor against real servers: each misfortune is named by its cause."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from greenlang_secrets.cli.group import cli
from greenlang_secrets.testing.process import free_port
from support.canary import new_canary, shown_in
from support.certificates import Pem, self_signed

Doctor = Callable[..., Result]


@pytest.fixture
def environment(monkeypatch, vault_server, mount: str, tmp_path) -> pytest.MonkeyPatch:
    """The shared server, a mount of this test's own, the root token, a log that can be made."""
    for name in list(os.environ):
        if name.startswith(("VAULT_", "BAO_", "GREENLANG_SECRETS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("VAULT_ADDR", vault_server.addr)
    monkeypatch.setenv("VAULT_TOKEN", vault_server.root_token)
    monkeypatch.setenv("GREENLANG_SECRETS_KV_MOUNT", mount)
    monkeypatch.setenv("GREENLANG_SECRETS_TENANT_TOKEN_ROLE", "none")
    monkeypatch.setenv("GREENLANG_SECRETS_AUDIT_LOG", str(tmp_path / "state" / "audit.jsonl"))
    return monkeypatch


@pytest.fixture
def doctor(environment) -> Doctor:
    """Run the command, and return what it printed and how it ended."""

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(cli, ["doctor", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def findings(result: Result, *, level: str | None = None) -> list[dict[str, Any]]:
    """Return the findings of ``--json``, of one level if that is given."""
    document = json.loads(result.stdout)
    assert document["good"] == (result.exit_code == 0)
    return [found for found in document["findings"] if level in {None, found["level"]}]


def fault(result: Result) -> dict[str, Any]:
    """Return the only fault; the command has ended with 1 for it, and says what to do."""
    assert result.exit_code == 1, result.output
    [found] = findings(result, level="fault")
    assert found["fix"]
    return found


# ---------------------------------------------------------------- the control


def test_nothing_is_wrong_with_a_healthy_vault(doctor):
    """The control: no fault and no warning, exit code 0, and every step was made."""
    result = doctor("database/postgresql", "--write", "--json")

    assert result.exit_code == 0
    found = findings(result)
    assert [(each["check"], each["level"]) for each in found] == [
        ("address", "ok"),
        ("clock", "ok"),
        ("seal", "ok"),
        ("login", "ok"),
        ("mount", "ok"),
        ("capability", "ok"),
        ("capability", "ok"),
        ("capability", "ok"),
        ("audit_device", "ok"),
        ("audit_log", "ok"),
    ]
    assert {each["cause"] for each in found} == {None}


def test_a_pipe_gets_tabs_and_a_last_word(doctor):
    """In a pipe a finding is a line of five fields; how many faults there are is on stderr."""
    result = doctor()

    assert {line.count("\t") for line in result.stdout.splitlines()} == {4}
    assert result.stderr == "nothing is wrong\n"


def test_a_wrong_setting_is_named(doctor, environment):
    """What the configuration refuses is a fault with a cause, and not the end of the command."""
    environment.setenv("VAULT_ADDR", "vault.example")

    found = fault(doctor("--json"))

    assert (found["check"], found["cause"]) == ("configuration", "configuration")
    assert "VAULT_ADDR" in found["what"]


def test_the_service_needs_its_log_and_its_keys(doctor, environment):
    """With --service a log that nothing names must be writable all the same."""
    environment.delenv("GREENLANG_SECRETS_AUDIT_LOG")
    environment.setenv("XDG_STATE_HOME", "/proc")

    found = fault(doctor("--service", "--json"))

    assert (found["check"], found["cause"]) == ("audit_log", "audit_log_unwritable")
    assert doctor("--service").stderr == "1 fault\n"


def test_a_path_that_is_none_is_wrong_usage(doctor):
    """It ends with exit code 2 before anything is asked."""
    result = doctor("a//b")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(" [invalid_path]\n")


# ---------------------------------------------------------------- the way to Vault


def test_a_wrong_address_is_named(doctor, environment):
    """Nobody listening at VAULT_ADDR is a wrong address, and no login is tried."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        environment.setenv("VAULT_ADDR", f"http://127.0.0.1:{unused.getsockname()[1]}")

        result = doctor("--json")

    found = fault(result)
    assert (found["cause"], found["what"]) == ("wrong_address", "nobody listens there")
    assert "VAULT_ADDR" in found["fix"]
    [login] = findings(result, level="unknown")
    assert login["check"] == "login"


@pytest.fixture
async def sealed(new_vault_server, environment) -> None:
    """VAULT_ADDR is a Vault that was sealed."""
    server = await new_vault_server()
    await server.seal()
    environment.setenv("VAULT_ADDR", server.addr)
    environment.setenv("VAULT_TOKEN", server.root_token)


def test_a_sealed_vault_is_named(doctor, sealed):
    """A sealed Vault answers, and the seal is the cause."""
    found = fault(doctor("--json"))

    assert (found["check"], found["cause"]) == ("seal", "sealed")
    assert "Unseal" in found["fix"]


@pytest.fixture
async def over_tls(new_vault_server, environment, tmp_path) -> Pem:
    """VAULT_ADDR is a Vault that speaks TLS; its certificate, which is its own CA."""
    pem = self_signed(tmp_path, "vault")
    port, cluster_port = free_port(), free_port()
    server = await new_vault_server(
        extra_config=(
            f'listener "tcp" {{\n  address = "127.0.0.1:{port}"\n'
            f'  cluster_address = "127.0.0.1:{cluster_port}"\n'
            f"  tls_cert_file = {json.dumps(str(pem.cert))}\n"
            f"  tls_key_file = {json.dumps(str(pem.key))}\n}}"
        )
    )
    await server.request("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    environment.delenv("GREENLANG_SECRETS_KV_MOUNT")
    environment.setenv("VAULT_ADDR", f"https://127.0.0.1:{port}")
    environment.setenv("VAULT_TOKEN", server.root_token)
    return pem


def test_a_wrong_ca_is_named(doctor, environment, over_tls, tmp_path):
    """With another CA in VAULT_CACERT that is the cause; with the right one there is none."""
    environment.setenv("VAULT_CACERT", str(self_signed(tmp_path, "stranger").cert))
    wrong = doctor("--json")
    environment.setenv("VAULT_CACERT", str(over_tls.cert))
    right = doctor("--json")

    found = fault(wrong)
    assert (found["check"], found["cause"]) == ("tls", "wrong_ca")
    assert "VAULT_CACERT" in found["fix"]
    assert right.exit_code == 0, right.output
    assert "verified, TLS" in right.stdout


# ---------------------------------------------------------------- behind the login


@pytest.fixture
async def expired_token(vault_server) -> str:
    """A token that lived for a second, and is gone."""
    _, answer = await vault_server.request("POST", "auth/token/create", {"ttl": "1s"})
    token = str(answer["auth"]["client_token"])
    while (await vault_server.request("GET", "auth/token/lookup-self", None, token))[0] == 200:
        await asyncio.sleep(0.05)
    return token


def test_an_expired_token_is_named(doctor, environment, expired_token):
    """A token whose time is over is a refused login."""
    environment.setenv("VAULT_TOKEN", expired_token)

    result = doctor("--json")

    found = fault(result)
    assert (found["check"], found["cause"]) == ("login", "login_refused")
    assert "expired" in found["fix"]
    assert expired_token not in result.output


@pytest.fixture
async def reader_of_a(vault_server, mount) -> str:
    """A token that may list the platform's secrets, and read one of them."""
    policy = (
        f'path "{mount}/metadata/greenlang/" {{ capabilities = ["list"] }}\n'
        f'path "{mount}/data/greenlang/a" {{ capabilities = ["read"] }}\n'
        f'path "{mount}/metadata/greenlang/a" {{ capabilities = ["read"] }}\n'
    )
    await vault_server.request("POST", f"sys/policies/acl/reader-{mount}", {"policy": policy})
    _, answer = await vault_server.request(
        "POST", "auth/token/create", {"policies": [f"reader-{mount}"], "ttl": "2h"}
    )
    return str(answer["auth"]["client_token"])


def test_a_missing_capability_is_named(doctor, environment, reader_of_a, mount):
    """The path and the capability are named, with the line that a policy lacks."""
    environment.setenv("VAULT_TOKEN", reader_of_a)

    allowed, refused = doctor("a", "--json"), doctor("a", "b", "--json")

    assert allowed.exit_code == 0, allowed.output
    found = fault(refused)
    assert (found["cause"], found["subject"]) == (
        "missing_capability",
        f"{mount}/data/greenlang/b",
    )
    assert found["what"].startswith("read is missing, held is deny")
    assert f'path "{mount}/data/greenlang/b" {{ capabilities = ["read"] }}' in found["fix"]


# ---------------------------------------------------------------- clocks


@pytest.mark.parametrize(("off", "which"), [(-60.0, "behind"), (60.0, "ahead of")])
def test_a_skewed_clock_is_named(doctor, monkeypatch, off, which):
    """A minute between the clocks is told, with its direction."""
    honest = time.time
    monkeypatch.setattr(time, "time", lambda: honest() + off)

    found = fault(doctor("--json"))

    assert (found["check"], found["cause"]) == ("clock", "clock_skew")
    assert f"{which} Vault's" in found["what"]


# ---------------------------------------------------------------- the audit log


def test_an_unwritable_audit_log_is_named(doctor, environment, tmp_path):
    """A log whose folder cannot be made is told; where no variable names it, as a warning."""
    (tmp_path / "file").touch()
    environment.setenv("GREENLANG_SECRETS_AUDIT_LOG", str(tmp_path / "file" / "audit.jsonl"))
    named = doctor("--json")
    environment.delenv("GREENLANG_SECRETS_AUDIT_LOG")
    environment.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    unnamed = doctor("--json")

    found = fault(named)
    assert (found["check"], found["cause"]) == ("audit_log", "audit_log_unwritable")
    assert "is no folder" in found["what"]
    assert unnamed.exit_code == 0
    assert doctor().stderr == "1 warning\n"
    assert [each["cause"] for each in findings(unnamed, level="warning")] == [
        "audit_log_unwritable"
    ]


# ---------------------------------------------------------------- what it does not show


def test_no_value_is_shown_and_none_is_read(doctor, environment, vault_server):
    """A secret's value is in none of its output, whose login is shown neither."""
    canary = new_canary()
    CliRunner().invoke(cli, ["put", "a", f"k={canary}"])

    printed = doctor("a", "--write").output + doctor("a", "--json").output

    assert shown_in(printed, canary) is None
    assert vault_server.root_token not in printed
    assert not Path(os.environ["GREENLANG_SECRETS_AUDIT_LOG"]).parent.exists()
