"""Settings whose secrets come from a real server."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import AliasChoices, BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import PydanticBaseSettingsSource, SettingsConfigDict

import greenlang_secrets as gs
from greenlang_secrets.cli.needs import found
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.integrations.pydantic_settings import NeedsSource, VaultSettings


class Postgres(BaseModel):
    username: str
    password: SecretStr
    port: int = 5432


class Settings(VaultSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_", env_nested_delimiter="__")

    debug: bool = False
    stripe_key: Annotated[SecretStr, gs.need("api-keys/stripe", field="key")]
    postgres: Annotated[Postgres, gs.need("database/postgresql")]


@pytest.fixture
async def filled(secrets: gs.SecretsService) -> gs.SecretsService:
    """A service whose Vault has all that the settings need."""
    await secrets.create("api-keys/stripe", {"key": "canary-1"})
    await secrets.create("database/postgresql", {"username": "app", "password": "canary-2"})
    return secrets


async def test_settings_are_loaded_from_vault(filled) -> None:
    """A value and a whole secret are there, as the guarded texts that the fields declare."""
    settings = await Settings.load(filled, debug=True)

    assert settings.debug
    assert settings.stripe_key.get_secret_value() == "canary-1"
    assert settings.postgres.username == "app"
    assert settings.postgres.password.get_secret_value() == "canary-2"
    assert "canary" not in repr(settings)


async def test_what_is_set_elsewhere_counts_instead(filled, monkeypatch) -> None:
    """An argument goes before the environment, that before Vault, also inside of a model."""
    monkeypatch.setenv("SHOP_STRIPE_KEY", "from-environment")
    monkeypatch.setenv("SHOP_POSTGRES__PORT", "5433")

    settings = await Settings.load(filled)
    given = await Settings.load(filled, stripe_key=SecretStr("given"))

    assert settings.stripe_key.get_secret_value() == "from-environment"
    assert (settings.postgres.port, settings.postgres.username) == (5433, "app")
    assert given.stripe_key.get_secret_value() == "given"


def test_without_vault_the_environment_is_enough(monkeypatch) -> None:
    """For a test, or at a desk, settings are made as of any class of pydantic-settings."""
    monkeypatch.setenv("SHOP_STRIPE_KEY", "k")
    monkeypatch.setenv("SHOP_POSTGRES", '{"username": "u", "password": "p"}')

    assert Settings().stripe_key.get_secret_value() == "k"


def test_without_vault_and_environment_settings_are_incomplete() -> None:
    """The control: nothing but `load` and `of` has values of Vault."""
    with pytest.raises(ValidationError) as caught:
        Settings()

    assert [each["loc"] for each in caught.value.errors()] == [("stripe_key",), ("postgres",)]


async def test_what_is_missing_is_one_error(secrets) -> None:
    """All paths that are not there are named, as for `Needs`."""
    with pytest.raises(gs.NeedsUnmet) as caught:
        await Settings.load(secrets)

    assert list(caught.value.failures) == ["stripe_key", "postgres"]


async def test_settings_of_held_needs_are_those_of_now(filled) -> None:
    """Made anew, without waiting, they have what Vault has; those made before stay as they were."""
    async with Settings.declared_needs().hold(filled) as needs:
        before = Settings.of(needs)
        await filled.put("api-keys/stripe", {"key": "canary-3"})
        after = Settings.of(needs)

    assert before.stripe_key.get_secret_value() == "canary-1"
    assert after.stripe_key.get_secret_value() == "canary-3"


async def test_a_value_that_does_not_fit_is_not_shown(filled) -> None:
    """The error names the field, and not what Vault has there."""
    await filled.put(
        "database/postgresql", {"username": "app", "password": "canary-2", "port": "canary-4"}
    )

    with pytest.raises(ValidationError) as caught:
        await Settings.load(filled)

    assert "postgres.port" in str(caught.value)
    assert "canary" not in str(caught.value)


async def test_a_field_is_given_under_the_name_that_others_use(filled, monkeypatch) -> None:
    """With an alias the environment still counts instead, and Vault fills in without it."""

    class Aliased(VaultSettings):
        one: Annotated[
            SecretStr, gs.need("api-keys/stripe", field="key"), Field(validation_alias="STRIPE")
        ]
        two: Annotated[
            SecretStr | None,
            gs.need("api-keys/stripe", field="key"),
            Field(validation_alias=AliasChoices("TWO", "ZWEI")),
        ]

    class ByName(VaultSettings):
        model_config = SettingsConfigDict(populate_by_name=True)
        one: Annotated[
            str, gs.need("api-keys/stripe", field="key"), Field(validation_alias="STRIPE")
        ]

    plain, by_name = await Aliased.load(filled), await ByName.load(filled)
    monkeypatch.setenv("STRIPE", "x")
    set_elsewhere, by_name_elsewhere = await Aliased.load(filled), await ByName.load(filled)
    monkeypatch.delenv("STRIPE")
    monkeypatch.setenv("ONE", "y")
    by_its_name = await ByName.load(filled)

    assert plain.one.get_secret_value() == by_name.one == "canary-1"
    assert plain.two is not None
    assert plain.two.get_secret_value() == "canary-1"
    assert set_elsewhere.one.get_secret_value() == by_name_elsewhere.one == "x"
    assert by_its_name.one == "y"


async def test_vault_may_go_before_the_environment(filled, monkeypatch) -> None:
    """The order of sources is the user's, as with every source."""

    class VaultFirst(VaultSettings):
        stripe_key: Annotated[SecretStr, gs.need("api-keys/stripe", field="key")]

        @classmethod
        def settings_customise_sources(
            cls, settings_cls, init_settings, env_settings, dotenv_settings, file_secret_settings
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, NeedsSource(settings_cls), env_settings

    monkeypatch.setenv("STRIPE_KEY", "from-environment")

    assert (await VaultFirst.load(filled)).stripe_key.get_secret_value() == "canary-1"


def test_a_setting_is_no_typed_secret() -> None:
    """Settings are texts: a need with a class is refused, with the field's name."""

    class Typed(VaultSettings):
        postgres: Annotated[str, gs.need("database/postgresql", gs.DatabaseCredentials)]

    with pytest.raises(ConfigurationError, match="postgres"):
        Typed.declared_needs()


def test_settings_print_what_they_imply() -> None:
    """The command takes a class of settings as it takes one of needs."""
    source = f"{__name__}:Settings"

    assert list(found(source).declared) == ["stripe_key", "postgres"]
    assert found(source).declared["postgres"].path == "database/postgresql"
