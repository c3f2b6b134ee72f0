"""The service's settings: what is read from where, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlang_secrets.config import Environment
from greenlang_secrets.development.issuer import ISSUER
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.rate_policies import RatePolicy

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


def test_limits_and_proxies_come_from_the_environment(tmp_path: Path) -> None:
    """Each limit by its variable; off is none; the file with the URL wins."""
    file = tmp_path / "url"
    file.write_text("valkeys://app:hunter2@valkey.example:6380/1\n")

    config = ApiConfig.from_env(
        environ=environ(
            ENVIRONMENT="production",
            RATE_LIMIT_READ="600 / 3s",
            RATE_LIMIT_LIST="OFF",
            RATE_LIMIT_WRITE="100/h",
            RATE_LIMIT_URL="redis://other:6379",
            RATE_LIMIT_URL_FILE=str(file),
            TRUSTED_PROXIES="10.0.0.0/8, fd00::/8",
            DRAIN_SECONDS="5",
        )
    )

    limits = config.rate_limits
    assert limits.read == RatePolicy(name="read", quota=600, window=3)
    assert limits.list is None
    assert limits.write == RatePolicy(name="write", quota=100, window=3600)
    assert limits.admin == RatePolicy(name="admin", quota=5, window=1)
    assert config.rate_limit_url == SecretValue("rediss://app:hunter2@valkey.example:6380/1")
    assert [str(network) for network in config.trusted_proxies] == ["10.0.0.0/8", "fd00::/8"]
    assert config.drain_for == 5.0
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    ("raw", "url"),
    [
        ("valkey://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://valkey", "redis://valkey"),
        ("rediss://:p%40ss@[::1]:6379", "rediss://:p%40ss@[::1]:6379"),
    ],
)
def test_a_store_is_named_by_a_url(raw: str, url: str) -> None:
    """Of Valkey or Redis, which speak alike."""
    config = ApiConfig.from_env(environ=environ(RATE_LIMIT_URL=raw))

    assert config.rate_limit_url == SecretValue(url)


@pytest.mark.parametrize(
    "raw",
    [
        "http://valkey:6379",
        "valkey",
        "redis://",
        "redis://:hunter2@",
        "redis://valkey:0",
        "redis://valkey:hunter2",
        "redis://valkey:99999",
        "redis://valkey/hunter2",
        "redis://valkey/0?password=hunter2",
        "redis://valkey/0#hunter2",
        "redis://[valkey",
    ],
)
def test_a_wrong_store_is_refused_and_not_repeated(raw: str, tmp_path: Path) -> None:
    """The refusal names the setting and the form; there may be a password in it."""
    file = tmp_path / "url"
    file.write_text(raw)

    with pytest.raises(ConfigurationError, match=r"^GREENLANG_SECRETS_RATE_LIMIT_URL ") as by_name:
        ApiConfig.from_env(environ=environ(RATE_LIMIT_URL=raw))
    with pytest.raises(ConfigurationError, match=r"content of .*_URL_FILE") as by_file:
        ApiConfig.from_env(environ=environ(RATE_LIMIT_URL_FILE=str(file)))

    for caught in (by_name, by_file):
        assert "hunter2" not in str(caught.value)
        assert "valkey://" in str(caught.value)


def test_in_production_a_password_is_not_in_the_environment() -> None:
    """A file has it; a URL without one may stand in the variable."""
    with pytest.raises(ConfigurationError, match="RATE_LIMIT_URL_FILE"):
        ApiConfig.from_env(
            environ=environ(ENVIRONMENT="production", RATE_LIMIT_URL="redis://:hunter2@valkey")
        )

    plain = ApiConfig.from_env(
        environ=environ(ENVIRONMENT="production", RATE_LIMIT_URL="redis://valkey")
    )
    assert plain.rate_limit_url == SecretValue("redis://valkey")


def test_an_unreadable_file_is_no_url(tmp_path: Path) -> None:
    """Octets that are no text are refused like another text."""
    file = tmp_path / "url"
    file.write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigurationError, match="content of"):
        ApiConfig.from_env(environ=environ(RATE_LIMIT_URL_FILE=str(file)))


@pytest.mark.parametrize(
    "raw", ["0/1s", "10", "10/0s", "-1/s", "1.5/s", "10/d", "10/25h", "9999999/s", "10/s/s", "on"]
)
def test_a_wrong_limit_is_named(raw: str) -> None:
    """The refusal names the setting, what was seen, and what to write."""
    with pytest.raises(ConfigurationError, match=r"_RATE_LIMIT_ROTATE_PATH is .* 400/2s") as caught:
        ApiConfig.from_env(environ=environ(RATE_LIMIT_ROTATE_PATH=raw))

    assert repr(raw) in str(caught.value)
