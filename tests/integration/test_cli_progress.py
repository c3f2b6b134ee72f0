"""How far long work is: on a terminal, and nowhere else; and rotation follow, which shows it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import greenlang_secrets as gs
from greenlang_secrets.paths import PLATFORM
from greenlang_secrets.rotation.record import Record, Records
from greenlang_secrets.rotation_model import (
    RotationKind,
    RotationPolicy,
    RotationStanding,
    RotationState,
)
from support.command_line import invoke, use_vault

PROGRAM = [sys.executable, "-m", "greenlang_secrets.cli"]
PATH = "keys/pii"


@pytest.fixture(autouse=True)
def environment(monkeypatch, vault_server, mount, tmp_path: Path) -> pytest.MonkeyPatch:
    use_vault(monkeypatch, vault_server, mount)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("GREENLANG_SECRETS_STATE_DIR", str(tmp_path / "state"))
    return monkeypatch


def on_a_terminal(*arguments: str) -> str:
    """Run a command whose stderr is a terminal, and return what that has shown."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while octets := os.read(ours, 65536):
                shown += octets
        except OSError:  # how Linux tells that nobody has the terminal open any more
            pass
        process.wait(60)
    os.close(ours)
    return shown.decode()


@pytest.fixture
def standing(secrets: gs.SecretsService, mount) -> Callable[..., object]:
    """Say in the rotation's record how it stands, as the service that works on it does."""
    records = Records(secrets.client, mount)
    path = gs.SecretPath.parse(PATH)
    begun = Record(
        scope=PLATFORM,
        path=path,
        policy=RotationPolicy(kind=RotationKind.TRANSIT_KEY, interval=3600.0),
        secret_type=gs.SecretType.ENCRYPTION_KEY,
    )

    async def say(state: RotationState, **more: object) -> None:
        record = await records.read(PLATFORM, path) or begun
        now = RotationStanding(state=state, phase=state, rotation_id="r", fence=1, **more)
        await records.claim(replace(record, standing=now))

    return say


# ---------------------------------------------------------------- progress


def test_provisioning_shows_how_far_it_is():
    """Each kind of thing with how many were looked at, on a terminal."""
    assert "sys/mounts" in on_a_terminal("provision", "--plan")


def test_a_rebuild_shows_how_far_it_is():
    """The scope that is rebuilt."""
    assert invoke("migrate").exit_code == 0

    assert "platform" in on_a_terminal("catalogue", "rebuild")


@pytest.fixture
async def swept(standing) -> None:
    """A rotation that has ended well, and has rewrapped seven ciphertexts."""
    await standing(RotationState.IDLE, progress={"rewrapped": 7, "scanned": 9})


def test_a_sweep_shows_how_far_it_is(swept):
    """What the record counts."""
    shown = on_a_terminal("rotation", "follow", PATH)

    assert "rewrapped" in shown
    assert "7" in shown


def test_programs_get_no_progress(swept):
    """The control: not with --json, and not where stderr is no terminal."""
    piped = subprocess.run(
        [*PROGRAM, "provision", "--plan"], capture_output=True, text=True, timeout=60, check=True
    )

    assert on_a_terminal("provision", "--plan", "--json") == ""
    assert on_a_terminal("rotation", "follow", PATH, "--json") == ""
    assert piped.stderr == ""


# ---------------------------------------------------------------- rotation follow


async def test_a_rotation_is_followed_to_its_end(standing, vault_server, mount):
    """While it goes on the command waits; at the end it says what was done."""
    await standing(RotationState.OVERLAP, progress={"rewrapped": 1})
    mark = await vault_server.audit_mark()
    command = asyncio.create_task(asyncio.to_thread(invoke, "rotation", "follow", PATH))
    record = f"{mount}/data/greenlang/_rotation/"
    while len(await vault_server.audit_requests(mark, record)) < 1:
        await asyncio.sleep(0.01)
    waited = not command.done()

    await standing(RotationState.IDLE, progress={"rewrapped": 5})
    result = await command

    assert waited
    assert (result.exit_code, result.stdout) == (0, f"{PATH}: idle, rewrapped 5\n")


@pytest.fixture
async def failed(standing) -> None:
    """A rotation that a service would try again."""
    await standing(RotationState.FAILED, error_code="sweep_refused", attempts=2)


def test_a_rotation_that_does_not_end_is_told(failed):
    """After --timeout with exit code 1, and the last error."""
    plain = invoke("rotation", "follow", PATH, "--timeout", "0")
    as_json = invoke("rotation", "follow", PATH, "--timeout", "0.1", "--json")

    assert plain.exit_code == as_json.exit_code == 1
    assert plain.stdout == f"{PATH}: failed, last error sweep_refused\n"
    document = json.loads(as_json.stdout)
    assert (document["state"], document["attempts"]) == ("failed", 2)


def test_a_secret_that_was_never_rotated_is_an_error():
    """There is nothing to follow, in the platform's scope or a tenant's."""
    result = invoke("rotation", "follow", PATH, "--tenant", "acme")

    assert result.exit_code == 2
    assert result.stderr.endswith(" [not_rotatable]\n")


# ---------------------------------------------------------------- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_can_complete(monkeypatch, shell):
    """The variable of the documentation gives the shell its script."""
    monkeypatch.setenv("_GREENLANG_SECRETS_COMPLETE", f"{shell}_source")
    script = "from greenlang_secrets.cli import main; main()"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )

    if shell == "bash" and "not supported" in done.stderr:
        pytest.skip("the bash of this machine is older than 4.4")
    assert "greenlang-secrets" in done.stdout


def test_commands_are_completed(monkeypatch):
    """What begins a command's name is completed to it."""
    monkeypatch.setenv("_GREENLANG_SECRETS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "greenlang-secrets doc")
    monkeypatch.setenv("COMP_CWORD", "1")
    script = "from greenlang_secrets.cli import main; main()"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )

    assert done.stdout == "plain,doctor\n"
