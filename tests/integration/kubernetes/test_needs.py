"""What a class of needs prints, used by a real agent and as the operator does, on a real server."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml

import greenlang_secrets as gs
from contracts.manifests import build
from contracts.markdown import ROOT
from greenlang_secrets.needs.form import Artefact, Form
from greenlang_secrets.needs.printing import printed
from support.external_secrets import Operator, Refused
from support.injector import PREFIX, Pod, annotations
from support.shipped import SEEDED, Shipped


class Needs(gs.Needs):
    postgresql: gs.DatabaseCredentials = gs.need("database/postgresql", gs.DatabaseCredentials)
    user: gs.SecretValue = gs.need("database/redis", field="username")
    password: gs.SecretValue = gs.need("database/redis", field="password")
    internal: gs.SecretValue = gs.need("api-keys/internal", field="key-id")


def made(artefact: Artefact, needs: type[gs.Needs] = Needs) -> list[dict[str, Any]]:
    form = Form(artefact=artefact, source="a:Needs", name="greenlang-api", namespace="greenlang")
    return list(yaml.safe_load_all(printed(form, needs.declared)))


@pytest.fixture
async def named(vault: Shipped) -> Shipped:
    """The server, with a key that is no identifier."""
    await vault.put("api-keys/internal", {"key-id": 'a"b\\c', "api_key": "another"})
    return vault


async def initialised(vault: Shipped, folder, needs: type[gs.Needs]) -> tuple[int, Pod]:
    """Run the init container with the printed annotations, beside those that say where Vault is."""
    [patch] = made("annotations", needs)
    own = patch["spec"]["template"]["metadata"]["annotations"]
    place = {
        name: value
        for name, value in annotations("greenlang-api").items()
        if not name.startswith(("agent-inject-", "error-on-"))
    }
    token = vault.accounts.token("greenlang", "greenlang-api")
    pod = Pod.made(folder / "pod", vault.server.addr, token)
    given = place | {name.removeprefix(PREFIX): value for name, value in own.items()}
    return await pod.initialised(given), pod


async def test_the_agent_renders_what_is_needed(named: Shipped, tmp_path) -> None:
    """One file in JSON for each path: the whole secret, or the fields alone, whatever they hold."""
    code, pod = await initialised(named, tmp_path, Needs)

    assert code == 0, pod.log()
    assert {name: json.loads(text) for name, text in pod.files().items()} == {
        "api-keys-internal.json": {"key-id": 'a"b\\c'},
        "database-postgresql.json": SEEDED["database/postgresql"],
        "database-redis.json": {
            "username": SEEDED["database/redis"]["username"],
            "password": SEEDED["database/redis"]["password"],
        },
    }
    assert {file.stat().st_mode & 0o777 for file in pod.secrets.iterdir()} == {0o400}


@pytest.mark.parametrize("field", ["nothing", "no-thing"])
async def test_the_agent_does_not_start_without_a_field(
    named: Shipped, tmp_path, field: str
) -> None:
    """The control: a field that is not there ends the init container, and leaves no file."""
    needs = type("Missing", (gs.Needs,), {"one": gs.need("api-keys/internal", field=field)})

    code, pod = await initialised(named, tmp_path, needs)

    assert code != 0
    assert pod.files() == {}


async def test_the_operator_takes_what_is_needed(named: Shipped, tmp_path) -> None:
    """Each ExternalSecret reads its path, and leaves the fields in its Secret that are needed."""
    own = made("external-secret")
    operator = Operator(named, [*copy.deepcopy(build(ROOT / "k8s" / "overlays" / "prod")), *own])
    whole = [each for each in own if "template" not in each["spec"]["target"]]
    partly = [each for each in own if each not in whole]

    assert [await operator.read(each) for each in whole] == [SEEDED["database/postgresql"]]
    assert await operator.rendered(partly, tmp_path) == {
        "greenlang-api-api-keys-internal": {"key-id": 'a"b\\c'},
        "greenlang-api-database-redis": {
            "username": SEEDED["database/redis"]["username"],
            "password": SEEDED["database/redis"]["password"],
        },
    }


@pytest.mark.parametrize("field", ["nothing", "no-thing"])
async def test_the_operator_makes_no_secret_without_a_field(
    named: Shipped, tmp_path, field: str
) -> None:
    """The control: a template whose field is not there fails, and says nothing in its place."""
    needs = type("Missing", (gs.Needs,), {"one": gs.need("api-keys/internal", field=field)})
    own = made("external-secret", needs)
    operator = Operator(named, [*copy.deepcopy(build(ROOT / "k8s" / "overlays" / "prod")), *own])

    with pytest.raises(Refused, match="ended with"):
        await operator.rendered(own, tmp_path)
