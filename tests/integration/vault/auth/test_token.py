from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

import greenlang_secrets as gs
from greenlang_secrets.transport import Transport
from greenlang_secrets.vault.auth import auth_method
from support.canary import shown_in
from support.logins import log_in, refusal, with_locals


@pytest.fixture
def new_token(vault_server, policy) -> Callable[..., Awaitable[str]]:
    """A function that makes a token, as an Agent would."""

    async def make(ttl: str = "30m") -> str:
        _, body = await vault_server.request(
            "POST", "auth/token/create", {"policies": [policy], "ttl": ttl}
        )
        return body["auth"]["client_token"]

    return make


@pytest.fixture
async def sink(tmp_path, new_token) -> Path:
    """A file with a token in it."""
    file = tmp_path / "sink"
    file.write_text(await new_token())
    return file


@pytest.fixture
def auth(sink) -> gs.AuthConfig:
    return gs.AuthConfig(token_file=sink)


async def test_given_token_is_looked_up_and_not_ours(config, new_token):
    """A token as a value is confirmed by Vault; it is neither replaced nor revoked by us."""
    token = await log_in(config, gs.AuthConfig(token=gs.SecretValue(await new_token())))

    assert not token.ours
    assert token.expires_at < float("inf")


async def test_root_token_has_no_end(config):
    """Vault gives it a TTL of 0."""
    token = await log_in(config, config.auth)

    assert token.expires_at == float("inf")


async def test_login_is_one_lookup(config, auth, vault_server):
    """Nothing else is asked."""
    mark = await vault_server.audit_mark()

    await log_in(config, auth)

    assert await vault_server.audit_requests(mark) == [("read", "auth/token/lookup-self")]


async def test_service_reads_a_secret_with_a_sink(config, auth):
    """The whole way: configuration, file, read."""
    async with gs.SecretsService.open(replace(config, auth=auth)) as secrets:
        assert (await secrets.get("x"))["k"].reveal() == "v"


async def test_unknown_token_is_refused_and_not_shown(config, auth, sink):
    """The error names where the token comes from, and shows it in no traceback."""
    sink.write_text("hvs.CAESIJunknown-token-of-nobody")

    error = await refusal(config, auth)

    assert "VAULT_TOKEN_FILE" in str(error)
    assert shown_in(with_locals(error), "hvs.CAESIJunknown-token-of-nobody") is None


# ---------------------------------------------------------------- a sink that changes


async def test_new_token_in_the_sink_is_noticed_until_it_is_used(config, auth, sink, new_token):
    """`changed` turns true when an Agent writes another token, and false with the login."""
    method = auth_method(auth)
    async with Transport(replace(config, auth=auth)) as transport:
        before = [await method.changed()]
        first = await method.login(transport)
        before.append(await method.changed())
        sink.write_text(await new_token())

        noticed = [await method.changed(), await method.changed()]
        second = await method.login(transport)

        assert before == [False, False]
        assert noticed == [True, True]
        assert not await method.changed()
        assert first.value != second.value


async def test_sink_replaced_by_renaming_is_noticed(config, auth, sink, new_token, tmp_path):
    """An Agent writes beside the sink and renames, so another file has its name then."""
    method = auth_method(auth)
    async with Transport(replace(config, auth=auth)) as transport:
        await method.login(transport)
        beside = tmp_path / "sink.tmp"
        beside.write_text(await new_token())
        beside.rename(sink)

        assert await method.changed()


async def test_same_token_written_again_is_no_change(config, auth, sink):
    """An Agent that restarts writes its token again; that needs no login."""
    method = auth_method(auth)
    async with Transport(replace(config, auth=auth)) as transport:
        await method.login(transport)
        sink.write_text(sink.read_text() + "\n")

        assert not await method.changed()


@pytest.mark.parametrize("content", [None, "", "two words"])
async def test_sink_that_holds_no_token_is_no_change(config, auth, sink, content):
    """A file that is missing or half written does not cost the token held."""
    method = auth_method(auth)
    async with Transport(replace(config, auth=auth)) as transport:
        await method.login(transport)
        sink.unlink()
        if content is not None:
            sink.write_text(content)

        assert not await method.changed()


async def test_refused_new_token_is_not_tried_for_ever(config, auth, sink):
    """Vault has said no to it: there is nothing new in the file."""
    method = auth_method(auth)
    async with Transport(replace(config, auth=auth)) as transport:
        await method.login(transport)
        sink.write_text("hvs.unknown")
        with pytest.raises(gs.AuthenticationLost):
            await method.login(transport)

        assert not await method.changed()


async def test_new_token_stays_noticed_while_vault_is_away(config, auth, sink, new_token):
    """A login that could not ask Vault leaves the change to be seen."""
    method = auth_method(auth)
    async with Transport(replace(config, auth=auth)) as transport:
        await method.login(transport)
    sink.write_text(await new_token())
    nowhere = replace(config, addresses=("http://127.0.0.1:1",), request_timeout=0.2)

    async with Transport(nowhere) as transport:
        with pytest.raises(gs.VaultUnavailable):
            await method.login(transport)

    assert await method.changed()


async def test_given_token_never_changes(config):
    """A value stays what it is."""
    method = auth_method(config.auth)
    async with Transport(config) as transport:
        await method.login(transport)

        assert not await method.changed()
