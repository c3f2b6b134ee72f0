"""The gate: without what these tests need nothing runs, and nothing is skipped."""

from __future__ import annotations

import os

import pytest

from support.cluster_needs import message


@pytest.hookimpl(tryfirst=True)  # before a folder for temporary files is made
def pytest_configure() -> None:
    """End the run with 2, and with what is missing."""
    text = message(os.environ)
    if text is not None:
        pytest.exit(text, returncode=2)
