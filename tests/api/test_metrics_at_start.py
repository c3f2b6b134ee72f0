"""A scrape of the service: what is there from its start, and the form it has."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from api.conftest import service_config_for
from api.live import Api, running
from greenlang_secrets.config import AuthConfig
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets_api.config import ApiConfig
from observability.tools import tool

SEVEN = {
    "gl_secrets_operations_total": {"operation", "secret_type", "result"},
    "gl_secrets_operation_duration_seconds_bucket": {"operation", "le"},
    "gl_vault_auth_renewals_total": {"status"},
    "gl_vault_lease_ttl_seconds": {"secret_type"},
    "gl_secrets_cache_hits_total": set(),
    "gl_secrets_cache_misses_total": set(),
    "gl_secrets_rotation_total": {"secret_type", "status"},
}
"""The eighth is the watcher's of External Secrets, where that is on."""


def labels_of(text: str) -> dict[str, set[str]]:
    """The labels of each series' name."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, rest = line.partition("{")
            labels = re.findall(r'(\w+)="', rest)
            found.setdefault(name.partition(" ")[0], set()).update(labels)
    return found


@pytest.fixture
def new_api(vault_server: Any, mount: str, api_config: ApiConfig, watching: None) -> Iterator[Api]:
    """A service that nobody has asked anything yet, whose token has an end."""

    async def token() -> str:
        status, body = await vault_server.request(
            "POST", "auth/token/create", {"ttl": "1h", "policies": ["root"]}
        )
        assert status == 200
        return str(body["auth"]["client_token"])

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        auth = AuthConfig(token=SecretValue(runner.run(token())))
    config = replace(service_config_for(vault_server, mount), auth=auth)
    with running(config, api_config) as api:
        yield api


async def test_seven_metrics_are_there_from_the_start(new_api: Api) -> None:
    """With exactly these labels, before anybody has used the service: an alert on the first event
    needs a sample before it.
    """
    text = (await new_api.ask("GET", "/metrics")).body.decode()

    found = labels_of(text)
    assert {name: found.get(name) for name in SEVEN} == SEVEN
    assert re.search(
        r'^gl_vault_lease_ttl_seconds{secret_type="service_token"} \d', text, re.MULTILINE
    )
    assert re.search(r'^gl_vault_auth_renewals_total{status="failure"} ', text, re.MULTILINE)


async def test_nodes_are_there_from_the_start(new_api: Api, vault_server: Any) -> None:
    """The service asks Vault's nodes how they are, with nobody else asking."""
    node = vault_server.addr.partition("//")[2]
    async with asyncio.timeout(10):
        while True:
            text = (await new_api.ask("GET", "/metrics")).body.decode()
            if (
                f'gl_vault_up{{node="{node}"}} 1.0' in text
                and "gl_vault_canary_success 1.0" in text
            ):
                break
            await asyncio.sleep(0.05)

    assert f'gl_vault_node_state{{node="{node}",state="active"}} 1.0' in text
    assert f'gl_vault_circuit_state{{node="{node}",state="closed"}} 1.0' in text


async def test_every_family_has_a_help_text(new_api: Api) -> None:
    """Whoever meets a name is told what it means."""
    text = (await new_api.ask("GET", "/metrics")).body.decode()

    types = set(re.findall(r"^# TYPE (gl_\w+)", text, re.MULTILINE))
    helped = set(re.findall(r"^# HELP (gl_\w+) \S", text, re.MULTILINE))
    assert types - helped == set()
    assert len(types) > 20


async def test_no_name_of_a_scope_is_in_a_scrape(new_api: Api) -> None:
    """All series are this library's; only the name and version of the service are told, once."""
    text = (await new_api.ask("GET", "/metrics")).body.decode()

    assert "otel_scope" not in text
    assert len(re.findall(r"^target_info{", text, re.MULTILINE)) == 1


def linted(text: bytes) -> tuple[int, str]:
    """What `promtool check metrics` says of an exposition."""
    done = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=text, capture_output=True, check=False
    )
    return done.returncode, done.stderr.decode()


async def test_promtool_finds_no_fault_in_a_scrape(new_api: Api) -> None:
    """Names, types and units are as Prometheus wants them."""
    scrape = (await new_api.ask("GET", "/metrics")).body

    assert await asyncio.to_thread(linted, scrape) == (0, "")


async def test_promtool_finds_a_counter_without_its_suffix(new_api: Api) -> None:
    """The control: one line more, of a counter that is not named as one."""
    scrape = (await new_api.ask("GET", "/metrics")).body
    wrong = b"# HELP gl_wrong What is wrong.\n# TYPE gl_wrong counter\ngl_wrong 1\n"

    code, said = await asyncio.to_thread(linted, scrape + wrong)

    assert code == 3
    assert "gl_wrong" in said
