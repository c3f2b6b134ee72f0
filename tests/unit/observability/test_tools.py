"""Where Prometheus and its like come from."""

from __future__ import annotations

import subprocess

import pytest

from observability import tools
from observability.tools import ToolError, fetch, tool


def program(folder, name):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return folder / name


def test_what_was_fetched_comes_before_what_is_installed(tmp_path):
    """The version that the tests were made with is taken, where there are two."""
    installed = program(tmp_path / "path", "promtool")
    assert tool("promtool", folder=tmp_path, path=str(tmp_path / "path")) == installed
    fetched = program(tmp_path / "bin", "promtool")
    assert tool("promtool", folder=tmp_path, path=str(tmp_path / "path")) == fetched


def test_debian_names_alertmanager_otherwise(tmp_path):
    """Alertmanager is found under its authors' name and under Debian's."""
    plain = program(tmp_path / "path", "alertmanager")
    assert tool("alertmanager", folder=tmp_path, path=str(tmp_path / "path")) == plain
    debian = program(tmp_path / "bin", "prometheus-alertmanager")
    assert tool("alertmanager", folder=tmp_path, path=str(tmp_path / "path")) == debian


def test_what_is_nowhere_is_named_with_what_to_install(tmp_path):
    """The error says which program is missing, and what brings it."""
    with pytest.raises(ToolError, match=r"amtool is neither .* install Prometheus"):
        tool("amtool", folder=tmp_path, path=str(tmp_path))


def test_a_package_source_that_fails_is_no_success(tmp_path, monkeypatch, capsys):
    """Where apt-get fails and PATH has nothing, fetching fails, and both are said."""
    failing = program(tmp_path / "apt", "apt-get")
    failing.write_text("#!/bin/sh\necho no route to the mirror >&2\nexit 100\n")
    program(tmp_path / "apt", "dpkg")
    monkeypatch.setenv("PATH", str(tmp_path / "apt"))

    with pytest.raises(ToolError, match="prometheus is neither"):
        fetch(tmp_path / "tools")

    assert "no route to the mirror" in capsys.readouterr().err


def test_path_serves_where_there_is_no_apt(tmp_path, monkeypatch):
    """On other systems the installed programs do."""
    for name in ("prometheus", "promtool", "alertmanager", "amtool"):
        program(tmp_path / "path", name)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))

    fetch(tmp_path / "tools")

    assert not (tmp_path / "tools").exists()


@pytest.mark.parametrize("name", tools.TOOLS)
def test_the_real_ones_are_there(name):
    """`make` has brought all four, and they run."""
    said = subprocess.run([tool(name), "--version"], capture_output=True, text=True, check=True)
    assert "version" in said.stdout + said.stderr
