from __future__ import annotations

import math
from dataclasses import replace

from greenlang_secrets.lifetime import Term
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.vault.auth import VaultToken
from greenlang_secrets.vault.live_token import LiveToken

TERM = Term(granted_at=100.0, duration=90.0, wanted=90.0, renewable=True)


def live(unused=lambda _: None, *, accessor: str = "a", ours: bool = True) -> LiveToken:
    made = VaultToken(
        value=SecretValue("t"),
        accessor=accessor,
        term=TERM,
        ours=ours,
        limited=False,
        has_default=True,
    )
    return LiveToken(made, made_at=100.0, unused=unused)


def test_next_one_is_asked_for_in_the_last_third():
    """A call asks for the next token behind it from two thirds of the life on."""
    token = live()

    assert (token.ahead_at, token.expires_at) == (160.0, 190.0)


def test_retired_token_without_users_is_unused_at_once():
    """What nobody uses need not wait."""
    told: list[LiveToken] = []
    token = live(told.append)
    token.retire()

    assert told == [token]


def test_retired_token_is_unused_when_its_last_user_is_done():
    """It is told when the last of several users is done, and not before."""
    told: list[LiveToken] = []
    token = live(told.append)
    token.acquire()
    with token.in_use():
        token.retire()
        while_used = list(told)
    after_the_first = list(told)
    token.release()

    assert (while_used, after_the_first, told) == ([], [], [token])


def test_token_in_use_is_not_told_of():
    """Without a successor a token may have no user, as between two requests."""
    told: list[LiveToken] = []
    with live(told.append).in_use():
        pass

    assert told == []


def test_bound_is_that_of_what_was_made_with_it():
    """Renewed while it is in use, so without end; its own end once retired; at once when dead."""
    token = live()
    bounds = [token.bound]
    token.retire()
    bounds.append(token.bound)
    token.term = replace(TERM, duration=30.0)
    bounds.append(token.bound)
    token.dead = True
    bounds.append(token.bound)

    assert bounds == [math.inf, 190.0, 130.0, -math.inf]


def test_only_a_living_token_of_ours_with_an_accessor_is_revoked():
    """Not one that was given to us, no batch token, and none that is gone."""
    dead = live()
    dead.dead = True

    assert live().revocable
    assert not live(ours=False).revocable
    assert not live(accessor="").revocable
    assert not dead.revocable
