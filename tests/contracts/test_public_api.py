"""The public API is what `public_api.txt` says, so that it changes only on purpose."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from contracts import public_api


def differences(frozen: Sequence[str], there: Sequence[str]) -> list[str]:
    """Return what is gone and what is new, one line each."""
    gone = [f"gone, which breaks users: {line}" for line in frozen if line not in set(there)]
    new = [f"new, so not written down: {line}" for line in there if line not in set(frozen)]
    return gone + new


def test_the_public_api_is_what_is_written_down() -> None:
    """Names and signatures equal the file; after a change on purpose: `make public-api`."""
    frozen = public_api.FROZEN.read_text("utf-8").splitlines()

    found = differences(frozen, public_api.lines())

    assert found == [], "the public API differs; if that is meant: make public-api"


@pytest.mark.parametrize(
    ("changed", "complaints"),
    [
        ("greenlang_secrets.SecretValue.reveal() -> bytes", 2),
        ("", 1),
    ],
)
def test_a_change_is_found(changed: str, complaints: int) -> None:
    """The control: a signature that differs, and a name that is gone, are told."""
    there = public_api.lines()
    line = "greenlang_secrets.SecretValue.reveal() -> str"
    assert line in there
    frozen = [changed if each == line else each for each in there]

    found = differences([each for each in frozen if each], there)

    assert len(found) == complaints


def test_each_line_is_there_once() -> None:
    """No member hides another, and no address of this run is in a line."""
    there = public_api.lines()

    assert sorted(there) == sorted(set(there))
    assert not [line for line in there if " at 0x" in line]
