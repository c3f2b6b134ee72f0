"""What holds in every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings

# Without a deadline for one example: on a busy machine it fails for no fault of the code.
settings.register_profile("greenlang", deadline=None, print_blob=True)
settings.load_profile("greenlang")


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
