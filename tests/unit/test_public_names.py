from __future__ import annotations

import subprocess
import sys

import pytest

import greenlang_secrets as gs


def test_every_public_name_is_there_and_no_other():
    """What `__all__` promises can be had, from where it is defined."""
    assert sorted(gs._HOME) == sorted(gs.__all__)
    for name in gs.__all__:
        assert getattr(gs, name) is not None
        assert name in dir(gs)


def test_unknown_name_is_an_attribute_error():
    """A misspelt name fails as in any module."""
    with pytest.raises(AttributeError, match="no attribute 'SecretService'"):
        gs.SecretService  # noqa: B018  # the look-up is the test


def test_import_alone_loads_next_to_nothing():
    """Importing the package costs little: the client comes with the first name that needs it, and
    brings no other HTTP client.
    """
    code = (
        "import sys, greenlang_secrets as gs; gs.SecretNotFound;"
        "print([m for m in ('aiohttp', 'asyncio', 'opentelemetry') if m in sys.modules]);"
        "gs.SecretsService; print('asyncio' in sys.modules, 'aiohttp' in sys.modules)"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.split("\n")[:2] == ["[]", "True False"]
