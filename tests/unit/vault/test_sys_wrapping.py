"""Each answer about a wrapping token that is being opened, played: a race gives them by chance."""

from __future__ import annotations

import pytest

from greenlang_secrets.errors import AccessDenied, OutcomeUnknown, WrappingTokenUsed
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.vault.sys_wrapping import WRAP_PATH, Wrapping
from support.mounts import answering

TOKEN = SecretValue("s.token")

_LOOKED_UP = (
    b'{"data": {"creation_path": "sys/wrapping/wrap", "creation_ttl": 60, '
    b'"creation_time": "2026-01-01T00:00:00Z"}}'
)
WHOLE = (200, _LOOKED_UP)
INVALID = (400, b'{"errors": ["wrapping token is not valid or does not exist"]}')
EMPTIED = (400, b'{"errors": ["no information found"]}')
GONE = (204, b"")
FAILED = (500, b'{"errors": ["internal error"]}')
DENIED = (403, b'{"errors": ["permission denied"]}')

ACTS = {
    "lookup": ([], lambda wrapping: wrapping.lookup(TOKEN)),
    "unwrap": ([WHOLE], lambda wrapping: wrapping.unwrap(TOKEN, creation_path=WRAP_PATH)),
    "unwrap_token": (
        [WHOLE],
        lambda wrapping: wrapping.unwrap_token(TOKEN, creation_path=WRAP_PATH),
    ),
    "rewrap": ([], lambda wrapping: wrapping.rewrap(TOKEN)),
}


@pytest.mark.parametrize("answer", [INVALID, EMPTIED, GONE], ids=["invalid", "emptied", "gone"])
@pytest.mark.parametrize("act", ACTS)
async def test_token_that_was_used_meanwhile_is_used_whatever_the_server_says(act, answer):
    """A 400, and a 204 without a word, are both WrappingTokenUsed, at every step."""
    before, does = ACTS[act]
    async with answering(*before, answer) as call:
        with pytest.raises(WrappingTokenUsed):
            await does(Wrapping(call))


@pytest.mark.parametrize("answer", [INVALID, GONE], ids=["invalid", "gone"])
async def test_token_that_was_used_before_the_look_is_used(answer):
    """Unwrapping ends at the lookup, with the same error, and opens nothing."""
    async with answering(answer) as call:
        for unwrap in (Wrapping(call).unwrap, Wrapping(call).unwrap_token):
            with pytest.raises(WrappingTokenUsed):
                await unwrap(TOKEN, creation_path=WRAP_PATH)


@pytest.mark.parametrize("act", ["unwrap", "unwrap_token", "rewrap"])
async def test_failure_while_opening_leaves_the_outcome_unknown(act):
    """A 500 may be ours or of the other who opens it: OutcomeUnknown, and no second attempt."""
    before, does = ACTS[act]
    async with answering(*before, FAILED, WHOLE) as call:
        with pytest.raises(OutcomeUnknown):
            await does(Wrapping(call))


async def test_failure_of_the_look_is_asked_again():
    """Looking uses nothing up, so a 500 in the middle of a race is followed by what is true."""
    async with answering(FAILED, GONE) as call:
        with pytest.raises(WrappingTokenUsed):
            await Wrapping(call).lookup(TOKEN)


@pytest.mark.parametrize("act", ACTS)
async def test_denial_is_no_used_token(act):
    """Control: a 403 is about our own token, and raises no alarm."""
    before, does = ACTS[act]
    async with answering(*before, DENIED) as call:
        with pytest.raises(AccessDenied):
            await does(Wrapping(call))
