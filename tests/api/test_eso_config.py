"""How the watch of ExternalSecrets is configured, in a pod and elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets_api import eso_config
from greenlang_secrets_api.eso_config import EsoConfig

PREFIX = "GREENLANG_SECRETS_"
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def configured(kubernetes: dict[str, str] | None = None, **ours: str) -> EsoConfig:
    return EsoConfig.from_env(
        environ={**{PREFIX + name: value for name, value in ours.items()}, **(kubernetes or {})}
    )


@pytest.fixture
def service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Kubernetes mounts into a pod."""
    for name in ("token", "ca.crt"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(eso_config, "SERVICE_ACCOUNT", tmp_path)
    return tmp_path


def test_it_is_off() -> None:
    """Nothing is watched unless somebody says so, in a pod or not."""
    assert configured() == configured(POD) == EsoConfig()
    assert not EsoConfig().enabled


def test_in_a_pod_the_switch_is_enough(service_account: Path) -> None:
    """Address, token and authority are where Kubernetes has them."""
    assert configured(POD, ESO_WATCH="true") == EsoConfig(
        enabled=True,
        api_url="https://10.0.0.1:443",
        token_file=service_account / "token",
        ca_file=service_account / "ca.crt",
    )


def test_an_address_of_ipv6_is_put_in_brackets(service_account: Path) -> None:
    """As a URL needs it."""
    pod = {**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}

    assert configured(pod, ESO_WATCH="true").api_url == "https://[fd00::1]:443"


def test_what_is_named_wins(service_account: Path, tmp_path: Path) -> None:
    """Files of one's own are used in a pod too, and with a URL no mounted one is."""
    named = tmp_path / "named"
    named.touch()

    in_pod = configured(POD, ESO_WATCH="true", ESO_TOKEN_FILE=str(named), ESO_CA_FILE=str(named))
    elsewhere = configured(POD, ESO_WATCH="true", ESO_API_URL="https://api.example:6443")

    assert (in_pod.token_file, in_pod.ca_file) == (named, named)
    assert (elsewhere.token_file, elsewhere.ca_file) == (None, None)


def test_the_rest_is_read() -> None:
    """Namespaces once each, in their order, and how many secrets."""
    config = configured(
        ESO_WATCH="true",
        ESO_API_URL="http://127.0.0.1:8001",
        ESO_NAMESPACES="shop, billing,,shop",
        ESO_MAX_SECRETS="50",
    )

    assert config.namespaces == ("shop", "billing")
    assert config.max_secrets == 50


def test_without_an_api_server_it_says_what_to_set() -> None:
    """Outside a pod nobody knows where it is."""
    with pytest.raises(ConfigurationError, match=r"set GREENLANG_SECRETS_ESO_API_URL to"):
        configured(ESO_WATCH="true")


def test_without_a_mounted_token_it_says_what_to_set(service_account: Path) -> None:
    """A pod may be told not to have one."""
    (service_account / "token").unlink()

    with pytest.raises(ConfigurationError, match="automountServiceAccountToken"):
        configured(POD, ESO_WATCH="true")


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example",
        "api.example",
        "ftp://api.example",
        "https://user:hunter2@api.example",
        "https://api.example?x=hunter2@",
        "https://[",
        "https://api.example:0",
        "",
    ],
)
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    """A token is sent to it: over TLS, or to this machine; a password in it is not shown."""
    with pytest.raises(ConfigurationError, match=r"GREENLANG_SECRETS_ESO_API_URL") as refusal:
        EsoConfig(enabled=True, api_url=url)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("namespace", ["A", "a/b", "-a", "a" * 64, "a b", ".."])
def test_a_namespace_that_cannot_be_is_refused(namespace: str) -> None:
    """It becomes part of an address."""
    with pytest.raises(ConfigurationError, match="names of namespaces"):
        configured(ESO_WATCH="true", ESO_API_URL="https://api.example", ESO_NAMESPACES=namespace)


def test_nothing_to_watch_is_refused() -> None:
    """No secret at all is no watch."""
    with pytest.raises(ConfigurationError, match="GREENLANG_SECRETS_ESO_MAX_SECRETS is 0"):
        EsoConfig(max_secrets=0)
    with pytest.raises(ConfigurationError, match="at least 1"):
        configured(ESO_WATCH="true", ESO_API_URL="https://a", ESO_MAX_SECRETS="0.5")
