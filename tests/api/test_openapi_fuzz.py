"""What the OpenAPI document allows and forbids, sent to the service on a real OpenBao.

`make fuzz` sends at least 20,000 requests, and prints the seed of each round.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.conftest import mount_kv, service_config_for
from api.issuer import Issuer
from api.live import Api, running
from fuzz.openapi_run import Fuzzed, fuzz
from greenlang_secrets_api.config import ApiConfig
from support.openapi_replies import described

CASES = int(os.environ.get("GREENLANG_SECRETS_TEST_FUZZ_CASES", "500"))
SEED = int(os.environ.get("GREENLANG_SECRETS_TEST_FUZZ_SEED", "1"))
LONG = CASES > 500
EXAMPLES = 300 if LONG else 5
"""For each operation in each phase; 300 make about 5,000 requests, for which a bearer lives
long enough.
"""

pytestmark = pytest.mark.timeout(10_800 if LONG else 600)


@pytest.fixture
def fuzzed_api(vault_server: Any, api_config: ApiConfig) -> Iterator[Api]:
    """A service with a mount of its own: deletions go everywhere."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        mount = runner.run(mount_kv(vault_server))
    with running(service_config_for(vault_server, mount), api_config) as api:
        yield api


def run(api: Api, bearer: str, folder: Path, **more: Any) -> Fuzzed:
    """Fuzz with the numbers of this run, the progress shown if it is long."""
    asked = {"document": f"{api.url}/openapi.json", "cases": EXAMPLES, "seed": SEED, **more}
    return fuzz(url=api.url, bearer=bearer, folder=folder, shown=LONG, **asked)


def long_lived(issuer: Issuer, **claims: Any) -> str:
    """A bearer for as long as one may be."""
    now = int(time.time())
    return issuer.sign(issuer.claims(iat=now, exp=now + 3600, **claims))


EVERYTHING = ["secrets:read", "secrets:write", "secrets:admin", "secrets:rotate"]


def test_the_service_is_what_the_document_says(
    fuzzed_api: Api, issuer: Issuer, tmp_path: Path
) -> None:
    """With every permission, alone and in chains: no failure of any check, and no warning."""
    made, seed = 0, SEED

    while made < CASES:
        bearer = long_lived(issuer, tenant_id=None, platform=True, permissions=EVERYTHING)
        found = run(fuzzed_api, bearer, tmp_path, seed=seed)
        made += found.cases
        print(f"\n{made} of {CASES} requests, the last {found.cases} with seed {seed}")  # noqa: T201

        assert (found.failures, found.errors, found.warnings) == ([], [], {}), found.output
        assert found.exit_code == 0, found.output
        seed += 1


def test_without_permissions_nothing_is_done(
    fuzzed_api: Api, issuer: Issuer, tmp_path: Path
) -> None:
    """A bearer without permissions gets nowhere but to what is public, and breaks nothing.

    Every operation but the public ones is warned of as refused: that is the promise.
    """
    bearer = long_lived(issuer, permissions=[])
    guarded = sorted(
        f"{method.upper()} {address}"
        for address, item in described().document["paths"].items()
        for method, operation in item.items()
        if method != "parameters" and operation["x-permissions"]
    )

    found = run(
        fuzzed_api,
        bearer,
        tmp_path,
        allowed="nothing",
        options=() if LONG else ("--phases", "examples,fuzzing"),
    )

    assert (found.failures, found.errors) == ([], []), found.output
    assert found.warnings == {"missing_auth": guarded}


def test_a_document_that_is_wrong_is_found(fuzzed_api: Api, issuer: Issuer, tmp_path: Path) -> None:
    """The control: an answer left out, a member of another type and a bound moved are failures."""
    wrong = json.loads(json.dumps(described().document))
    secret = wrong["paths"]["/api/v1/secrets/{path}"]
    del secret["get"]["responses"]["404"]
    wrong["components"]["schemas"]["SecretCreated"]["properties"]["version"] = {"type": "string"}
    [limit] = [
        each
        for each in wrong["paths"]["/api/v1/secrets"]["get"]["parameters"]
        if each.get("name") == "limit"
    ]
    limit["schema"]["maximum"] = 50
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    bearer = long_lived(issuer, tenant_id=None, platform=True, permissions=EVERYTHING)

    found = run(
        fuzzed_api,
        bearer,
        tmp_path,
        document=str(tmp_path / "wrong.json"),
        cases=5,
        options=("--phases", "coverage", "--include-tag", "Secrets"),
    )

    by_title = {failure["title"]: failure["operations"] for failure in found.failures}
    assert found.exit_code == 1
    assert "GET /api/v1/secrets/{path}" in by_title["Undocumented status code"]
    assert "POST /api/v1/secrets/{path}" in by_title["Response violates schema"]
    assert "GET /api/v1/secrets" in by_title["Schema-violating request accepted"]
