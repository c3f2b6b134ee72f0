"""The service's settings: what is read from where, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlang_secrets.config import Environment
from greenlang_secrets.development.issuer import ISSUER
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets_api.config import ApiConfig

PREFIX = "GREENLANG_SECRETS_"


def environ(**changes: str) -> dict[str, str]:
    good = {
        "JWT_ISSUER": "https://issuer.test",
        "JWT_AUDIENCE": "us",
        "JWT_JWKS_URL": "https://issuer.test/jwks",
    }
    return {PREFIX + name: value for name, value in (good | changes).items()}


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    """Every variable, and the defaults of the others."""
    file = tmp_path / "jwks.json"
    file.touch()

    by_url = ApiConfig.from_env(environ=environ(ENVIRONMENT="prod"))
    by_file = ApiConfig.from_env(
        environ=environ(
            JWT_JWKS_URL="",
            JWT_JWKS_FILE=str(file),
            JWT_ALGORITHMS="ES256, EdDSA",
            JWT_TYPES="AT+JWT",
            JWT_TENANT_CLAIM="https://greenlang.test/tenant",
            JWT_DENYLIST_FILE=str(file),
            ACCESS_LOG="false",
        )
    )

    assert by_url == ApiConfig(
        jwt_issuer="https://issuer.test",
        jwt_audience="us",
        jwks_url="https://issuer.test/jwks",
        environment=Environment.PRODUCTION,
    )
    assert by_url.algorithms == {"RS256", "ES256", "EdDSA"}
    assert by_file.jwks_file == file
    assert by_file.algorithms == {"ES256", "EdDSA"}
    assert by_file.token_types == {"at+jwt"}
    assert by_file.jwt_tenant_claim == "https://greenlang.test/tenant"
    assert by_file.jwt_denylist_file == file
    assert by_file.access_log is False


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"JWT_ISSUER": ""}, "JWT_ISSUER is not set"),
        ({"JWT_AUDIENCE": ""}, "JWT_AUDIENCE is not set"),
        ({"JWT_JWKS_URL": ""}, "Neither of"),
        ({"JWT_JWKS_FILE": "/no/such"}, "there is no such file"),
        ({"JWT_JWKS_FILE": __file__}, "Each of"),
        ({"JWT_JWKS_URL": "http://issuer.test/"}, "must begin with https"),
        ({"JWT_JWKS_URL": "https://"}, "use https://host"),
        ({"JWT_JWKS_URL": "https://x:99999/"}, "use https://host"),
        ({"JWT_JWKS_URL": "https://u:hunter2@x/"}, "without a user"),
        ({"JWT_JWKS_URL": "http://127.0.0.1/", "ENVIRONMENT": "staging"}, "must begin with https"),
        ({"JWT_ALGORITHMS": "HS256"}, "JWT_ALGORITHMS is 'HS256'"),
        ({"JWT_ALGORITHMS": "none"}, "JWT_ALGORITHMS is 'none'"),
        ({"JWT_TENANT_CLAIM": "sub"}, "JWT_TENANT_CLAIM is 'sub'"),
        ({"JWT_DENYLIST_FILE": "/no/such"}, "JWT_DENYLIST_FILE is '/no/such'"),
        ({"ACCESS_LOG": "maybe"}, "ACCESS_LOG is 'maybe'"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, str], said: str) -> None:
    """The text has the setting, what was seen and the fix, and no password."""
    with pytest.raises(ConfigurationError, match=said) as refused:
        ApiConfig.from_env(environ=environ(**changes))

    assert "hunter2" not in str(refused.value)


def test_development_may_fetch_keys_from_this_machine() -> None:
    """Plain HTTP, to the loopback interface alone."""
    config = ApiConfig.from_env(environ=environ(JWT_JWKS_URL="http://127.0.0.1:1/jwks"))

    assert config.jwks_url == "http://127.0.0.1:1/jwks"


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_development_issuer_stays_in_development(environment: str) -> None:
    """Anybody who has read a developer's folder could sign for everybody."""
    settings = environ(JWT_ISSUER=ISSUER)

    with pytest.raises(ConfigurationError, match=f"development issuer's.* is {environment};"):
        ApiConfig.from_env(environment, environ=settings)

    assert ApiConfig.from_env("development", environ=settings).jwt_issuer == ISSUER


def test_empty_values_are_refused_when_given_in_code() -> None:
    """As in the environment."""
    for issuer, audience in (("", "us"), ("x", "")):
        with pytest.raises(ConfigurationError):
            ApiConfig(jwt_issuer=issuer, jwt_audience=audience, jwks_url="https://x/")
