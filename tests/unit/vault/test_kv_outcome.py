from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from greenlang_secrets.errors import (
    AccessDenied,
    OutcomeUnknown,
    SecretNotFound,
    VaultRefused,
    VaultUnavailable,
    VersionConflict,
    VersionNotFound,
)
from greenlang_secrets.model import Secret, SecretType, SecretWritten
from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath
from greenlang_secrets.sensitive import SecretMap
from greenlang_secrets.vault.kv_outcome import CasWrite, done_once

PATH = KvPath.of("secret", PLATFORM, SecretPath.parse("x"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SENT = SecretWritten(path="x", version=3, created_at=NOW)
OURS, OTHER = SecretMap({"k": "ours"}), SecretMap({"k": "other"})
UNKNOWN = OutcomeUnknown(path=PATH)
AWAY = VaultUnavailable("network", path=PATH)
CONFLICT = VersionConflict(path=PATH, current_version=3)


class Vault:
    """Plays what each attempt and each look at the secret give; the last one is repeated."""

    def __init__(self, *, sends: list[object], currents: list[object], made: object = OURS) -> None:
        self.sends, self.currents, self.made = _repeated(sends), _repeated(currents), made
        self.sent = 0

    async def done(self, *, within: float = 1.0) -> SecretWritten:
        write = CasWrite(
            path=PATH,
            cas=2,
            send=self._send,
            current=lambda: _given(next(self.currents)),
            made=self._read,
            is_ours=self._is_ours,
        )
        return await done_once(write, within=within)

    async def _send(self) -> SecretWritten:
        self.sent += 1
        return await _given(next(self.sends))

    async def _read(self) -> Secret:
        return Secret(
            path="x",
            version=3,
            data=await _given(self.made),
            type=SecretType.GENERIC,
            created_at=NOW,
            custom_metadata={},
        )

    async def _is_ours(self, secret: Secret) -> bool:
        return secret.data == OURS


def _repeated(steps: list[object]) -> Iterator[object]:
    yield from steps
    while True:
        yield steps[-1]


async def _given(step):
    if isinstance(step, Exception):
        raise step
    return step


async def test_write_with_an_answer_is_not_looked_at():
    """Success, and a failure that says nothing was done, are as they are."""
    assert await Vault(sends=[SENT], currents=[9]).done() is SENT

    for error in (CONFLICT, AWAY, AccessDenied()):
        vault = Vault(sends=[error], currents=[9])
        with pytest.raises(type(error)):
            await vault.done()
        assert vault.sent == 1


async def test_version_that_holds_our_data_is_ours():
    """The lost answer is found: its version and time are returned, and nothing is sent again."""
    vault = Vault(sends=[UNKNOWN], currents=[3])

    written = await vault.done()

    assert (written.version, written.created_at, vault.sent) == (3, NOW, 1)


async def test_write_that_was_not_done_is_sent_again():
    """While the version before is still current, CAS makes a second attempt safe."""
    vault = Vault(sends=[UNKNOWN, UNKNOWN, SENT], currents=[2])

    assert await vault.done() is SENT
    assert vault.sent == 3


async def test_version_that_holds_other_data_is_a_conflict():
    """Somebody else has made the version that ours would have been."""
    vault = Vault(sends=[UNKNOWN], currents=[5], made=OTHER)

    with pytest.raises(VersionConflict) as caught:
        await vault.done()
    assert caught.value.facts == {"current_version": 5}


@pytest.mark.parametrize("between", [CONFLICT, AWAY, VaultRefused(status=400)])
async def test_second_attempt_that_fails_is_looked_at_again(between):
    """A conflict may be with our own first attempt, which a node that lags did not show."""
    vault = Vault(sends=[UNKNOWN, between], currents=[2, 3])

    assert (await vault.done()).version == 3
    assert vault.sent == 2


async def test_vault_that_is_away_is_waited_for():
    """A look that cannot be made is made again."""
    vault = Vault(sends=[UNKNOWN, AWAY], currents=[AWAY, AWAY, 3])

    assert (await vault.done()).version == 3


@pytest.mark.parametrize(
    "gone", [VersionNotFound(path=PATH, version=3), AccessDenied(), SecretNotFound(path=PATH)]
)
async def test_version_that_cannot_be_read_leaves_it_unknown(gone):
    """Pruned, deleted or forbidden: nobody can tell any more."""
    vault = Vault(sends=[UNKNOWN], currents=[3], made=gone)

    with pytest.raises(OutcomeUnknown):
        await vault.done()


async def test_second_attempt_that_is_denied_leaves_it_unknown():
    """The denial is about the second attempt; the first may have been done."""
    vault = Vault(sends=[UNKNOWN, AccessDenied()], currents=[2])

    with pytest.raises(OutcomeUnknown) as caught:
        await vault.done()
    assert caught.value.__cause__ is None


async def test_search_ends_in_time():
    """Past the time for a write it stays unknown, and no error of the search hangs on to it."""
    vault = Vault(sends=[UNKNOWN, AWAY], currents=[AWAY])
    loop = asyncio.get_running_loop()
    begun = loop.time()

    with pytest.raises(OutcomeUnknown) as caught:
        await vault.done(within=0.2)

    assert 0.2 <= loop.time() - begun < 0.3
    assert caught.value.__context__ is None
