"""What holds in every test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings

# Without a deadline for one example: on a busy machine it fails for no fault of the code.
settings.register_profile("greenlang", deadline=None, print_blob=True)
settings.load_profile("greenlang")

# Only where it is asked for: `make test-k8s`.
collect_ignore = ["kubernetes"]

_own_folder = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give this run's temporary folders a place of their own.

    The usual one, /tmp/pytest-of-USER, is closed to others (0700) whenever some run asks for its
    first folder, and a PostgreSQL in it, which is another user's, then loses its data.
    """
    if config.option.basetemp is None:
        config.stash[_own_folder] = Path(tempfile.mkdtemp(prefix="pytest-greenlang-"))
        config.option.basetemp = str(config.stash[_own_folder] / "run")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remove the folders, unless somebody will want to look into them."""
    if exitstatus == pytest.ExitCode.OK and _own_folder in session.config.stash:
        shutil.rmtree(session.config.stash[_own_folder], ignore_errors=True)


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[BlockBuster]:
    """Fail when our code makes a blocking call on the event loop.

    Starting and stopping server processes is excepted: it is what tests wait for anyway. So are
    migrations: they run in a thread, with a loop in which nobody else waits.
    """
    with blockbuster_ctx(
        scanned_modules=["greenlang_secrets", "greenlang_secrets_api"],
        excluded_modules=[
            "greenlang_secrets.testing",
            "greenlang_secrets.development",
            "greenlang_secrets.catalogue.schema",
            "greenlang_secrets.catalogue.migrations",
        ],
    ) as blockbuster:
        # Short locks are no I/O, and coverage takes one of its own within our frames.
        blockbuster.functions["threading.Lock.acquire"].deactivate()
        yield blockbuster
