"""The command line against a real OpenBao."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from greenlang_secrets.cli.group import cli
from greenlang_secrets.development.issuer import DevelopmentIssuer

Run = Callable[..., Result]


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No setting of Vault or ours in the environment."""
    for name in list(os.environ):
        if name.startswith(("VAULT_", "BAO_", "GREENLANG_SECRETS_")):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def environment(nothing_set, vault_server, mount: str) -> pytest.MonkeyPatch:
    """The shared server, a mount of this test's own, and the root token for every scope."""
    nothing_set.setenv("VAULT_ADDR", vault_server.addr)
    nothing_set.setenv("VAULT_TOKEN", vault_server.root_token)
    nothing_set.setenv("GREENLANG_SECRETS_KV_MOUNT", mount)
    nothing_set.setenv("GREENLANG_SECRETS_TENANT_TOKEN_ROLE", "none")
    return nothing_set


def invoke(*arguments: str, stdin: str | None = None) -> Result:
    """Run a command, and return what it printed and how it ended."""
    result = CliRunner().invoke(cli, arguments, input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def run(environment) -> Run:
    """`invoke`, with a Vault."""
    return invoke


@pytest.fixture
async def token_without_rights(vault_server) -> str:
    """A token that Vault knows, and that opens nothing."""
    _, answer = await vault_server.request("POST", "auth/token/create", {"policies": ["default"]})
    return str(answer["auth"]["client_token"])


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


# ---------------------------------------------------------------- get


def test_a_field_is_printed_to_the_octet(run):
    """A pipe gets the value and nothing else, not even a line's end."""
    run("put", "db", "password=s3cret", "user=ann")

    result = run("get", "db", "--field", "password")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "s3cret", "")


def test_values_stay_masked_unless_revealed(run):
    """Plain and JSON output show the keys; --reveal adds the values."""
    run("put", "db", "password=s3cret", "--type", "database")

    masked, as_json = run("get", "db"), run("get", "db", "--json")
    revealed, all_json = run("get", "db", "--reveal"), run("get", "db", "--reveal", "--json")

    assert masked.stdout == "password\t**********\n"
    assert "s3cret" not in masked.output + as_json.output
    assert document(as_json)["keys"] == ["password"]
    assert document(as_json)["type"] == "database"
    assert revealed.stdout == "password\ts3cret\n"
    assert document(all_json)["data"] == {"password": "s3cret"}


def test_a_version_can_be_asked_for(run):
    """--version reads that one."""
    run("put", "a", "k=1")
    run("put", "a", "k=2")

    assert run("get", "a", "--field", "k", "--version", "1").stdout == "1"
    assert document(run("get", "a", "--field", "k", "--json")) == {
        "path": "a",
        "version": 2,
        "data": {"k": "2"},
    }


def test_a_missing_field_names_those_there_are(run):
    """A wrong key is "not found", with the names of the right ones."""
    run("put", "a", "user=ann", "password=s3cret")

    result = run("get", "a", "--field", "pasword")

    assert result.exit_code == 3
    assert result.stderr == (
        "error: There is no key 'pasword'; there are: password, user. (path 'a')"
        " [field_not_found]\n"
    )


# ---------------------------------------------------------------- put


def test_values_come_from_files_and_stdin(run, tmp_path):
    """K=@FILE and K=@- keep values off the command line, line ends and all."""
    (tmp_path / "pem").write_text("line 1\nline 2\n")

    run("put", "a", f"cert=@{tmp_path / 'pem'}", "key=@-", stdin="from stdin\n")

    assert document(run("get", "a", "--reveal", "--json"))["data"] == {
        "cert": "line 1\nline 2\n",
        "key": "from stdin\n",
    }


@pytest.mark.parametrize("where", ["-", "file"])
def test_data_comes_from_a_json_object(run, tmp_path, where):
    """--data-file takes a JSON object of strings, from a file or stdin."""
    text = '{"a": "1", "b": "@x"}'
    (tmp_path / "file").write_text(text)
    name = where if where == "-" else str(tmp_path / where)

    result = run("put", "a", "--data-file", name, "--json", stdin=text)

    assert document(result)["version"] == 1
    assert document(run("get", "a", "--reveal", "--json"))["data"] == {"a": "1", "b": "@x"}


@pytest.mark.parametrize(
    "text", ["[]", '{"a": 1}', '{"a": {"b": "s3cret"}}', '{"a": "s3cret", "a": "2"}', "s3cret", ""]
)
def test_other_json_is_refused_without_repeating_it(run, text):
    """What is no flat object of strings is a usage error that shows no value."""
    result = run("put", "a", "--data-file", "-", stdin=text)

    assert result.exit_code == 2
    assert "s3cret" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["s3cret"],
        ["=s3cret"],
        ["k=s3cret", "k=s3cret"],
        ["k=s3cret", "--data-file", "-"],
        ["k=@missing-file"],
        ["k=s3cret", "--create", "--expected-version", "1"],
        ["k=s3cret", "--type", "nonsense"],
        ["--data-file", "missing-file"],
    ],
)
def test_wrong_usage_is_refused_without_repeating_values(run, arguments):
    """A usage error has exit code 2 and shows no value."""
    result = run("put", "a", *arguments)

    assert result.exit_code == 2
    assert "s3cret" not in result.output


def test_a_file_that_is_no_text_is_refused(run, tmp_path):
    """Octets that are not UTF-8 would come back altered: a usage error names the file."""
    (tmp_path / "octets").write_bytes(b"\xff\xfe")

    result = run("put", "a", f"k=@{tmp_path / 'octets'}")

    assert result.exit_code == 2
    assert "octets' is not UTF-8" in result.stderr


def test_versions_are_numbers(run):
    """Anything else in --versions is a usage error."""
    assert run("delete", "a", "--versions", "1,x").exit_code == 2


def test_a_field_or_everything(run):
    """--field and --reveal together are a usage error."""
    assert run("get", "a", "--field", "k", "--reveal").exit_code == 2


def test_a_write_answers_with_the_version(run):
    """Never with the value."""
    first, second = run("put", "a", "k=s3cret"), run("put", "a", "k=s3cret", "--json")

    assert first.stdout == "a is now at version 1\n"
    assert document(second).keys() == {"path", "version", "created_at", "unchanged"}
    assert document(second)["version"] == 2


def test_an_equal_write_over_the_expected_version_changes_nothing(run):
    """Equal data over the expected version makes no new one, and says so."""
    run("put", "a", "k=1")

    assert run("put", "a", "k=1", "--expected-version", "1").stdout == (
        "a is unchanged at version 1\n"
    )


# ---------------------------------------------------------------- list, versions, delete


def test_a_listing_shows_secrets_and_folders(run):
    """Tab-separated in a pipe, in full as JSON; a prefix may lack its final slash."""
    run("put", "x/a", "k=1", "--type", "api_key")
    run("put", "x/y/b", "k=1")

    lines = run("list", "x").stdout.splitlines()
    items = document(run("list", "x/", "--json"))["items"]

    assert [line.split("\t")[:4] for line in lines] == [
        ["x/a", "api_key", "1", "live"],
        ["x/y/", "-", "-", "-"],
    ]
    assert [(item["path"], item["kind"]) for item in items] == [
        ("x/a", "secret"),
        ("x/y/", "folder"),
    ]
    assert run("list").stdout == "x/\t-\t-\t-\t-\n"


def test_versions_can_be_deleted_and_brought_back(run):
    """delete, versions and undelete tell the same story."""
    for number in "123":
        run("put", "a", f"k={number}")

    def states() -> list[str]:
        return [row["state"] for row in document(run("versions", "a", "--json"))["versions"]]

    assert run("delete", "a").stdout == "a: deleted its current version\n"
    assert run("delete", "a", "--versions", "1,2").stdout == "a: deleted versions 1, 2\n"
    assert states() == ["deleted", "deleted", "deleted"]
    assert document(run("undelete", "a", "--versions", "1,3", "--json"))["restored"] == [1, 3]
    assert states() == ["live", "deleted", "live"]
    lines = run("versions", "a").stdout.splitlines()
    assert [line.split("\t")[:2] for line in lines] == [
        ["3", "live"],
        ["2", "deleted"],
        ["1", "live"],
    ]


def test_a_tenants_scope_is_its_own(run):
    """--tenant reads and writes there, and the platform sees none of it."""
    run("put", "a", "k=acme", "--tenant", "acme")

    assert run("get", "a", "--field", "k", "--tenant", "acme").stdout == "acme"
    assert run("get", "a", "--field", "k").exit_code == 3
    assert run("get", "a", "--field", "k", "--tenant", "globex").exit_code == 3


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    [
        (["get", "a//b"], 2, "invalid_path"),
        (["get", "status/x"], 2, "reserved_name"),
        (["get", "a", "--tenant", "Acme"], 2, "invalid_tenant"),
        (["get", "a", "--version", "0"], 2, "invalid_version"),
        (["get", "missing"], 3, "secret_not_found"),
        (["get", "deleted"], 3, "secret_deleted"),
        (["get", "live", "--version", "9"], 3, "version_not_found"),
        (["put", "live", "k=s3cret", "--create"], 5, "secret_exists"),
        (["put", "live", "k=s3cret", "--expected-version", "7"], 5, "version_conflict"),
        (["put", "live/below", "k=s3cret"], 5, "ancestor_is_secret"),
    ],
)
def test_each_error_is_one_line_with_its_code(run, arguments, code, name):
    """The text and the stable code on stderr, nothing on stdout, and the documented exit code."""
    run("put", "live", "k=1")
    run("put", "deleted", "k=1")
    run("delete", "deleted")

    result = run(*arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith(f" [{name}]\n")
    assert result.stderr.count("\n") == 1
    assert "s3cret" not in result.stderr


def test_a_policy_that_denies_is_told_apart(run, environment, token_without_rights):
    """A token without rights ends with exit code 4."""
    environment.setenv("VAULT_TOKEN", token_without_rights)

    result = run("get", "a")

    assert result.exit_code == 4
    assert result.stderr.endswith(" [permission_denied]\n")


def test_a_dead_token_is_denied_too(run, environment):
    """A token that Vault does not know ends with exit code 4."""
    environment.setenv("VAULT_TOKEN", "no-such-token")

    result = run("get", "a")

    assert result.exit_code == 4
    assert result.stderr.endswith(" [authentication_lost]\n")


def test_a_vault_that_is_away_is_told_apart(run, environment):
    """Nobody listening at VAULT_ADDR ends with exit code 6."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        environment.setenv("VAULT_ADDR", f"http://127.0.0.1:{unused.getsockname()[1]}")

        result = run("get", "a")

    assert result.exit_code == 6
    assert result.stderr.endswith(" [vault_unavailable]\n")


def test_a_missing_setting_is_named(run, environment):
    """Without a token the error says which variables to set: exit code 2."""
    environment.delenv("VAULT_TOKEN")

    result = run("get", "a")

    assert result.exit_code == 2
    assert "VAULT_TOKEN_FILE" in result.stderr


# ---------------------------------------------------------------- provision, token, serve


def test_provisioning_says_what_it_did(run, environment):
    """A plan names what differs, a run makes it, a second run finds nothing."""
    environment.setenv("GREENLANG_SECRETS_KV_MOUNT", "cli-kv")

    plan = document(run("provision", "--plan", "--json"))
    made = document(run("provision", "--json"))

    assert plan["plan"]
    assert {"action": "create", "path": "sys/mounts/cli-kv", "settings": []} in plan["changes"]
    assert made == {"plan": False, "changes": plan["changes"]}
    assert run("provision").stdout == "nothing differs\n"


def test_consumers_come_from_files(run, environment, tmp_path):
    """The plan names their policies and logins, and a file with a mistake stops everything."""
    environment.setenv("GREENLANG_SECRETS_KV_MOUNT", "cli-kv")
    vault = Path(__file__).resolve().parents[2] / "k8s" / "vault"
    options = ("--policies", str(vault / "policies"), "--roles", str(vault / "roles.yaml"))
    wrong = tmp_path / "roles.yaml"
    wrong.write_text((vault / "roles.yaml").read_text().replace("audience:", "audeince:", 1))

    planned = document(run("provision", *options, "--plan", "--json"))
    refused = run("provision", *options[:2], "--roles", str(wrong))

    paths = {change["path"] for change in planned["changes"]}
    assert {"sys/policies/acl/eso-kv", "auth/kubernetes/role/eso-kv"} <= paths
    assert refused.exit_code == 2
    assert "kubernetes.roles.greenlang-secrets.audeince is unknown" in refused.stderr


def test_the_postgres_url_comes_from_a_file(run, environment, tmp_path, postgres_server):
    """Its password is in no argument, and a URL that lacks something is refused unrepeated."""
    environment.setenv("GREENLANG_SECRETS_KV_MOUNT", "cli-kv")
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(f"{postgres_server.url}\n")
    bad.write_text("postgresql://s3cret\n")

    refused = run("provision", "--postgres-url-file", str(bad))
    taken = document(run("provision", "--postgres-url-file", str(good), "--json"))

    assert refused.exit_code == 2
    assert "s3cret" not in refused.output
    assert "database/config/postgresql" in {change["path"] for change in taken["changes"]}


def test_a_bearer_is_issued_from_a_dev_folder(tmp_path, nothing_set):
    """The folder comes from the option or the environment; the bearer is all of the output."""
    DevelopmentIssuer.make(tmp_path)
    nothing_set.setenv("GREENLANG_SECRETS_DEV_DIR", str(tmp_path))
    rights = ("--permission", "secrets:read", "--permission", "secrets:write")

    plain = invoke("token", "--sub", "ann", "--tenant", "acme", *rights)
    as_json = document(
        invoke("token", "--platform", "--ttl", "60", "--json", "--dir", str(tmp_path))
    )

    assert plain.stdout.count(".") == 2
    assert plain.stdout.count("\n") == 1
    assert as_json["expires_in"] == 60


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "--tenant", "acme"],  # no folder
        ["token", "--dir", "DEV"],  # nobody
        ["token", "--dir", "DEV", "--platform", "--ttl", "7200"],
        ["token", "--dir", "DEV", "--platform", "--permission", "secrets:*"],
    ],
)
def test_a_bearer_that_cannot_be_is_refused(nothing_set, tmp_path, arguments):
    """No folder, nobody, too long a life and a wildcard end with exit code 2."""
    DevelopmentIssuer.make(tmp_path)

    result = invoke(*(str(tmp_path) if part == "DEV" else part for part in arguments))

    assert result.exit_code == 2
    assert result.stdout == ""


def test_serve_says_what_is_missing(nothing_set):
    """A service without its settings does not start: exit code 2, and the setting is named."""
    nothing_set.setenv("VAULT_TOKEN", "any")

    result = subprocess.run(
        [sys.executable, "-m", "greenlang_secrets.cli", "serve", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert result.returncode == 2
    last = result.stderr.splitlines()[-1]  # after the log's, which says that memory is closed
    assert last.startswith("error: GREENLANG_SECRETS_JWT_ISSUER is not set")
    assert "Traceback" not in result.stderr


# ---------------------------------------------------------------- the program


def test_help_is_quick():
    """--help loads no HTTP client, no server and no drawing."""
    script = (
        "import sys\n"
        "from greenlang_secrets.cli import main\n"
        "sys.argv[1:] = ['--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "print(*sorted(name for name in sys.modules if '.' not in name))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )

    assert "Exit codes:" in done.stdout
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "click" in loaded
    assert loaded.isdisjoint({"aiohttp", "uvicorn", "starlette", "rich", "jwt", "cryptography"})


@pytest.mark.parametrize("package", ["click", "rich"])
def test_a_missing_extra_is_named(package):
    """Without click the program says what to install; without rich only tables need it."""
    script = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"
        "from greenlang_secrets.cli import main\n"
        "sys.argv[1:] = ['--version']\n"
        "main()\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )

    if package == "click":
        assert done.returncode == 2
        assert done.stderr == (
            "error: click is not installed; pip install 'greenlang-secrets[cli]'\n"
        )
    else:
        assert done.returncode == 0


@pytest.fixture
def on_a_terminal(environment) -> Callable[..., str]:
    """Run a command that takes its output for a narrow terminal, and return that output."""
    environment.setenv("TERM", "dumb")
    environment.setenv("COLUMNS", "40")

    def run(*arguments: str) -> str:
        script = (
            "import sys\n"
            "sys.stdout.isatty = lambda: True\n"
            "from greenlang_secrets.cli import main\n"
            f"sys.argv[1:] = {arguments!r}\n"
            "main()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout

    return run


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("dev", "jwt", "api,cli,postgres,testing"),
        ("serve", "uvicorn", "api"),
        ("token", "jwt", "api"),
    ],
)
def test_a_command_names_the_extra_it_lacks(nothing_set, command, package, extra):
    """Without its packages a command says what to install: exit code 2."""
    script = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"
        "from greenlang_secrets.cli import main\n"
        f"sys.argv[1:] = [{command!r}]\n"
        "main()\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 2
    assert done.stderr == (
        f"error: The package {package} is not installed;"
        f" pip install 'greenlang-secrets[{extra}]' [configuration]\n"
    )


def test_a_terminal_gets_a_table(run, on_a_terminal):
    """On a terminal a listing has headings."""
    run("put", "b/a", "k=1")

    lines = on_a_terminal("list").splitlines()

    assert [line.split() for line in lines] == [
        ["path", "type", "version", "state", "updated_at"],
        ["b/", "-", "-", "-", "-"],
    ]


def test_a_terminal_shows_values_as_they_are(run, on_a_terminal):
    """A value can be copied from a narrow terminal: it is not folded, and no markup."""
    value = "[bold]" + "x" * 100
    run("put", "a", f"long={value}", "k=1")

    assert on_a_terminal("get", "a", "--reveal") == f"k     1\nlong  {value}\n"
    assert on_a_terminal("get", "a", "--field", "k") == "1\n"
