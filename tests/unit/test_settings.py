from __future__ import annotations

from pathlib import Path

import pytest

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.settings import Settings

OURS = "GREENLANG_SECRETS_STATE_DIR"


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({OURS: "/srv/state", "XDG_STATE_HOME": "/x", "HOME": "/h"}, "/srv/state"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/greenlang-secrets"),
        ({"XDG_STATE_HOME": "x", "HOME": "/h"}, "/h/.local/state/greenlang-secrets"),
        ({"HOME": "/h"}, "/h/.local/state/greenlang-secrets"),
    ],
)
def test_the_state_has_a_folder(environ, folder):
    """Ours first, then the XDG variable if it is absolute, then the home directory."""
    assert Settings(environ).state_dir() == Path(folder)


@pytest.mark.parametrize(
    ("environ", "text"),
    [({OURS: "state"}, "use an absolute path"), ({}, "is not set"), ({"HOME": ""}, "is not set")],
)
def test_a_state_folder_that_cannot_be_said_is_refused(environ, text):
    """A relative path would be another folder for each working directory."""
    with pytest.raises(ConfigurationError, match=text):
        Settings(environ).state_dir()


def test_what_kubernetes_sets_is_read_by_its_own_name():
    """Without our prefix, and empty is not set."""
    settings = Settings({"KUBERNETES_SERVICE_HOST": " 10.0.0.1 ", "KUBERNETES_SERVICE_PORT": ""})

    assert settings.kubernetes("SERVICE_HOST") == "10.0.0.1"
    assert settings.kubernetes("SERVICE_PORT") is None
