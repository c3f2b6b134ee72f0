from __future__ import annotations

from pathlib import Path

import pytest

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.invalidation import InvalidationConfig


def test_without_variables_no_file_is_followed():
    """The defaults follow nothing, and are those of the dataclass."""
    assert InvalidationConfig.from_env(environ={}) == InvalidationConfig()
    assert InvalidationConfig().vault_audit_logs == ()


def test_variables_arrive():
    """Each variable changes its attribute; several files are separated by commas."""
    config = InvalidationConfig.from_env(
        environ={
            "GREENLANG_SECRETS_VAULT_AUDIT_LOG": "/var/log/a.log, /var/log/b.log,",
            "GREENLANG_SECRETS_VAULT_AUDIT_POLL_SECONDS": "0.2",
            "GREENLANG_SECRETS_REVALIDATE_EVERY_SECONDS": "7",
            "GREENLANG_SECRETS_SETTLE_SECONDS": "0",
        }
    )

    assert config == InvalidationConfig(
        vault_audit_logs=(Path("/var/log/a.log"), Path("/var/log/b.log")),
        audit_poll_every=0.2,
        revalidate_every=7.0,
        settle_after=0.0,
    )


def test_relative_file_is_refused():
    """A file is named from the root, because the service's folder is not Vault's."""
    with pytest.raises(ConfigurationError, match="absolute path"):
        InvalidationConfig.from_env(environ={"GREENLANG_SECRETS_VAULT_AUDIT_LOG": "logs/audit.log"})


@pytest.mark.parametrize(
    "settings", [{"audit_poll_every": 0}, {"revalidate_every": 0}, {"settle_after": -1}]
)
def test_times_that_make_no_sense_are_refused(settings):
    """A loop that never rests, or a flood without a bound, cannot be configured."""
    with pytest.raises(ConfigurationError):
        InvalidationConfig(**settings)
