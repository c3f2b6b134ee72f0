from __future__ import annotations

import asyncio

import pytest

from greenlang_secrets.leases import database
from greenlang_secrets.model import SecretType
from support.fake_vault import CREDS, PLACED, fake_service, settle


async def test_lease_that_is_held_has_a_life():
    """What is left of it, and what it was granted, from its fetch until it is let go of."""
    async with fake_service() as service:
        assert service.keeper.lives() == []
        held = await service.keeper.hold(
            "app", database.dynamic("app", **PLACED), secret_type=SecretType.DATABASE
        )
        ttl = service.vault.lease_ttl
        service.vault.clock.now += 1.0

        [life] = service.keeper.lives()
        assert life.secret_type is SecretType.DATABASE
        assert (life.left, life.granted) == (pytest.approx(ttl - 1.0), ttl)
        await held.release()
        assert service.keeper.lives() == []


async def test_lease_that_is_being_fetched_has_none_yet():
    """Nothing was granted."""
    async with fake_service() as service:
        gate = service.vault.gates[CREDS] = asyncio.Event()
        holding = asyncio.ensure_future(service.hold())
        await settle()
        assert service.keeper.holding == 1
        assert service.keeper.lives() == []

        gate.set()
        await holding

        assert len(service.keeper.lives()) == 1


async def test_lease_that_has_ended_has_nothing_left():
    """And never less: an alert on what is left must fire until it is replaced."""
    async with fake_service() as service:
        held = await service.hold()
        service.vault.clock.now += service.vault.lease_ttl + 5.0

        assert [life.left for life in service.keeper.lives()] == [0.0]
        await held.release()


async def test_password_of_a_static_role_has_no_end():
    """It is read again when Vault changes it, and lives on until then."""
    async with fake_service() as service:
        held = await service.keeper.hold("static", database.static("app", **PLACED))

        assert service.keeper.lives() == []
        await held.release()


async def test_what_is_done_with_leases_is_counted():
    """The issue, a renewal and the end, under the type that it was held as."""
    async with fake_service() as service:
        held = await service.keeper.hold(
            "app", database.dynamic("app", **PLACED), secret_type=SecretType.DATABASE
        )
        await service.pass_time(service.vault.lease_ttl * 0.7)
        await held.release()
        totals = service.keeper._tally.totals()

    assert totals == {
        ("issue", "database", "ok"): 1,
        ("renew", "database", "ok"): 1,
        ("revoke", "database", "ok"): 1,
    }


async def test_own_token_has_a_life():
    """From its login until it is known to be dead."""
    async with fake_service() as service:
        assert service.session.life() is None
        await service.session.login()
        ttl = service.vault.token_ttl
        service.vault.clock.now += 1.0

        life = service.session.life()
        assert life is not None
        assert life.secret_type is SecretType.SERVICE_TOKEN
        assert (life.left, life.granted) == (pytest.approx(ttl - 1.0), ttl)
        token = service.session.token
        assert token is not None
        token.dead = True
        assert service.session.life() is None


async def test_logins_and_renewals_of_the_token_are_counted():
    """A refused renewal is told from one that worked."""
    async with fake_service(keep=True) as service:
        await service.session.login()
        await settle()
        await service.pass_time(service.vault.token_ttl * 0.7)
        service.vault.instead["auth/token/renew-self"] = [400]
        await service.pass_time(service.vault.token_ttl * 0.7)
        totals = service.session._tally.totals()

    assert totals["login", "service_token", "ok"] >= 1
    assert totals["renew", "service_token", "ok"] == 1
    assert totals["renew", "service_token", "denied"] == 1


async def test_end_of_the_token_is_counted():
    """Given back, or not allowed to be."""
    async with fake_service() as service:
        await service.session.login()
        await service.session.revoke()
        assert service.session._tally.totals()["revoke", "service_token", "ok"] == 1

    async with fake_service() as service:
        await service.session.login()
        service.vault.instead["auth/token/revoke-self"] = [403]
        await service.session.revoke()
        assert service.session._tally.totals()["revoke", "service_token", "denied"] == 1
