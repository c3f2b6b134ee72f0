"""Settings of pydantic-settings, whose secrets come from Vault.

A field says where its value lies by a `need` in its annotation. Settings are made without waiting,
and Vault is asked with it: so the values are loaded, or held, before, and a source hands them in.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, ClassVar, Final, Self, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.model import Secret
from greenlang_secrets.needs import Need, Needs
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.view import SecretsView

__all__ = ["NeedsSource", "VaultSettings"]

_NEEDS: Final[ContextVar[Needs | None]] = ContextVar("needs", default=None)
"""What settings that are made now take their values from."""


class VaultSettings(BaseSettings):
    """Settings with fields such as ``key: Annotated[SecretStr, gs.need("a/b", field="key")]``.

    A need without a field gives all keys of its secret, for a field that is a model. What the
    arguments, the environment or a file say counts instead of Vault; for another order take
    `NeedsSource` into a ``settings_customise_sources`` of your own. Made as usual, without
    `load` or `of`, settings know nothing of Vault: for development, and for tests.

    Texts of validation errors do not show what was given.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(hide_input_in_errors=True)

    @classmethod
    def declared_needs(cls) -> type[Needs]:
        """Return the class of needs that the fields declare, to hold, or to print a policy from.

        Raises:
            ConfigurationError: a need is given a class: settings are texts.
        """
        found = {
            name: each
            for name, info in cls.model_fields.items()
            for each in info.metadata
            if isinstance(each, Need)
        }
        for name, each in found.items():
            if each.kind is not None:
                raise ConfigurationError(f"The setting {name} needs a field or a whole secret.")
        own = {name: Need(each.path, None, each.field) for name, each in found.items()}
        return type(f"{cls.__name__}Needs", (Needs,), own)

    @classmethod
    async def load(cls, secrets: SecretsView, **values: Any) -> Self:
        """Return settings with the values of now; `values` count instead.

        Raises:
            NeedsUnmet, NeedsUnavailable: as `Needs.load`; all needs are loaded, overridden or not.
            pydantic.ValidationError: a value does not fit its field.
        """
        return cls.of(await cls.declared_needs().load(secrets), **values)

    @classmethod
    def of(cls, needs: Needs, **values: Any) -> Self:
        """Return settings of needs that were loaded or are held, without waiting.

        `needs` is of the class `declared_needs`, or has the same names.

        Raises:
            SecretsError, RuntimeError: a held need has no value now.
            pydantic.ValidationError: a value does not fit its field.
        """
        before = _NEEDS.set(needs)
        try:
            return cls(**values)
        finally:
            _NEEDS.reset(before)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put Vault behind all other sources."""
        usual = init_settings, env_settings, dotenv_settings, file_secret_settings
        return (*usual, NeedsSource(settings_cls))


class NeedsSource(PydanticBaseSettingsSource):
    """The source of values from Vault: those of the needs that settings are made of."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of one field; None if it has no need, or there are none now."""
        needs = _NEEDS.get()
        if needs is None or not any(isinstance(each, Need) for each in field.metadata):
            return None, field_name, False
        names = _names(field, field_name)
        # As another source has given it, if one has: a field must not be given twice.
        key = next((each for each in names if each in self.current_state), names[0])
        found = getattr(needs, field_name)
        if isinstance(found, Secret):
            return _members(field.annotation, found), key, False
        return _shown(field.annotation, found), key, False

    def __call__(self) -> dict[str, Any]:
        """Return the values of all fields that have one."""
        found = {}
        for name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, name)
            if value is not None:
                found[key] = value
        return found


def _names(field: FieldInfo, name: str) -> list[str]:
    """The keys by which a source may give a field, the preferred one first."""
    alias = field.validation_alias
    choices = getattr(alias, "choices", [alias])
    return [*(choice for choice in choices if isinstance(choice, str)), name]


def _members(annotation: Any, secret: Secret) -> dict[str, Any]:
    """All keys of a secret, for a model or a mapping."""
    fields = (
        annotation.model_fields
        if isinstance(annotation, type) and issubclass(annotation, BaseModel)
        else {}
    )
    return {
        key: _shown(fields[key].annotation if key in fields else annotation, secret[key])
        for key in secret.data.keys()  # noqa: SIM118  it does not iterate
    }


def _shown(annotation: Any, value: SecretValue) -> str | SecretStr:
    """A value as its field takes it: guarded on its way, too, where the field guards it."""
    return SecretStr(value.reveal()) if _guards(annotation) else value.reveal()


def _guards(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_guards, get_args(annotation)))
