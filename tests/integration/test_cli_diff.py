"""diff, between two real servers: by version and names of keys, and by no value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from greenlang_secrets.testing import OpenBaoServer
from support.canary import new_canary, shown_in
from support.command_line import invoke, use_vault


@pytest.fixture(autouse=True)
def environment(monkeypatch, vault_server, mount) -> pytest.MonkeyPatch:
    use_vault(monkeypatch, vault_server, mount)
    return monkeypatch


@pytest.fixture
async def other(new_vault_server, mount) -> OpenBaoServer:
    """Another environment: a server of its own, with a mount of the same name."""
    server = await new_vault_server()
    await server.request("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
    while (await server.request("GET", f"{mount}/config"))[0] != 200:
        pass
    return server


@pytest.fixture
def file_of_other(other, mount, tmp_path) -> Path:
    """Its variables in a file, as `dev` writes one."""
    file = tmp_path / "other.env"
    file.write_text(
        "# the other environment\n\n"
        f"export VAULT_ADDR={other.addr}\n"
        f"VAULT_TOKEN='{other.root_token}'\n"
        f'GREENLANG_SECRETS_KV_MOUNT="{mount}"  # the same name\n'
        "GREENLANG_SECRETS_TENANT_TOKEN_ROLE=none\n"
        "EMPTY=\n"
    )
    return file


@pytest.fixture
def put(monkeypatch, other):
    """Write a secret here, or into the other environment."""

    def write(path: str, *pairs: str, there: bool = False, tenant: str | None = None) -> None:
        with monkeypatch.context() as patch:
            if there:
                patch.setenv("VAULT_ADDR", other.addr)
                patch.setenv("VAULT_TOKEN", other.root_token)
            options = () if tenant is None else ("--tenant", tenant)
            assert invoke("put", path, *pairs, *options).exit_code == 0

    return write


def test_two_environments_are_compared(put, file_of_other):
    """What is missing, other versions and other keys are told, and no value of either."""
    canary, twin = new_canary(), new_canary()
    put("same", f"k={canary}")
    put("same", f"k={twin}", there=True)
    put("here/only", f"k={canary}")
    put("deep/er/there", f"k={twin}", there=True)
    put("keys", f"a={canary}", f"b={canary}")
    put("keys", f"b={twin}", f"c={twin}", there=True)
    put("c/counts", f"k={canary}")
    put("c/counts", f"k={canary}")
    put("c/counts", f"k={canary}", there=True)

    plain = invoke("diff", ".", str(file_of_other))
    as_json = invoke("diff", ".", str(file_of_other), "--json")
    keys = invoke("diff", ".", str(file_of_other), "--keys-only", "--prefix", "c")

    assert plain.exit_code == as_json.exit_code == 1
    rows = [tuple(row.values()) for row in json.loads(as_json.stdout)["differences"]]
    assert rows == [
        ("c/counts", "version", 2, 1),
        ("deep/er/there", "missing", "-", "1, live"),
        ("here/only", "missing", "1, live", "-"),
        ("keys", "keys", "a", "c"),
    ]
    assert "keys\tkeys\ta\tc\n" in plain.stdout
    assert plain.stderr == "5 secrets compared, 4 differences\n"
    assert (keys.exit_code, keys.stdout) == (0, "")
    for result in (plain, as_json, keys):
        assert shown_in(result.output, canary) is None
        assert shown_in(result.output, twin) is None


def test_equal_names_and_versions_are_no_difference(put, file_of_other):
    """The control: other values alone are not told, and the exit code is 0."""
    put("a", "k=one")
    put("a", "k=another", there=True)

    result = invoke("diff", ".", str(file_of_other))

    assert (result.exit_code, result.stdout) == (0, "")


def test_a_deleted_secret_is_another_state(put, file_of_other):
    """The keys of a deleted version are not asked for, and its state is told."""
    put("a", "k=1")
    put("a", "k=1", there=True)
    invoke("delete", "a")

    result = invoke("diff", ".", str(file_of_other), "--json")

    [row] = json.loads(result.stdout)["differences"]
    assert (row["difference"], row["left"], row["right"]) == ("state", "deleted", "live")


def test_an_address_is_taken_with_the_present_login(put, vault_server):
    """An environment is the same as itself, by its address."""
    put("a", "k=1")

    result = invoke("diff", ".", vault_server.addr)

    assert (result.exit_code, result.stderr) == (0, "1 secrets compared, 0 differences\n")


def test_a_tenants_scope_and_a_folder_are_compared(put, file_of_other):
    """--tenant is another scope, and --prefix, with or without its slash, less of one."""
    put("x/a", "k=1", tenant="acme")
    put("y/a", "k=1", tenant="acme")

    options = ("--tenant", "acme", "--json")
    both = invoke("diff", ".", str(file_of_other), *options)
    one = invoke("diff", ".", str(file_of_other), *options, "--prefix", "x")
    none = invoke("diff", ".", str(file_of_other), "--json")

    def paths(result) -> list[str]:
        return [row["path"] for row in json.loads(result.stdout)["differences"]]

    assert (paths(both), paths(one), paths(none)) == (["x/a", "y/a"], ["x/a"], [])


async def settings_only(server, mount: str) -> None:
    await server.request("POST", f"{mount}/metadata/greenlang/a", {"max_versions": 3})


@pytest.fixture
async def with_settings_only(vault_server, mount) -> None:
    """A path here that has metadata and no version."""
    await settings_only(vault_server, mount)


def test_settings_without_a_version_are_told(with_settings_only, put, file_of_other):
    """They are no secret, which the other side may have."""
    put("a", "k=1", there=True)

    result = invoke("diff", ".", str(file_of_other), "--json")

    rows = [tuple(row.values()) for row in json.loads(result.stdout)["differences"]]
    assert rows == [("a", "state", "none", "live"), ("a", "version", 0, 1)]


def test_a_wrong_side_is_an_error(tmp_path):
    """A file that is none, or has another line, is wrong usage, and shows no line."""
    bad = tmp_path / "bad.env"
    bad.write_text("VAULT_TOKEN=s3cret s3cret\n")

    missing, wrong = invoke("diff", ".", "missing.env"), invoke("diff", ".", str(bad))

    assert (missing.exit_code, wrong.exit_code) == (2, 2)
    assert "Line 1 of 'bad.env' is not NAME=VALUE." in wrong.stderr
    assert "s3cret" not in wrong.output
