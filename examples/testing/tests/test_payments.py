"""What the app does while all is well: one shared server, a mount of its own for each test."""

from payments import KEY, Payments


async def test_charges_with_the_key_in_vault(secrets_service, seed_secrets, provider):
    """A charge is sent with the key that is in Vault."""
    await seed_secrets({KEY: {"key": "first"}})
    payments = Payments(secrets_service, provider.send)

    assert await payments.charge(1250)

    assert provider.charged == [1250]


async def test_a_rotated_key_is_read_anew(secrets_service, seed_secrets, provider):
    """A key that somebody else rotates costs no charge, though the old one is still cached."""
    await seed_secrets({KEY: {"key": "first"}})
    payments = Payments(secrets_service, provider.send)
    await payments.charge(1250)

    await seed_secrets({KEY: {"key": "second"}})
    provider.accepted = "second"

    assert await payments.charge(800)
    assert provider.charged == [1250, 800]


async def test_a_tenant_has_a_key_of_its_own(secrets_service, seed_secrets, provider):
    """A tenant's charge takes the tenant's key and not the platform's."""
    await seed_secrets({KEY: {"key": "of the platform"}})
    await seed_secrets({KEY: {"key": "first"}}, tenant="acme")
    payments = Payments(secrets_service.for_tenant("acme"), provider.send)

    assert await payments.charge(1250)
