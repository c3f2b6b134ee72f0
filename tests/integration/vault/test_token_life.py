from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

import greenlang_secrets as gs
from greenlang_secrets.paths import ApiPath
from greenlang_secrets.testing import Fault, FaultProxy
from greenlang_secrets.vault import token_holder as sessions
from greenlang_secrets.vault.live_token import LiveToken
from support.approle import AppRole, approle

Make = Callable[..., Awaitable[AppRole]]


@pytest.fixture
def role(vault_server, mount, tmp_path) -> Make:
    """Make an AppRole that may read the test's mount; settings of its tokens by keyword."""

    async def make(**settings: object) -> AppRole:
        policy = f'path "{mount}/*" {{ capabilities = ["read"] }}'
        return await approle(
            vault_server, tmp_path, mount=f"life-{mount}", policy=policy, **settings
        )

    return make


@pytest.fixture
def opened(config, vault_server, mount):
    @asynccontextmanager
    async def opened(role: AppRole) -> AsyncIterator[gs.SecretsService]:
        await vault_server.request("POST", f"{mount}/data/greenlang/x", {"data": {"k": "v"}})
        async with gs.SecretsService.open(replace(config, auth=role.auth)) as secrets:
            yield secrets

    return opened


async def reads_for(seconds: float, secrets: gs.SecretsService) -> int:
    """Ask Vault all the time, each time successfully; return how often."""
    loop = asyncio.get_running_loop()
    end, reads = loop.time() + seconds, 0
    while loop.time() < end:
        assert (await secrets.get("x", fresh=True))["k"].reveal() == "v"
        reads += 1
    return reads


async def until(condition: Callable[[], Awaitable[bool]], within: float = 5.0) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while not await condition():
        assert loop.time() < deadline, f"not within {within} s"
        await asyncio.sleep(0.02)


def held(secrets: gs.SecretsService) -> LiveToken:
    token = secrets.client.session.token
    assert token is not None
    return token


async def lives(server, token: LiveToken) -> bool:
    """Whether Vault knows the token, as the witness sees it by the accessor."""
    status, _ = await server.request(
        "POST", "auth/token/lookup-accessor", {"accessor": token.accessor}
    )
    return status == 200


async def test_token_is_renewed_and_not_replaced(role, opened, vault_server):
    """A renewable token outlives its TTL by renewals: one login, however long the service runs."""
    app = await role(ttl="2s")
    mark = await vault_server.audit_mark()
    async with opened(app) as secrets:
        first = held(secrets)

        assert await reads_for(5.0, secrets) > 100
        assert held(secrets) is first
        assert await app.logins(mark) == 1
        assert 2 <= len(await vault_server.audit_requests(mark, "auth/token/renew-self")) <= 6


async def test_idle_service_keeps_its_token(role, opened, vault_server):
    """The token is renewed though nobody asks for anything."""
    app = await role(ttl="2s")
    async with opened(app) as secrets:
        first = held(secrets)
        granted_at = first.term.granted_at

        async def twice_renewed() -> bool:
            return first.term.granted_at > granted_at + 2.0

        await until(twice_renewed, within=6.0)

        assert await lives(vault_server, first)


async def test_periodic_token_is_renewed_for_ever(role, opened, vault_server):
    """A period gives the same at each renewal, which is not taken for being cut."""
    app = await role(token_period="2s")
    mark = await vault_server.audit_mark()
    async with opened(app) as secrets:
        await reads_for(4.0, secrets)

        assert held(secrets).term.renewable
        assert await app.logins(mark) == 1


async def test_maximum_is_noticed_and_the_old_token_revoked(role, opened, vault_server):
    """A renewal that gives less than asked for is the last one: a login follows before the end,
    and the old token does not wait for its end.
    """
    app = await role(ttl="2s", token_max_ttl="4s")
    mark = await vault_server.audit_mark()
    async with opened(app) as secrets:
        first = held(secrets)

        await reads_for(5.0, secrets)

        assert held(secrets) is not first
        assert first.retired
        assert 2 <= await app.logins(mark) <= 3
        async with asyncio.timeout(10):  # in the background
            while not await vault_server.audit_requests(mark, "auth/token/revoke-self"):
                await asyncio.sleep(0.02)


async def test_token_that_may_not_renew_itself_is_replaced(role, opened, vault_server):
    """A policy that forbids the renewal is as good as a token that cannot: no storm, one login for
    each life.
    """
    app = await role(ttl="3s", token_no_default_policy=True)
    mark = await vault_server.audit_mark()
    async with opened(app) as secrets:
        await reads_for(5.0, secrets)

        assert 2 <= await app.logins(mark) <= 5
        assert len(await vault_server.audit_requests(mark, "auth/token/renew-self")) <= 5


async def test_batch_token_is_replaced_and_not_revoked(role, opened, vault_server):
    """Batch tokens have no renewal and no revocation, and none is tried."""
    app = await role(ttl="2s", token_type="batch")
    mark = await vault_server.audit_mark()
    async with opened(app) as secrets:
        await reads_for(4.0, secrets)

        assert 3 <= await app.logins(mark) <= 5
    assert await vault_server.audit_requests(mark, "auth/token/re") == []


async def test_use_limited_token_is_never_asked_about(role, opened, vault_server):
    """A token good for three requests is used for three reads, then replaced; no use is wasted on
    looking it up or renewing it.
    """
    app = await role(token_num_uses=3)
    mark = await vault_server.audit_mark()
    async with opened(app) as secrets:
        for _ in range(7):
            assert (await secrets.get("x", fresh=True)).version == 1

        assert await app.logins(mark) == 3
        assert await vault_server.audit_requests(mark, "auth/token/lookup-self") == []


async def test_retired_token_outlives_its_last_request(role, opened, vault_server, mount):
    """A token that was replaced while it is in use is revoked when its user is done, and not
    before.
    """
    app = await role()
    async with opened(app) as secrets:
        first = held(secrets)
        with first.in_use():
            await secrets.client.session._start_acquisition()
            alive_in_use = await lives(vault_server, first)

        async def gone() -> bool:
            return not await lives(vault_server, first)

        await until(gone)

        assert first.retired
        assert alive_in_use


async def test_new_policy_is_picked_up_by_one_login(role, opened, vault_server, mount, monkeypatch):
    """After a denial an old token is replaced once, for its role may have got more rights since;
    50 denied at once share that login, and it is not made again within the minute.
    """
    monkeypatch.setattr(sessions, "REFRESH_EVERY", 3600.0)
    app = await role(token_policies=["default"])
    await vault_server.request("POST", f"{mount}/data/greenlang/y", {"data": {"k": "y"}})
    async with opened(app) as secrets:
        held(secrets).made_at -= 3601
        mark = await vault_server.audit_mark()

        denied = await asyncio.gather(
            *(secrets.get("x", fresh=True) for _ in range(50)), return_exceptions=True
        )
        logins_of_denials = await app.logins(mark)
        await vault_server.request(
            "POST", f"auth/{app.mount}/role/app", {"token_policies": [app.mount]}
        )
        held(secrets).made_at -= 3601
        with pytest.raises(gs.AccessDenied):  # not again within the minute
            await secrets.get("y", fresh=True)
        secrets.client.session._refreshed_at -= 3601
        allowed = await secrets.get("y", fresh=True)

        assert {type(answer) for answer in denied} == {gs.AccessDenied}
        assert logins_of_denials == 1
        assert allowed["k"].reveal() == "y"
        assert await app.logins(mark) == 2


async def test_denial_of_a_new_token_costs_no_login(role, opened, vault_server):
    """The control: a token of this minute has the policies of this minute."""
    app = await role(token_policies=["default"])
    mark = await vault_server.audit_mark()
    async with opened(app) as secrets:
        with pytest.raises(gs.AccessDenied):
            await secrets.get("x")

        assert await app.logins(mark) == 1


async def test_denial_without_the_right_to_look_costs_one_login(role, opened, vault_server):
    """A token that may not look itself up is taken for dead once; its successor, refused in the same
    way, is not.
    """
    app = await role(token_policies=["nothing"], token_no_default_policy=True)
    async with opened(app) as secrets:
        mark = await vault_server.audit_mark()
        with pytest.raises(gs.AccessDenied):
            await secrets.get("x")

        assert await app.logins(mark) == 1


async def test_outage_past_the_tokens_end_is_recovered_from(
    role, vault_server, opened, monkeypatch
):
    """When the token has ended during an outage, the first read after it logs in anew."""
    app = await role(ttl="1s")
    async with opened(app) as secrets:
        file = app.secret_id_file
        secret_id = file.read_text()
        file.write_text("away")  # no login succeeds meanwhile
        await app.revoke_tokens()
        with pytest.raises(gs.AuthenticationLost):
            await secrets.get("x", fresh=True)
        file.write_text(secret_id)

        async def reads() -> bool:
            try:
                return (await secrets.get("x", fresh=True)).version == 1
            except gs.AuthenticationLost:
                return False

        await until(reads)


async def test_given_token_is_renewed_and_left_alive(config, vault_server, mount):
    """A token that somebody else made is renewed while it is in use, and not revoked at the end."""
    _, body = await vault_server.request(
        "POST", "auth/token/create", {"policies": ["root"], "ttl": "2s", "renewable": True}
    )
    token = body["auth"]["client_token"]
    await vault_server.request("POST", f"{mount}/data/greenlang/x", {"data": {"k": "v"}})
    auth = gs.AuthConfig(token=gs.SecretValue(token))
    async with gs.SecretsService.open(replace(config, auth=auth)) as secrets:
        await reads_for(4.0, secrets)

    assert (await vault_server.request("GET", "auth/token/lookup-self", token=token))[0] == 200


async def test_all_tokens_are_revoked_at_close(role, opened, vault_server):
    """A clean shutdown leaves no token behind, one that was being let go included."""
    app = await role()
    async with opened(app) as secrets:
        first = held(secrets)
        first.acquire()  # somebody never gives it back
        second = await secrets.client.session._start_acquisition()
        before = [await lives(vault_server, each) for each in (first, second)]

    assert before == [True, True]
    assert not await lives(vault_server, first)
    assert not await lives(vault_server, second)


async def test_renewal_of_an_unknown_shape_is_no_end(role, opened, vault_server):
    """What cannot be read is a failed attempt: the token lives, and is tried again."""
    app = await role(ttl="2s")
    async with opened(app) as secrets:
        token = held(secrets)
        send = secrets.client.session._transport.send
        spoilt = 0

        async def spoiling(request, *, token=None):
            nonlocal spoilt
            answer = await send(request, token=token)
            if request.path.text == "auth/token/renew-self" and spoilt == 0:
                spoilt += 1
                return replace(answer, body=json.loads("{}"))
            return answer

        secrets.client.session._transport.send = spoiling
        await reads_for(3.0, secrets)

        assert spoilt == 1
        assert held(secrets) is token


# ---------------------------------------------------------------- what Vault itself does


async def token_of(server, **settings: object) -> str:
    _, body = await server.request("POST", "auth/token/create", settings)
    return body["auth"]["client_token"]


async def test_policy_default_renews_and_does_not_revoke_leases(vault_server):
    """A token with `default` alone may look at and renew itself and any lease it can name; ending a
    lease needs a rule of its own.
    """
    token = await token_of(vault_server, policies=["default"])
    lease = {"lease_id": "no/such/lease"}

    assert [
        (await vault_server.request(method, path, body, token=token))[0]
        for method, path, body in (
            ("GET", "auth/token/lookup-self", None),
            ("POST", "auth/token/renew-self", {}),
            ("POST", "sys/leases/renew", lease),
            ("POST", "sys/leases/lookup", lease),
            ("POST", "sys/leases/revoke", lease),
        )
    ] == [200, 200, 400, 400, 403]


async def test_batch_tokens_renewal_is_refused_as_malformed(vault_server):
    """400, and not 403: it says nothing of whether the token lives."""
    token = await token_of(vault_server, policies=["default"], type="batch", ttl="60s")
    status, body = await vault_server.request("POST", "auth/token/renew-self", {}, token=token)

    assert status == 400
    assert "batch tokens cannot be renewed" in str(body["errors"])


async def test_looking_itself_up_costs_a_use(vault_server):
    """A token good for two requests is used up by two looks at itself."""
    token = await token_of(vault_server, policies=["default"], num_uses=2)

    assert [
        (await vault_server.request("GET", "auth/token/lookup-self", token=token))[0]
        for _ in range(3)
    ] == [200, 200, 403]


async def test_renewal_past_the_maximum_is_answered_as_a_failure(role, vault_server):
    """A token that lives on past a maximum that was set later is not renewed: 500, as if Vault were
    ill, so two failed renewals are followed by a login.
    """
    app = await role(ttl="1h")
    login = {"role_id": app.role_id, "secret_id": app.secret_id_file.read_text().strip()}
    _, body = await vault_server.request("POST", f"auth/{app.mount}/login", login)
    token = body["auth"]["client_token"]
    await vault_server.request(
        "POST", f"auth/{app.mount}/role/app", {"token_ttl": "1s", "token_max_ttl": "1s"}
    )
    answers: list[tuple[int, object]] = []

    async def past() -> bool:
        answers.append(await vault_server.request("POST", "auth/token/renew-self", {}, token=token))
        return answers[-1][0] != 200

    await until(past)

    status, body = answers[-1]
    assert status == 500
    assert "past the max TTL" in str(body)


async def test_last_renewal_of_a_token_is_rounded_up_and_kept(role, vault_server):
    """What is left to the maximum is given in whole seconds, rounded up, and the token lives that
    long: for up to a second past its maximum it lives, and its renewal is a 500.
    """
    app = await role(ttl="2s", token_max_ttl="3s")
    login = {"role_id": app.role_id, "secret_id": app.secret_id_file.read_text().strip()}
    _, body = await vault_server.request("POST", f"auth/{app.mount}/login", login)
    token = body["auth"]["client_token"]
    given: list[int] = []

    async def past() -> bool:
        status, answer = await vault_server.request(
            "POST", "auth/token/renew-self", {}, token=token
        )
        given.append(answer["auth"]["lease_duration"] if status == 200 else status)
        return status != 200

    await until(past)
    alive, _ = await vault_server.request("GET", "auth/token/lookup-self", token=token)

    assert sorted(set(given)) == [1, 2, 500]
    assert alive == 200


async def test_sealed_vault_gets_four_logins_a_second(config, new_vault_server, tmp_path):
    """While Vault is away and the token is gone, 50 readers together make a login each quarter of a
    second, and not each one of their own.
    """
    server = await new_vault_server()
    await server.request("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    app = await approle(
        server, tmp_path, mount="app", policy='path "secret/*" { capabilities = ["read"] }'
    )
    config = gs.SecretsServiceConfig(
        addresses=(server.addr,), auth=app.auth, tenant_token_role=None
    )
    async with gs.SecretsService.open(config) as secrets:
        await app.revoke_tokens()
        with pytest.raises(gs.SecretNotFound):  # the death is noticed, and a login made
            await secrets.get("x")
        asked: list[str] = []
        send = secrets.client.session._transport.send

        async def counting(request, *, token=None):
            asked.append(request.path.text)
            return await send(request, token=token)

        secrets.client.session._transport.send = counting
        await server.seal()
        secrets.client.session._token = None
        loop = asyncio.get_running_loop()
        end = loop.time() + 2.0

        async def read() -> None:
            while loop.time() < end:
                with pytest.raises(gs.VaultUnavailable):
                    await secrets.get("x", fresh=True)
                await asyncio.sleep(0.01)

        await asyncio.gather(*(read() for _ in range(50)))
        await server.unseal()

        async def back() -> bool:
            try:
                await secrets.get("x", fresh=True)
            except gs.SecretNotFound:
                return True
            except gs.VaultUnavailable:
                return False
            return False

        await until(back, within=2.0)

    assert 4 <= asked.count("auth/app/login") <= 20


async def test_denials_of_a_token_that_cannot_look_itself_up_are_no_storm(
    role, opened, vault_server, mount
):
    """Without the policy `default` a working token's denial looks like its death: it is replaced
    once, and not again within the minute, however many denials follow.
    """
    app = await role(token_no_default_policy=True)
    async with opened(app) as secrets:
        await secrets.get("x", fresh=True)
        mark = await vault_server.audit_mark()
        for _ in range(10):
            with pytest.raises(gs.AccessDenied):
                await secrets.client.read(ApiPath.of("sys", "mounts"))
            await secrets.get("x", fresh=True)

        assert await app.logins(mark) == 1


async def test_cancelled_opening_leaves_no_token(config, role, vault_server):
    """A login that was under way when its waiter was cancelled is finished, and its token revoked."""
    app = await role()
    async with FaultProxy(vault_server.addr) as proxy:
        proxy.inject(Fault.DELAY, path_prefix="auth/", times=1, seconds=0.3)
        mark = await vault_server.audit_mark()

        async def open_it() -> None:
            async with gs.SecretsService.open(
                replace(config, addresses=(proxy.addr,), auth=app.auth)
            ):
                await asyncio.Event().wait()

        task = asyncio.ensure_future(open_it())

        async def asked() -> bool:
            return await app.logins(mark) == 1

        await until(asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    made = await vault_server.audit_requests(mark, f"auth/{app.mount}/login")
    revoked = await vault_server.audit_requests(mark, "auth/token/revoke-self")
    assert (len(made), len(revoked)) == (1, 1)
