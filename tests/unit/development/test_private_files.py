"""Files that only their owner reads."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from greenlang_secrets.development.private_files import private_folder, write_private


def test_a_file_is_replaced_whole(tmp_path):
    """The new text stands there with mode 0600, whatever the mode was, and nothing beside it."""
    file = tmp_path / "env"
    file.write_text("old")
    file.chmod(0o644)

    write_private(file, "new")

    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    """If the new file cannot take its place, the old one stands and no rest is left."""
    file = tmp_path / "env"
    file.write_text("old")

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_private(file, "new")

    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_is_made_for_its_owner(tmp_path):
    """A missing folder is made with mode 0700; one that is there keeps its mode."""
    there = tmp_path / "there"
    there.mkdir(mode=0o755)

    made, kept = private_folder(tmp_path / "new"), private_folder(there)

    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE(kept.stat().st_mode) == 0o755
