"""`Idempotency-Key`: a request that is sent again gets the answer it got."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

import pytest

from api.conftest import service_config_for
from api.live import running
from greenlang_secrets.catalogue import CatalogueConfig
from greenlang_secrets.testing import Fault

CREATE = {"data": {"k": "v"}}


@pytest.fixture
def key():
    return {"Idempotency-Key": secrets.token_hex(8)}


async def test_a_repetition_gets_the_first_answer(api, issuer, path, key):
    """Status, headers and body are those of the first; nothing is written again."""
    token = issuer.tenant("acme")

    first = await api.ask("POST", path, token, json=CREATE, headers=key)
    again = await api.ask("POST", path, token, json=CREATE, headers=key)

    assert (first.status, first.headers.get("Idempotent-Replay")) == (201, None)
    assert (again.status, again.headers["Idempotent-Replay"]) == (201, "true")
    assert again.body == first.body
    for name in ("ETag", "Location", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    history = (await api.ask("GET", f"{path}/versions", token)).json
    assert history["current_version"] == 1


async def test_without_the_key_a_repetition_is_a_conflict(api, issuer, path):
    """The control: what the key spares its sender."""
    token = issuer.tenant("acme")

    await api.ask("POST", path, token, json=CREATE)
    again = await api.ask("POST", path, token, json=CREATE)

    assert (again.status, again.code) == (409, "secret_exists")


@pytest.mark.parametrize("change", ["value", "key", "path", "metadata"])
async def test_another_request_with_the_same_key_is_refused(api, issuer, path, key, change):
    """Whatever is other than before: the key is used up for it."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json=CREATE, headers=key)
    other = {
        "value": {"data": {"k": "w"}},
        "key": {"data": {"l": "v"}},
        "path": CREATE,
        "metadata": {**CREATE, "custom_metadata": {"owner": "x"}},
    }[change]

    where = f"{path}-b" if change == "path" else path
    reply = await api.ask("POST", where, token, json=other, headers=key)

    assert (reply.status, reply.code) == (422, "idempotency_mismatch")


async def test_the_order_of_members_does_not_matter(api, issuer, path, key):
    """The same document written another way is the same request."""
    token = issuer.tenant("acme")
    sent = {**key, "Content-Type": "application/json"}

    await api.ask("POST", path, token, body=b'{"data":{"a":"1","b":"2"}}', headers=sent)
    again = await api.ask(
        "POST", path, token, body=b'{ "data": {"b": "2", "a": "1"} }', headers=sent
    )

    assert again.headers["Idempotent-Replay"] == "true"


async def test_a_key_is_its_principals_own(api, issuer, path, key):
    """Neither another principal, another tenant, nor the platform in the tenant meets it."""
    others = [
        issuer.tenant("acme", sub="other"),
        issuer.tenant("globex"),
        issuer.platform(sub="somebody"),
    ]
    await api.ask("POST", path, issuer.tenant("acme"), json=CREATE, headers=key)

    replies = [
        await api.ask("POST", path, others[0], json=CREATE, headers=key),
        await api.ask("POST", path, others[1], json=CREATE, headers=key),
        await api.ask("POST", f"{path}?tenant=acme", others[2], json=CREATE, headers=key),
    ]

    assert [reply.status for reply in replies] == [409, 201, 409]
    assert [reply.code for reply in replies[::2]] == ["secret_exists", "secret_exists"]


async def test_what_failed_may_be_sent_again(api, issuer, path, key):
    """An answer that is no success is not kept."""
    token = issuer.tenant("acme")
    await api.ask("POST", path, token, json=CREATE)
    refused = await api.ask("POST", path, token, json=CREATE, headers=key)
    await api.ask("DELETE", path, token)

    again = await api.ask("POST", path, token, json=CREATE, headers=key)

    assert (refused.status, again.status, again.json["version"]) == (409, 201, 2)


@pytest.fixture
def fronted_config(vault_server, vault_fault_proxy, mount, api_config, tmp_path):
    """Settings of a service behind the fault proxy, whose keys are soon taken over."""
    catalogue = CatalogueConfig.of(f"sqlite:///{tmp_path}/catalogue.sqlite3")
    return (
        replace(
            service_config_for(vault_server, mount),
            addresses=(vault_fault_proxy.addr,),
            write_timeout=1.0,
        ),
        replace(api_config, catalogue=replace(catalogue, lease=1.0, timeout=10.0)),
    )


async def test_an_unknown_outcome_is_found_out(vault_fault_proxy, fronted_config, issuer, key):
    """A create whose answer never came is said to be under way, and then found to be done."""
    config, quick = fronted_config
    path = f"t/{secrets.token_hex(6)}"
    token, data = issuer.tenant("acme", "secrets:write"), f"{config.kv_mount}/data/"
    with running(config, quick) as own:
        await own.ask("POST", f"{path}-first", token, json=CREATE)  # it is all set up
        vault_fault_proxy.inject(Fault.DROP_RESPONSE, method="POST", path_prefix=data)
        vault_fault_proxy.inject(Fault.RESET, method="GET", path_prefix=data)
        lost = await own.ask("POST", path, token, json=CREATE, headers=key)
        vault_fault_proxy.clear()
        again = await own.ask("POST", path, token, json=CREATE, headers=key)
        async with asyncio.timeout(20):
            while again.status == 409 and again.code == "idempotency_in_progress":
                await asyncio.sleep(0.1)
                again = await own.ask("POST", path, token, json=CREATE, headers=key)
        other = await own.ask("POST", path, token, json=CREATE)

    assert (lost.status, lost.code) == (504, "outcome_unknown")
    assert (again.status, again.json["version"]) == (201, 1)
    assert (other.status, other.code) == (409, "secret_exists")


async def test_of_many_at_once_one_is_done(api, issuer, path, key):
    """Twenty at the same time make one version; each gets its answer or is told to ask again."""
    token = issuer.tenant("acme")

    replies = await asyncio.gather(
        *(api.ask("POST", path, token, json=CREATE, headers=key) for _ in range(20))
    )

    codes = [(r.status, "" if r.status == 201 else r.code) for r in replies]
    assert set(codes) <= {(201, ""), (409, "idempotency_in_progress")}
    assert (
        len([r for r in replies if r.status == 201 and "Idempotent-Replay" not in r.headers]) == 1
    )
    again = await api.ask("POST", path, token, json=CREATE, headers=key)
    assert (again.status, again.json["version"]) == (201, 1)


@pytest.mark.parametrize("value", ["", "a b", "x" * 65, "ä"])
async def test_a_key_outside_its_grammar_is_refused(api, issuer, path, value):
    """1 to 64 visible ASCII characters, once."""
    reply = await api.ask(
        "POST", path, issuer.tenant("acme"), json=CREATE, headers={"Idempotency-Key": value}
    )

    assert (reply.status, reply.code) == (400, "invalid_request")
    assert reply.json["errors"] == [{"header": "Idempotency-Key", "code": "malformed"}]
