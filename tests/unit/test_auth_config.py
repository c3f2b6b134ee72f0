from __future__ import annotations

from pathlib import Path

import pytest

from greenlang_secrets.auth_config import AuthConfig
from greenlang_secrets.config import SecretsServiceConfig
from greenlang_secrets.errors import ConfigurationError
from support.canary import shown_in

OURS = "GREENLANG_SECRETS_AUTH_"


def read(**settings: str) -> AuthConfig:
    """The login that these variables, and no others, describe."""
    environ = {OURS + name: value for name, value in settings.items()}
    return SecretsServiceConfig.from_env(environ=environ).auth


def refusal(**settings: str) -> str:
    """Why these variables are refused."""
    with pytest.raises(ConfigurationError) as caught:
        read(**settings)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.write_text("secret")
    return str(path)


def test_approle_takes_a_wrapped_secret_id(file):
    """The file holds a wrapping token instead of the secret id."""
    assert read(METHOD="approle", ROLE="r", WRAPPED_SECRET_ID_FILE=file) == AuthConfig(
        method="approle", role="r", wrapped_secret_id_file=Path(file)
    )


def test_approle_takes_one_secret_id_only(file):
    """Plain and wrapped at once would leave open which one counts."""
    text = refusal(METHOD="approle", ROLE="r", SECRET_ID_FILE=file, WRAPPED_SECRET_ID_FILE=file)

    assert text == (
        f"{OURS}SECRET_ID_FILE and {OURS}WRAPPED_SECRET_ID_FILE are both set; a role has one "
        "secret id, so set one of them."
    )


def test_kubernetes_needs_a_role_and_finds_its_token(file):
    """The pod's own token is the default; another file may be named."""
    assert read(METHOD="kubernetes", ROLE="r") == AuthConfig(method="kubernetes", role="r")
    assert read(METHOD="kubernetes", ROLE="r", JWT_FILE=file, MOUNT="k8s/eu") == AuthConfig(
        method="kubernetes", role="r", jwt_file=Path(file), mount="k8s/eu"
    )


def test_jwt_needs_a_file_and_may_have_a_role(file):
    """The mount has a default role, perhaps; a default JWT there is not."""
    assert read(METHOD="jwt", JWT_FILE=file) == AuthConfig(method="jwt", jwt_file=Path(file))
    assert read(METHOD="jwt", JWT_FILE=file, ROLE="r") == AuthConfig(
        method="jwt", jwt_file=Path(file), role="r"
    )


def test_userpass_is_a_name_and_a_file(file):
    """The password itself is no setting."""
    assert read(METHOD="userpass", USERNAME="service", PASSWORD_FILE=file) == AuthConfig(
        method="userpass", username="service", password_file=Path(file)
    )


def test_aws_needs_nothing_and_takes_region_server_id_and_role():
    """Everything that Vault can find out itself is optional."""
    assert read(METHOD="aws") == AuthConfig(method="aws")
    assert read(METHOD="aws", ROLE="r", AWS_REGION="eu-central-1", AWS_SERVER_ID="v") == AuthConfig(
        method="aws", role="r", aws_region="eu-central-1", aws_server_id="v"
    )


@pytest.mark.parametrize(
    ("settings", "name", "what"),
    [
        ({"METHOD": "approle"}, "ROLE", "the role id"),
        ({"METHOD": "kubernetes"}, "ROLE", "the role's name"),
        ({"METHOD": "jwt", "ROLE": "r"}, "JWT_FILE", "a file with the JWT"),
        ({"METHOD": "userpass"}, "USERNAME", "the user's name"),
        ({"METHOD": "userpass", "USERNAME": "u"}, "PASSWORD_FILE", "a file with the password"),
    ],
)
def test_setting_that_a_method_needs_is_named(settings, name, what):
    """A refusal names the setting and what belongs in it."""
    assert refusal(**settings) == (
        f"{OURS}{name} is not set; for the auth method {settings['METHOD']} it is {what}."
    )


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"METHOD": "approle", "ROLE": "r"}, "WRAPPED_SECRET_ID_FILE"),
        ({"METHOD": "kubernetes", "ROLE": "r"}, "JWT_FILE"),
        ({"METHOD": "jwt"}, "JWT_FILE"),
        ({"METHOD": "userpass", "USERNAME": "u"}, "PASSWORD_FILE"),
    ],
)
def test_missing_file_and_secret_in_its_place_are_refused(settings, name):
    """A file that is not there is named; a text that may be the secret itself is not repeated."""
    secret = "q7Zk0mWv3xTt9RbL5nYc8HsD"

    assert refusal(**settings, **{name: "/not/there"}) == (
        f"{OURS}{name} is '/not/there'; there is no such file."
    )
    assert shown_in(refusal(**settings, **{name: secret}), secret) is None


# ---------------------------------------------------------------- the client certificate


def test_cert_needs_the_client_certificate():
    """The method cert logs in with the transport's certificate."""
    with pytest.raises(ConfigurationError) as caught:
        SecretsServiceConfig(
            addresses=("https://vault:8200",), auth=AuthConfig(method="cert", role="r")
        )

    assert str(caught.value) == (
        "VAULT_CLIENT_CERT and VAULT_CLIENT_KEY are not set; the auth method cert logs in with "
        "that certificate."
    )


def test_cert_needs_tls_at_every_address(file):
    """Where there is no TLS, no certificate is shown."""
    with pytest.raises(ConfigurationError) as caught:
        SecretsServiceConfig(
            addresses=("https://a:8200", "http://b:8200"),
            client_cert=Path(file),
            client_key=Path(file),
            auth=AuthConfig(method="cert"),
        )

    assert str(caught.value) == (
        "VAULT_ADDR is 'http://b:8200'; the auth method cert shows its certificate over "
        "https:// only."
    )


def test_cert_is_read_from_its_variables(file):
    """Certificate and key are Vault's own variables; the role is ours."""
    config = SecretsServiceConfig.from_env(
        environ={
            "VAULT_ADDR": "https://vault:8200",
            "VAULT_CLIENT_CERT": file,
            "VAULT_CLIENT_KEY": file,
            OURS + "METHOD": "cert",
            OURS + "ROLE": "service",
        }
    )

    assert config.auth == AuthConfig(method="cert", role="service")
