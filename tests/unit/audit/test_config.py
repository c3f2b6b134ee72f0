"""Where the audit log is, by the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlang_secrets.audit import AuditConfig
from greenlang_secrets.errors import ConfigurationError

LOG = "GREENLANG_SECRETS_AUDIT_LOG"
STATE = "GREENLANG_SECRETS_STATE_DIR"


@pytest.mark.parametrize(
    ("environ", "file"),
    [
        ({LOG: "/var/log/gl/audit.log", STATE: "/srv"}, "/var/log/gl/audit.log"),
        ({STATE: "/srv/state"}, "/srv/state/audit.jsonl"),
    ],
)
def test_the_log_has_a_place(environ, file):
    """The setting says the file, or else the state folder has it."""
    assert AuditConfig.from_env(environ=environ).log == Path(file)


def test_the_environment_of_the_process_counts(monkeypatch):
    """Without another environment it is the process's own."""
    monkeypatch.setenv(LOG, "/x/audit.jsonl")

    assert AuditConfig.from_env().log == Path("/x/audit.jsonl")


def test_a_relative_path_is_refused():
    """It would be another file for each working directory."""
    with pytest.raises(ConfigurationError, match=r"'./audit.jsonl'; use an absolute path"):
        AuditConfig.from_env(environ={LOG: "./audit.jsonl"})
