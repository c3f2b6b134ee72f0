"""Mirrors of a rotation come late and in any order: what stays is never a dead owner's word."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.rotation_model import RotationState
from support.catalogues import of_file
from support.rotation_rows import ACME, digest_of, note, put

PAST = datetime(2020, 1, 1, tzinfo=UTC)
WORD = st.tuples(
    st.integers(min_value=0, max_value=4),
    st.sampled_from(sorted(RotationState)),
    st.integers(min_value=0, max_value=9),
    st.booleans(),
)
"""Fence, state, minutes after which to look, and whether it comes with a policy."""


@settings(max_examples=25, deadline=None)
@given(words=st.lists(WORD, min_size=1, max_size=12))
def test_the_greatest_fence_s_last_word_stays(words) -> None:
    """Whatever is mirrored in whatever order, by `note` and by `put`, the standing and the clock
    are those of the last word with the greatest fence, together.
    """

    async def play() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with (
                Supervisor() as supervisor,
                Catalogue.open(of_file(Path(folder)).config, supervisor) as catalogue,
            ):
                store = catalogue.rotations
                await put(store, ACME, "a", fence=0, wake_at=PAST)
                expected = (0, RotationState.IDLE, 0)
                for fence, state, minutes, with_policy in words:
                    tell = put if with_policy else note
                    wake_at = PAST + timedelta(minutes=minutes)
                    await tell(store, ACME, "a", fence=fence, state=state, wake_at=wake_at)
                    if fence >= expected[0]:
                        expected = (fence, state, minutes)

                row = await store.find(ACME, "a")
                [clock] = await store.clock()
                due = await store.due(most=9)

        assert row is not None
        assert (row.standing.fence, row.standing.state) == expected[:2]
        assert row.standing.wake_at == PAST + timedelta(minutes=expected[2])
        assert clock.state == expected[1]
        assert due == [(ACME, digest_of(ACME, "a"))]

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(play())
