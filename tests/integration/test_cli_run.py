"""run, on a real server and with real processes: secrets by file, signals, exit codes, no traces."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.canary import new_canary, shown_in
from support.command_line import invoke, use_vault

PROGRAM = [sys.executable, "-m", "greenlang_secrets.cli"]
SHM = Path("/dev/shm")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def environment(monkeypatch, vault_server, mount) -> pytest.MonkeyPatch:
    use_vault(monkeypatch, vault_server, mount)
    return monkeypatch


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Whatever a test does, no folder of secrets is left in memory."""
    before = set(SHM.glob("greenlang-run-*"))
    yield
    assert set(SHM.glob("greenlang-run-*")) <= before


@pytest.fixture
def run() -> Run:
    """Run ``greenlang-secrets run`` in a process of its own, to its end."""

    def begin(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, "run", *arguments], capture_output=True, text=True, timeout=60, check=False
        )

    return begin


SHOW = """
import json, os, pathlib, stat, sys
folder = pathlib.Path(os.environ["GREENLANG_SECRETS_FILES"])
print(json.dumps({
    "folder": str(folder),
    "mode": stat.S_IMODE(folder.stat().st_mode),
    "files": {f.name: [stat.S_IMODE(f.stat().st_mode), f.read_text()] for f in folder.iterdir()},
    "environ": dict(os.environ),
    "arguments": sys.argv[1:],
}))
"""


def test_secrets_come_by_files_in_memory(run, tmp_path):
    """Rendered templates and single values, 0600 in a 0700 folder in memory, gone afterwards."""
    canary = new_canary()
    invoke("put", "db", f"password={canary}", "user=ann")
    (tmp_path / "app.conf.tmpl").write_text(
        "user = {{ secret db#user }}\npassword = {{secret db#password|json}}\nkeep {{ this }}\n"
    )

    done = run(
        *("--template", str(tmp_path / "app.conf.tmpl"), "--file", "pw=db#password"),
        *("--", sys.executable, "-c", SHOW, "--config={files}/app.conf"),
    )

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["folder"].startswith("/dev/shm/greenlang-run-")
    assert seen["mode"] == 0o700
    rendered = (
        f"user = ann\npassword = {json.dumps(canary, ensure_ascii=False)}\nkeep {{{{ this }}}}\n"
    )
    assert seen["files"] == {"app.conf": [0o600, rendered], "pw": [0o600, canary]}
    assert seen["arguments"] == [f"--config={seen['folder']}/app.conf"]
    assert not Path(seen["folder"]).exists()
    assert done.stderr == ""


def test_no_secret_is_in_the_environment(run, vault_server):
    """Neither a value nor the token of the login is in the command's environment."""
    canary = new_canary()
    invoke("put", "db", f"password={canary}")

    done = run("--file", "pw=db#password", "--", sys.executable, "-c", SHOW)

    environ = json.dumps(json.loads(done.stdout)["environ"])
    assert shown_in(environ, canary) is None
    assert vault_server.root_token not in environ
    assert "VAULT_ADDR" in environ


def test_a_variable_is_given_with_a_warning(run):
    """--env does what it is asked for, and says on stderr why that is worse; without the value."""
    invoke("put", "db", "password=s3cret")

    done = run("--env", "PW=db#password", "--", "sh", "-c", 'printf %s "$PW"')

    assert done.stdout == "s3cret"
    assert done.stderr.startswith("warning: PW in the environment")
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["no-such-command-anywhere"], 127),
        (["/dev/null"], 126),
    ],
)
def test_the_exit_code_is_the_commands(run, command, code):
    """As a shell has it; the files are gone in any case."""
    invoke("put", "a", "k=v")

    assert run("--file", "k=a#k", "--", *command).returncode == code


def test_a_command_that_cannot_be_run_is_told(run):
    """One line on stderr says so, before the code of the shells."""
    done = run("--", "no-such-command-anywhere")

    assert done.stderr == (
        "error: 'no-such-command-anywhere' cannot be run: No such file or directory\n"
    )


WAIT = """
import os, pathlib, signal, sys, time
def on(number, frame):
    print("got", signal.Signals(number).name, flush=True)
    sys.exit(3)
for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"):
    signal.signal(getattr(signal, name), on)
print(os.environ["GREENLANG_SECRETS_FILES"], flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_signals_are_passed_on(name):
    """The command gets the signal and decides; its code comes back, and the files are gone."""
    invoke("put", "a", "k=v")
    with subprocess.Popen(
        [*PROGRAM, "run", "--file", "k=a#k", "--", sys.executable, "-c", WAIT],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert (folder / "k").read_text() == "v"

        process.send_signal(getattr(signal, name))

        assert process.stdout.read() == f"got {name}\n"
        assert process.wait(30) == 3
    assert not folder.exists()


def test_what_a_killed_run_leaves_goes_with_the_next(run):
    """SIGKILL leaves the files to the command that still uses them; the next run removes them."""
    invoke("put", "a", "k=v")
    with subprocess.Popen(
        [*PROGRAM, "run", "--file", "k=a#k", "--", sys.executable, "-c", WAIT],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        process.kill()
        process.wait(30)
        run("--", "true")
        while_used = folder.exists()
        os.killpg(process.pid, signal.SIGTERM)
        process.stdout.read()  # until the command has ended, too

    run("--", "true")

    assert while_used
    assert not folder.exists()


def test_what_is_missing_is_told_before_anything_runs(run, tmp_path):
    """All missing secrets in one error; a missing key with the names of the others."""
    invoke("put", "a", "k=s3cret")
    ran = tmp_path / "ran"

    secret = run("--file", "x=b#k", "--file", "y=c#k", "--", "touch", str(ran))
    key = run("--file", "x=a#other", "--", "touch", str(ran))

    assert (secret.returncode, key.returncode) == (3, 3)
    assert "at: b, c." in secret.stderr
    assert "There is no key 'other'; there are: k." in key.stderr
    assert "s3cret" not in key.stderr
    assert not ran.exists()


def test_a_disk_is_refused(run, tmp_path):
    """A folder that is not in memory gets no secret, and the fix is named."""
    done = run("--in", "/proc", "--", "true")

    assert done.returncode == 2
    assert done.stderr.startswith("error: '/proc' is not in memory (tmpfs); give --in")


def test_a_value_that_no_variable_can_hold_is_refused(run):
    """A NUL would end the variable; a file takes it."""
    invoke("put", "a", "k=@-", stdin="x\0s3cret")

    variable = run("--env", "K=a#k", "--", "true")
    file = run("--file", "k=a#k", "--", "sh", "-c", "wc -c < {files}/k")

    assert variable.returncode == 2
    assert "has a NUL" in variable.stderr
    assert "s3cret" not in variable.stderr
    assert file.stdout.strip() == "8"


def test_a_tenants_secret_is_found(run):
    """--tenant reads in that tenant's scope."""
    invoke("put", "a", "k=acme", "--tenant", "acme")

    done = run("--tenant", "acme", "--file", "k=a#k", "--", "sh", "-c", "cat {files}/k")

    assert done.stdout == "acme"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--file", "x", "--", "true"],
        ["--file", "=a#k", "--", "true"],
        ["--file", "x=a", "--", "true"],
        ["--file", "x=#k", "--", "true"],
        ["--file", "x=a#", "--", "true"],
        ["--file", "x=a//b#k", "--", "true"],
        ["--file", "../x=a#k", "--", "true"],
        ["--file", "..=a#k", "--", "true"],
        ["--file", "x=a#k", "--file", "x=a#k", "--", "true"],
        ["--template", "missing", "--", "true"],
        ["--template", "TEMPLATE", "--template", "TEMPLATE", "--", "true"],
        ["--template", "TEMPLATE:x", "--file", "x=a#k", "--", "true"],
    ],
)
def test_wrong_usage_is_refused(tmp_path, arguments):
    """It ends with exit code 2, before a login."""
    (tmp_path / "template").write_text("x")
    given = [part.replace("TEMPLATE", str(tmp_path / "template")) for part in arguments]

    assert invoke("run", *given).exit_code == 2
