from __future__ import annotations

import dataclasses
import traceback
from pathlib import Path

import pytest

from greenlang_secrets.config import (
    AuthConfig,
    CacheConfig,
    Environment,
    SecretsServiceConfig,
    Settings,
)
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.sensitive import SecretValue
from support.canary import new_canary, shown_in

OURS = "GREENLANG_SECRETS_"
LEAST = {"VAULT_TOKEN": "t"}
"""What must be set in development."""


def read(environment: str | None = None, /, **environ: str) -> SecretsServiceConfig:
    """The configuration of these variables, and a token."""
    return SecretsServiceConfig.from_env(environment, environ={**LEAST, **environ})


def refusal(environment: str | None = None, /, **environ: str) -> str:
    """Why these variables, and no others, are refused."""
    with pytest.raises(ConfigurationError) as caught:
        SecretsServiceConfig.from_env(environment, environ=environ)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "file.pem"
    path.write_text("PEM")
    return str(path)


# ---------------------------------------------------------------- each setting of ours

# variable, attribute, default, what is set, what comes of it
SETTINGS = [
    ("ENVIRONMENT", "environment", Environment.DEVELOPMENT, "staging", Environment.STAGING),
    ("KV_MOUNT", "kv_mount", "secret", "team/kv", "team/kv"),
    ("TENANT_TOKEN_ROLE", "tenant_token_role", "tenant", "customer", "customer"),
    ("TENANT_TOKEN_ROLE", "tenant_token_role", "tenant", "none", None),
    ("REQUEST_TIMEOUT_SECONDS", "request_timeout", 5.0, "2.5", 2.5),
    ("CONNECT_TIMEOUT_SECONDS", "connect_timeout", 1.0, "0.25", 0.25),
    ("SKIP_UNCHANGED", "skip_unchanged", True, "false", False),
    ("SKIP_UNCHANGED", "skip_unchanged", True, "TRUE", True),
    ("CACHE_FRESH_SECONDS", "cache.fresh_for", 30.0, "60", 60.0),
    ("CACHE_FRESH_SECONDS", "cache.fresh_for", 30.0, "0", 0.0),
    ("CACHE_STALE_SECONDS", "cache.stale_for", 300.0, "0", 0.0),
    ("CACHE_MAX_ENTRIES", "cache.max_entries", 100_000, "10", 10),
    ("CACHE_MAX_BYTES", "cache.max_bytes", 268_435_456, "1048576", 1_048_576),
    ("CACHE_MISSING_SECONDS", "cache.missing_for", 1.0, "0.5", 0.5),
    ("CACHE_DENIED_SECONDS", "cache.denied_for", 5.0, "0", 0.0),
    ("AUTH_METHOD", "auth.method", "token", "token", "token"),
    ("AUTH_MOUNT", "auth.mount", None, "team-token", "team-token"),
]


def attribute(config: object, name: str) -> object:
    for part in name.split("."):
        config = getattr(config, part)
    return config


@pytest.mark.parametrize(("variable", "name", "default", "raw", "expected"), SETTINGS)
def test_setting_that_is_unset_or_blank_has_its_default(variable, name, default, raw, expected):
    """Without the variable, or with a blank one, the documented default holds."""
    environ: dict[str, str] = {} if variable == "ENVIRONMENT" else {OURS + "ENVIRONMENT": "dev"}

    assert attribute(read(**environ), name) == default
    assert attribute(read(**environ, **{OURS + variable: ""}), name) == default
    assert attribute(read(**environ, **{OURS + variable: "  "}), name) == default


@pytest.mark.parametrize(("variable", "name", "default", "raw", "expected"), SETTINGS)
def test_setting_is_read_from_its_variable(variable, name, default, raw, expected):
    """The variable decides, whatever blanks stand around its text."""
    environ = {"VAULT_ADDR": "https://vault:8200"}

    assert attribute(read(**environ, **{OURS + variable: raw}), name) == expected
    assert attribute(read(**environ, **{OURS + variable: f" {raw}\n"}), name) == expected


NUMBER = "use a number of at least {}."

REFUSED = [
    ("ENVIRONMENT", "live", "use development, staging or production."),
    ("ENVIRONMENT", "Production", "use development, staging or production."),
    ("REQUEST_TIMEOUT_SECONDS", "0", NUMBER.format("0.001")),
    ("REQUEST_TIMEOUT_SECONDS", "-1", NUMBER.format("0.001")),
    ("REQUEST_TIMEOUT_SECONDS", "five", NUMBER.format("0.001")),
    ("CONNECT_TIMEOUT_SECONDS", "0", NUMBER.format("0.001")),
    ("CONNECT_TIMEOUT_SECONDS", "1s", NUMBER.format("0.001")),
    ("SKIP_UNCHANGED", "yes", "use true or false."),
    ("SKIP_UNCHANGED", "0", "use true or false."),
    ("CACHE_FRESH_SECONDS", "-1", NUMBER.format("0")),
    ("CACHE_FRESH_SECONDS", "nan", NUMBER.format("0")),
    ("CACHE_FRESH_SECONDS", "inf", NUMBER.format("0")),
    ("CACHE_STALE_SECONDS", "-0.5", NUMBER.format("0")),
    ("CACHE_STALE_SECONDS", "5 min", NUMBER.format("0")),
    ("CACHE_MAX_ENTRIES", "0", NUMBER.format("1")),
    ("CACHE_MAX_ENTRIES", "many", NUMBER.format("1")),
    ("CACHE_MAX_BYTES", "0", NUMBER.format("1")),
    ("CACHE_MAX_BYTES", "256MiB", NUMBER.format("1")),
    ("CACHE_MISSING_SECONDS", "-1", NUMBER.format("0")),
    ("CACHE_DENIED_SECONDS", "1,5", NUMBER.format("0")),
    ("AUTH_METHOD", "ldap", "use token, approle, kubernetes, jwt, cert, userpass or aws."),
    ("AUTH_METHOD", "Token", "use token, approle, kubernetes, jwt, cert, userpass or aws."),
]


@pytest.mark.parametrize(("variable", "raw", "fix"), REFUSED)
def test_wrong_setting_is_refused_with_the_fix(variable, raw, fix):
    """A refusal names the setting, what was seen, and what to write instead."""
    text = refusal(**LEAST, **{OURS + variable: raw})

    assert text == f"{OURS}{variable} is {raw!r}; {fix}"


def test_real_environment_is_read_by_default(monkeypatch):
    """Without a mapping the process's own variables are read."""
    monkeypatch.setenv("VAULT_ADDR", "https://vault.example:8200")
    monkeypatch.setenv("VAULT_TOKEN", "t")
    monkeypatch.setenv("GREENLANG_SECRETS_KV_MOUNT", "kv")
    monkeypatch.delenv("GREENLANG_SECRETS_ENVIRONMENT", raising=False)

    config = SecretsServiceConfig.from_env()

    assert config.addresses == ("https://vault.example:8200",)
    assert config.kv_mount == "kv"


# ---------------------------------------------------------------- Vault's own settings


def test_vault_settings_have_defaults_in_development():
    """On a developer's machine Vault is the one of `vault server -dev`."""
    config = read()

    assert config.addresses == ("http://127.0.0.1:8200",)
    assert config.namespace is None
    assert config.ca_cert is None
    assert config.client_cert is None
    assert config.client_key is None


@pytest.mark.parametrize("prefix", ["VAULT_", "BAO_"])
def test_vault_settings_are_read_as_vault_reads_them(prefix, file):
    """Vault's variables and OpenBao's twins of them are both understood."""
    config = SecretsServiceConfig.from_env(
        environ={
            prefix + "ADDR": "https://vault:8200",
            prefix + "TOKEN": "the token",
            prefix + "NAMESPACE": "team/a",
            prefix + "CACERT": file,
            prefix + "CLIENT_CERT": file,
            prefix + "CLIENT_KEY": file,
        }
    )

    assert config.addresses == ("https://vault:8200",)
    assert config.auth.token == SecretValue("the token")
    assert config.namespace == "team/a"
    assert config.ca_cert == config.client_cert == config.client_key == Path(file)


@pytest.mark.parametrize("prefix", ["VAULT_", "BAO_"])
def test_token_file_is_read_as_vault_reads_it(prefix, file):
    """The file with the token has both spellings too."""
    config = SecretsServiceConfig.from_env(environ={prefix + "TOKEN_FILE": file})

    assert config.auth == AuthConfig(method="token", token_file=Path(file))


def test_vaults_spelling_goes_before_openbaos():
    """Where both twins are set, Vault's counts; an empty one does not."""
    both = {"VAULT_NAMESPACE": "vault", "BAO_NAMESPACE": "bao"}

    assert read(**both).namespace == "vault"
    assert read(**{**both, "VAULT_NAMESPACE": " "}).namespace == "bao"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("http://127.0.0.1:8200", ("http://127.0.0.1:8200",)),
        ("https://vault", ("https://vault",)),
        ("https://vault:8200/", ("https://vault:8200",)),
        ("https://[::1]:8200", ("https://[::1]:8200",)),
        ("HTTPS://vault:8200", ("HTTPS://vault:8200",)),
        (
            "https://a:8200,https://b:8200 , https://c:8200/,",
            ("https://a:8200", "https://b:8200", "https://c:8200"),
        ),
    ],
)
def test_address_may_be_a_list(raw, expected):
    """Several addresses are separated by commas; a final slash does not matter."""
    assert read(VAULT_ADDR=raw).addresses == expected


@pytest.mark.parametrize(
    "raw",
    [
        "vault",
        "vault:8200",
        "127.0.0.1:8200",
        "ftp://vault:8200",
        "unix:///run/vault.sock",
        "https://",
        "https://:8200",
        "https:vault:8200",
        "https://vault:0",
        "https://vault:65536",
        "https://vault:port",
        "https://[::1",
        "https://vault:8200/v1",
        "https://vault:8200/ui/",
        "https://vault:8200?x=1",
        "https://vault:8200#x",
    ],
)
def test_wrong_address_is_refused_with_the_fix(raw):
    """What is no base URL is shown, with the form it should have."""
    seen = raw.rstrip("/")

    assert refusal(**LEAST, VAULT_ADDR=raw) == (f"VAULT_ADDR is {seen!r}; use https://host:port.")


@pytest.mark.parametrize("raw", ["https://vault:8200,nonsense", "nonsense,https://vault:8200"])
def test_each_address_of_a_list_is_checked(raw):
    """One wrong address among good ones is refused."""
    assert refusal(**LEAST, VAULT_ADDR=raw) == "VAULT_ADDR is 'nonsense'; use https://host:port."


@pytest.mark.parametrize("raw", [",", " , ,"])
def test_list_of_no_address_is_refused(raw):
    """A list with nothing in it is as good as an empty setting."""
    assert refusal(**LEAST, VAULT_ADDR=raw) == ("VAULT_ADDR is empty; set it to Vault's base URL.")


@pytest.mark.parametrize("name", ["CACERT", "CLIENT_CERT", "CLIENT_KEY", "TOKEN_FILE"])
def test_missing_file_is_refused(name, tmp_path):
    """A file that is not there is named, with its setting."""
    raw = str(tmp_path / "missing")

    assert refusal(**LEAST, **{f"VAULT_{name}": raw}) == (
        f"VAULT_{name} is {raw!r}; there is no such file."
    )


def test_folder_is_no_file(tmp_path):
    """A folder where a file should be is refused as well."""
    assert refusal(**LEAST, VAULT_CACERT=str(tmp_path)) == (
        f"VAULT_CACERT is {str(tmp_path)!r}; there is no such file."
    )


@pytest.mark.parametrize("alone", ["VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY"])
def test_client_certificate_and_key_belong_together(alone, file):
    """One without the other would quietly mean: no client certificate."""
    assert refusal(**LEAST, **{alone: file}) == (
        "VAULT_CLIENT_CERT and VAULT_CLIENT_KEY belong together; set both or neither."
    )


# ---------------------------------------------------------------- logging in


def test_token_file_goes_before_the_token(file):
    """With both, the file counts: it is read anew at each login."""
    assert read(VAULT_TOKEN_FILE=file).auth == AuthConfig(method="token", token_file=Path(file))


def test_neither_token_nor_file_is_refused():
    """Without any way to log in the service does not start."""
    assert refusal() == (
        "Neither VAULT_TOKEN nor VAULT_TOKEN_FILE is set; set one, or set "
        "GREENLANG_SECRETS_AUTH_METHOD."
    )


def test_approle_is_read_from_its_variables(file):
    """The role id comes from the environment, the secret id from a file."""
    config = SecretsServiceConfig.from_env(
        environ={
            OURS + "AUTH_METHOD": "approle",
            OURS + "AUTH_ROLE": "role-id",
            OURS + "AUTH_MOUNT": "team-approle",
            OURS + "AUTH_SECRET_ID_FILE": file,
        }
    )

    assert config.auth == AuthConfig(
        method="approle", mount="team-approle", role="role-id", secret_id_file=Path(file)
    )


def test_approle_may_do_without_a_secret_id():
    """A role may be bound by other means, such as the caller's address."""
    config = SecretsServiceConfig.from_env(
        environ={OURS + "AUTH_METHOD": "approle", OURS + "AUTH_ROLE": "role-id"}
    )

    assert config.auth.secret_id_file is None


def test_approle_takes_no_token():
    """A token that happens to be set is not kept where it has no use."""
    config = read(**{OURS + "AUTH_METHOD": "approle", OURS + "AUTH_ROLE": "role-id"})

    assert config.auth.token is None


def test_approle_without_a_role_is_refused():
    """The role id is what approle cannot do without."""
    assert refusal(**{OURS + "AUTH_METHOD": "approle"}) == (
        "GREENLANG_SECRETS_AUTH_ROLE is not set; for the auth method approle it is the role id."
    )


def test_missing_secret_id_file_is_refused(tmp_path):
    """A secret id's file that is not there is named, with its setting."""
    raw = str(tmp_path / "missing")

    text = refusal(
        **{
            OURS + "AUTH_METHOD": "approle",
            OURS + "AUTH_ROLE": "role-id",
            OURS + "AUTH_SECRET_ID_FILE": raw,
        }
    )

    assert text == f"GREENLANG_SECRETS_AUTH_SECRET_ID_FILE is {raw!r}; there is no such file."


# ---------------------------------------------------------------- staging and production


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_address_has_no_default_outside_development(environment):
    """A forgotten address is an error, not a developer's address."""
    assert refusal(environment, **LEAST) == (
        f"VAULT_ADDR is not set; in {environment} it must name Vault's base URL "
        "(several are separated by commas)."
    )


def test_production_speaks_tls_only(file):
    """An http address is refused in production, even one of several."""
    text = refusal("production", VAULT_ADDR="https://a:8200,http://b:8200", VAULT_TOKEN_FILE=file)

    assert text == "VAULT_ADDR is 'http://b:8200'; in production it must begin with https://."


@pytest.mark.parametrize("environment", ["development", "staging"])
def test_http_is_allowed_before_production(environment):
    """Without TLS one may develop and stage."""
    config = read(environment, VAULT_ADDR="http://vault:8200")

    assert config.addresses == ("http://vault:8200",)


@pytest.mark.parametrize("variable", ["VAULT_TOKEN", "BAO_TOKEN"])
def test_production_takes_no_token_from_the_environment(variable, file):
    """In production secrets come from files: a token in a variable is refused, file or not."""
    environ = {"VAULT_ADDR": "https://vault:8200", variable: "t"}
    expected = (
        "VAULT_TOKEN is set; in production a secret is never read from the environment. "
        "Use VAULT_TOKEN_FILE, or another auth method."
    )

    assert refusal("production", **environ) == expected
    assert refusal("production", **environ, VAULT_TOKEN_FILE=file) == expected


def test_production_takes_a_token_file(file):
    """A token in a file is fine in production."""
    config = SecretsServiceConfig.from_env(
        "production", environ={"VAULT_ADDR": "https://vault:8200", "VAULT_TOKEN_FILE": file}
    )

    assert config.environment is Environment.PRODUCTION
    assert config.auth.token_file == Path(file)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("development", Environment.DEVELOPMENT),
        ("dev", Environment.DEVELOPMENT),
        ("staging", Environment.STAGING),
        ("stage", Environment.STAGING),
        ("production", Environment.PRODUCTION),
        ("prod", Environment.PRODUCTION),
    ],
)
def test_environment_has_a_short_name(raw, expected):
    """The three environments have the names people use."""
    assert Environment.parse(raw) is expected


@pytest.mark.parametrize("raw", ["", "DEV", "production ", "test"])
def test_other_environment_is_refused(raw):
    """No other name is guessed at: what is refused depends on it."""
    with pytest.raises(ConfigurationError) as caught:
        Environment.parse(raw)

    assert str(caught.value) == (
        f"GREENLANG_SECRETS_ENVIRONMENT is {raw!r}; use development, staging or production."
    )


def test_argument_goes_before_the_variable():
    """The environment named in the call overrides the variable."""
    config = read("dev", GREENLANG_SECRETS_ENVIRONMENT="production")

    assert config.environment is Environment.DEVELOPMENT


HOUR = 3600
DAY = 86_400


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ("development", (1, 60, 7 * DAY, 24 * HOUR, 7 * DAY)),
        ("staging", (3, 30, 1 * DAY, 12 * HOUR, 30 * DAY)),
        ("production", (5, 15, 12 * HOUR, 6 * HOUR, 365 * DAY)),
    ],
)
def test_environment_has_its_numbers(environment, expected):
    """Replicas, ESO refresh, rotation interval, lease TTL and audit retention (DESIGN, 4.6)."""
    assert dataclasses.astuple(Environment(environment).defaults) == expected


# ---------------------------------------------------------------- made in code


def test_configuration_made_in_code_is_checked_alike():
    """What variables may not say, code may not say either."""
    with pytest.raises(ConfigurationError, match="VAULT_ADDR is empty"):
        SecretsServiceConfig(addresses=())
    with pytest.raises(ConfigurationError, match=r"VAULT_ADDR is 'vault'; use https://host:port\."):
        SecretsServiceConfig(addresses=("vault",))
    with pytest.raises(ConfigurationError, match="in production it must begin with https://"):
        SecretsServiceConfig(environment=Environment.PRODUCTION)
    with pytest.raises(ConfigurationError, match="belong together"):
        SecretsServiceConfig(client_cert=Path("client.pem"))


@pytest.mark.parametrize("field", ["request_timeout", "connect_timeout"])
@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_timeout_that_is_no_time_is_refused(field, seconds):
    """A timeout is greater than 0; a NaN is not."""
    with pytest.raises(ConfigurationError, match=r"Timeouts are seconds greater than 0\."):
        SecretsServiceConfig(**{field: seconds})


@pytest.mark.parametrize(
    "setting",
    [
        {"fresh_for": -1.0},
        {"stale_for": -1.0},
        {"fresh_for": float("nan")},
        {"stale_for": float("nan")},
        {"missing_for": -1.0},
        {"denied_for": -1.0},
        {"max_entries": 0},
        {"max_bytes": 0},
    ],
    ids=str,
)
def test_cache_bound_that_is_none_is_refused(setting):
    """Seconds of the cache are 0 or greater, its bounds 1 or greater."""
    with pytest.raises(ConfigurationError, match="The cache's"):
        CacheConfig(**setting)


@pytest.mark.parametrize("seconds", [0.0, 86_400.0])
def test_cache_may_keep_nothing_or_for_long(seconds):
    """0 switches freshness and staleness off."""
    config = CacheConfig(
        fresh_for=seconds, stale_for=seconds, missing_for=seconds, denied_for=seconds
    )

    assert config.fresh_for == seconds


# ---------------------------------------------------------------- what is not shown


def shown(error: BaseException) -> str:
    """What a log with a traceback shows of an error."""
    return "".join(traceback.format_exception(error))


def refused(**environ: str) -> ConfigurationError:
    environment = environ.pop("environment", None)
    with pytest.raises(ConfigurationError) as caught:
        SecretsServiceConfig.from_env(environment, environ=environ)
    return caught.value


@pytest.mark.parametrize(
    "around",
    [
        {"environment": "production", "VAULT_ADDR": "https://vault:8200"},
        {"VAULT_ADDR": "nonsense"},
        {"VAULT_CACERT": "/missing"},
        {"GREENLANG_SECRETS_AUTH_METHOD": "nonsense"},
        {"GREENLANG_SECRETS_CACHE_MAX_BYTES": "nonsense"},
        {"GREENLANG_SECRETS_ENVIRONMENT": "nonsense"},
    ],
    ids="+".join,
)
def test_token_is_in_no_refusal(around):
    """Whatever is refused, the token that was set beside it is not shown."""
    token = new_canary()

    assert shown_in(shown(refused(VAULT_TOKEN=token, **around)), token) is None


def test_configuration_shows_no_token():
    """A configuration may be printed: its token is masked."""
    token = new_canary()

    config = read(VAULT_TOKEN=token)

    assert config.auth.token is not None
    assert shown_in(repr(config) + str(config), token) is None


def test_settings_show_no_variable():
    """The reader of settings holds the whole environment, and shows none of it."""
    token = new_canary()

    assert shown_in(repr(Settings({"VAULT_TOKEN": token})), token) is None


@pytest.mark.parametrize(
    "address",
    [
        "https://root:{}@vault:8200",
        "https://{}@vault:8200",
        "https://{}:@vault:8200",
        "https://root:{}@vault:8200/v1",
        "https://root:{}@vault:port",
        "https://root:{}@[::1",
        "https://root:x@{}@vault:8200",
        "ftp://root:{}@vault",
        "root:{}@vault:8200",
        "{}@vault:8200",
        "//root:{}@vault:8200",
        "https:/root:{}@vault:8200",
        "https:root:{}@vault:8200",
        "https://root:{},more@vault:8200",
        "https://root:more,{}@vault:8200",
        "https://a:8200,https://root:{}@vault:8200",
    ],
)
def test_password_in_an_address_is_not_repeated(address):
    """A user and password typed into an address are refused and not shown."""
    password = "correct-horse-battery"

    error = refused(**LEAST, VAULT_ADDR=address.format(password))

    assert "VAULT_ADDR" in str(error)
    assert shown_in(str(error), password) is None


def test_address_with_a_password_is_refused_with_the_fix():
    """The address is shown without its user and password, with what to do."""
    assert str(refused(**LEAST, VAULT_ADDR="https://root:hunter2@vault:8200")) == (
        "VAULT_ADDR is 'https://vault:8200' with a user or password; "
        "leave them out, Vault takes a token."
    )


@pytest.mark.parametrize(
    "environ",
    [
        {"VAULT_TOKEN_FILE": "hvs.{}"},
        {"VAULT_TOKEN": "t", "VAULT_CLIENT_KEY": "-----BEGIN PRIVATE KEY-----\n{}\n"},
        {
            "GREENLANG_SECRETS_AUTH_METHOD": "approle",
            "GREENLANG_SECRETS_AUTH_ROLE": "role-id",
            "GREENLANG_SECRETS_AUTH_SECRET_ID_FILE": "{}",
        },
    ],
    ids="+".join,
)
def test_secret_in_place_of_its_file_is_not_repeated(environ):
    """Who puts the secret itself where its file's name belongs does not find it in a log."""
    secret = "q7Zk0mWv3xTt9RbL5nYc8HsD"

    error = refused(**{name: value.format(secret) for name, value in environ.items()})

    assert shown_in(str(error), secret) is None


@pytest.mark.parametrize("name", ["VAULT_CACERT", "VAULT_TOKEN_FILE"])
def test_name_too_long_for_a_file_is_refused(name):
    """A whole PEM in place of its file's name is a wrong setting, not an OSError."""
    error = refused(VAULT_TOKEN="t", **{name: "x" * 5000})

    assert str(error).startswith(f"{name} is ")
