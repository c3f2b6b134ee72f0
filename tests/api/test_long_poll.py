"""`If-None-Match` with `Prefer: wait`: the answer is held back until there is a change."""

from __future__ import annotations

import asyncio
import time

import pytest

from api.conftest import service_config_for
from api.live import running

KNOWS_1 = {"If-None-Match": '"1"', "Prefer": "wait=30"}


@pytest.fixture
async def token(api, issuer, path):
    """A tenant's bearer, whose secret at `path` has version 1."""
    token = issuer.tenant("acme")
    reply = await api.ask("POST", path, token, json={"data": {"k": "one"}})
    assert reply.status == 201
    return token


async def waiting(api, path, token, headers=KNOWS_1):
    """A request that has begun to wait."""
    task = asyncio.ensure_future(api.ask("GET", path, token, headers=headers))
    done, _ = await asyncio.wait([task], timeout=0.1)
    assert not done, task.result()
    return task


async def test_a_new_version_ends_the_wait(api, token, path):
    """The waiting caller gets the new version as soon as it is written."""
    poll = await waiting(api, path, token)

    await api.ask("PUT", path, token, json={"data": {"k": "two"}})

    reply = await asyncio.wait_for(poll, 5)
    assert (reply.status, reply.json["data"], reply.headers["ETag"]) == (200, {"k": "two"}, '"2"')
    assert reply.headers["Preference-Applied"] == "wait=30"


async def test_nothing_new_is_a_304_in_the_end(api, token, path):
    """When the time is over the caller knows that what it has is still current."""
    reply = await api.ask("GET", path, token, headers={**KNOWS_1, "Prefer": "wait=1"})

    assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", '"1"')
    assert reply.headers["Preference-Applied"] == "wait=1"


async def test_a_deletion_ends_in_a_404(api, token, path):
    """A secret that is deleted meanwhile is said to be, when the time is over."""
    poll = await waiting(api, path, token, {**KNOWS_1, "Prefer": "wait=1"})

    await api.ask("DELETE", path, token)

    reply = await asyncio.wait_for(poll, 5)
    assert (reply.status, reply.code) == (404, "secret_deleted")


async def test_many_wait_for_one_change(api, token, path):
    """A hundred callers who wait are all told."""
    polls = [await waiting(api, path, token) for _ in range(3)]
    polls += [
        asyncio.ensure_future(api.ask("GET", path, token, headers=KNOWS_1)) for _ in range(97)
    ]

    await api.ask("PUT", path, token, json={"data": {"k": "two"}})

    replies = await asyncio.wait_for(asyncio.gather(*polls), 10)
    assert {(reply.status, reply.headers["ETag"]) for reply in replies} == {(200, '"2"')}


@pytest.mark.parametrize(
    "headers",
    [
        {"Prefer": "wait=30"},
        {"Prefer": "wait=30", "If-None-Match": '"7"'},
        {"Prefer": "wait=0", "If-None-Match": '"1"'},
        {"Prefer": "respond-async", "If-None-Match": '"1"'},
    ],
)
async def test_who_need_not_wait_does_not(api, token, path, headers):
    """Without a version that matches, or without a wait, the answer comes at once."""
    reply = await asyncio.wait_for(api.ask("GET", path, token, headers=headers), 5)

    assert reply.status == (304 if headers.get("If-None-Match") == '"1"' else 200)
    assert "Preference-Applied" not in reply.headers


async def test_a_pinned_version_is_not_waited_for(api, token, path):
    """It never changes."""
    reply = await asyncio.wait_for(api.ask("GET", f"{path}?version=1", token, headers=KNOWS_1), 5)

    assert reply.status == 304


async def test_the_end_of_the_service_ends_the_wait(vault_server, mount, api_config, issuer, path):
    """Who waits gets the answer there is, and the service ends within its grace."""
    token = issuer.tenant("acme")
    with running(service_config_for(vault_server, mount), api_config) as own:
        await own.ask("POST", path, token, json={"data": {"k": "one"}})
        poll = await waiting(own, path, token)

    reply = await asyncio.wait_for(poll, 5)
    assert reply.status == 304


async def test_whoever_closes_the_connection_leaves_its_place(api, issuer, token, path):
    """A hundred pollers who go away hold nothing: their places are free at once."""
    admin = issuer.platform("secrets:admin")
    polls = [
        asyncio.ensure_future(api.ask("GET", path, token, headers=KNOWS_1)) for _ in range(100)
    ]

    async def places():
        return (await api.ask("GET", "status", admin)).json["work"]["waiting"]

    async with asyncio.timeout(20):
        while await places() < 100:
            await asyncio.sleep(0.02)
    for poll in polls:
        poll.cancel()

    async with asyncio.timeout(20):
        while await places() > 0:
            await asyncio.sleep(0.02)


async def test_one_principal_cannot_take_all_places(api, issuer, token, path):
    """The 129th of one principal is answered at once; another's waits."""
    polls = [
        asyncio.ensure_future(api.ask("GET", path, token, headers=KNOWS_1)) for _ in range(129)
    ]
    done, waiting_on = await asyncio.wait(polls, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    other = await waiting(api, path, issuer.tenant("acme", sub="other"))

    assert [poll.result().status for poll in done] == [304]
    assert all("Preference-Applied" not in poll.result().headers for poll in done)
    assert len(waiting_on) == 128
    for poll in (*waiting_on, other):
        poll.cancel()


async def test_a_bearer_that_ends_meanwhile_gets_no_value(api, issuer, token, path):
    """Whoever waited is let in once more before anything is given out."""
    short = issuer.tenant("acme", exp=int(time.time()) + 2)
    poll = asyncio.ensure_future(api.ask("GET", path, short, headers=KNOWS_1))
    async with asyncio.timeout(20):
        while (await api.ask("GET", f"{path}/versions", short)).status != 401:
            await asyncio.sleep(0.05)

    await api.ask("PUT", path, token, json={"data": {"k": "two"}})

    reply = await asyncio.wait_for(poll, 10)
    assert (reply.status, reply.code) == (401, "invalid_token")
    assert b"two" not in reply.body
