import asyncio
from pathlib import Path

import pytest

from greenlang_secrets.testing import RaftCluster, ServerError

pytest_plugins = ["pytester"]

_KV = {"type": "kv", "options": {"version": "2"}}


async def _mount(cluster: RaftCluster) -> None:
    """Mount KV v2 at secret/ and wait until every node serves it: a standby refuses it at first."""
    assert (await (await cluster.leader()).request("POST", "sys/mounts/secret", _KV))[0] == 204
    for node in cluster.nodes:
        while (await node.request("GET", "secret/config"))[0] != 200:
            await asyncio.sleep(0.01)


def _running(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


async def test_a_cluster_has_one_leader(raft_cluster: RaftCluster) -> None:
    """A started cluster has one active node and two standbys, all of them with a vote."""
    leader = await raft_cluster.leader()
    standbys = await raft_cluster.standbys()

    assert sorted([leader, *standbys], key=raft_cluster.nodes.index) == raft_cluster.nodes
    assert raft_cluster.addresses == tuple(node.addr for node in raft_cluster.nodes)
    assert repr(raft_cluster) == "<RaftCluster of 3 nodes, 3 running>"
    for node in raft_cluster.nodes:
        status, view = await node.request("GET", "sys/leader")
        assert (status, view["leader_address"]) == (200, leader.addr)
        assert raft_cluster.root_token == node.root_token
        assert raft_cluster.root_token not in repr(node)
    _, raft = await leader.request("GET", "sys/storage/raft/configuration")
    assert [server["voter"] for server in raft["data"]["config"]["servers"]] == [True] * 3


async def test_a_standby_forwards_writes(raft_cluster: RaftCluster) -> None:
    """A write sent to a standby takes effect at the leader, and each wrote an audit log of it."""
    await _mount(raft_cluster)
    leader, standby = await raft_cluster.leader(), (await raft_cluster.standbys())[0]
    mark = await leader.audit_mark()

    status, _ = await standby.request("POST", "secret/data/a", {"data": {"k": "v"}})

    assert status == 200
    assert (await leader.request("GET", "secret/data/a"))[1]["data"]["data"] == {"k": "v"}
    assert await leader.audit_requests(mark, "secret/") == [
        ("create", "secret/data/a"),
        ("read", "secret/data/a"),
    ]


async def test_a_killed_leader_is_replaced_and_comes_back(raft_cluster: RaftCluster) -> None:
    """Within 10 s of kill -9 another leads; the dead node started again unseals and catches up."""
    await _mount(raft_cluster)
    dead = await raft_cluster.leader()
    addr, pid = dead.addr, dead.pid

    await dead.kill()
    assert await dead.state() is None
    heir = await raft_cluster.leader(within=10)
    assert heir is not dead
    await heir.request("POST", "secret/data/a", {"data": {"k": "v"}})
    await dead.start()
    await raft_cluster.wait_healthy()

    assert dead.addr == addr
    assert dead.pid != pid
    assert await dead.health() == 429
    assert (await dead.request("GET", "secret/data/a"))[1]["data"]["data"] == {"k": "v"}


async def test_a_leader_that_steps_down_is_followed_by_another(raft_cluster: RaftCluster) -> None:
    """After a step-down another node leads, and the old one goes on as a standby."""
    old = await raft_cluster.leader()

    new = await raft_cluster.step_down()

    assert new is not old
    assert await raft_cluster.leader() is new
    await raft_cluster.wait_healthy()
    assert old in await raft_cluster.standbys()


async def test_nodes_are_sealed_one_by_one(raft_cluster: RaftCluster) -> None:
    """A sealed standby changes nothing for the others, a sealed leader is replaced."""
    leader, standby = await raft_cluster.leader(), (await raft_cluster.standbys())[0]

    await standby.seal()
    assert await standby.health() == 503
    assert await raft_cluster.leader() is leader
    assert standby not in await raft_cluster.standbys()
    await standby.unseal()
    await raft_cluster.wait_healthy()

    await leader.seal()
    assert await raft_cluster.leader() is not leader
    await leader.unseal()
    await raft_cluster.wait_healthy()
    assert await leader.health() == 429


async def test_a_paused_leader_is_replaced(raft_cluster: RaftCluster) -> None:
    """A leader whose clock stops is replaced, and resumed it is no second one."""
    paused = await raft_cluster.leader()

    await paused.pause()
    heir = await raft_cluster.leader()
    assert heir is not paused
    await paused.resume()
    await raft_cluster.wait_healthy()

    assert await raft_cluster.leader() is heir
    assert paused in await raft_cluster.standbys()


async def test_data_is_kept_in_a_folder(tmp_path: Path) -> None:
    """Stopped and started over the same folder, a cluster has its addresses, token and data."""
    async with RaftCluster(2, data_dir=tmp_path, audit=False) as first:
        addresses, token = first.addresses, first.root_token
        await first.nodes[1].request("POST", "sys/mounts/secret", _KV)

    async with RaftCluster(2, data_dir=tmp_path, audit=False) as second:
        assert second.addresses == addresses
        assert second.root_token == token
        assert "secret/" in (await second.nodes[1].request("GET", "sys/mounts"))[1]["data"]
        assert await second.nodes[0].audit_entries() == []
    with pytest.raises(ServerError, match="holds a cluster of 2 nodes, not 3"):
        await RaftCluster(data_dir=tmp_path).start()


async def test_without_a_majority_nobody_leads() -> None:
    """The survivor of two does not lead, and the error says how each node is."""
    cluster = RaftCluster(2)
    try:
        await cluster.start()
        with pytest.raises(ServerError, match="running already"):
            await cluster.start()
        await (await cluster.leader()).kill()

        with pytest.raises(ServerError, match=r"one active node after 0\.1 s(?s:.*)429"):
            await cluster.leader(within=0.1)
        with pytest.raises(ServerError, match=r"is not healthy after 0\.1 s"):
            await cluster.wait_healthy(within=0.1)
    finally:
        await cluster.stop(grace=0)


async def test_stopping_leaves_no_process() -> None:
    """Stopped with a dead, a paused and a live node, a cluster leaves nothing."""
    cluster = RaftCluster(3)
    await cluster.start()
    pids, home = [node.pid for node in cluster.nodes], cluster.nodes[0].log_file.parents[1]
    await cluster.nodes[1].kill()
    await cluster.nodes[2].pause()

    await cluster.stop()

    assert _running(pids) == []
    assert not home.exists()
    assert repr(cluster) == "<RaftCluster of 3 nodes, 0 running>"


async def test_a_failed_start_leaves_nothing() -> None:
    """A cluster whose nodes refuse their configuration tells it and leaves no process."""
    cluster = RaftCluster(extra_config='seal "shamir" {}')
    with pytest.raises(ServerError, match="no nodes before it is started"):
        _ = cluster.addresses

    with pytest.raises(ServerError, match=r"exit code 1 while starting(?s:.*)two seals provided"):
        await cluster.start()

    assert not any(node.running for node in cluster.nodes)
    with pytest.raises(ServerError, match="at least one node, not 0"):
        RaftCluster(0)


async def test_a_cancelled_start_leaves_nothing() -> None:
    """Given up while the standbys join, a cluster leaves no process."""
    cluster = RaftCluster(2)
    starting = asyncio.create_task(cluster.start())
    while not (cluster._nodes and cluster.nodes[1].running):
        await asyncio.sleep(0.01)
    pids = [node.pid for node in cluster.nodes]

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert _running(pids) == []


def test_a_failed_test_leaves_no_process(pytester: pytest.Pytester) -> None:
    """The fixture's nodes are gone after a test that mistreats them and fails."""
    pytester.makepyfile(
        """
import pathlib
async def test_fails(raft_cluster):
    pathlib.Path("pids").write_text(" ".join(str(node.pid) for node in raft_cluster.nodes))
    await (await raft_cluster.leader()).pause()
    raise RuntimeError("as if by accident")
"""
    )
    pytester.makepyprojecttoml(
        "[tool.pytest.ini_options]\nasyncio_mode = 'auto'\n"
        "asyncio_default_fixture_loop_scope = 'function'\n"
    )

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error")

    result.assert_outcomes(failed=1)
    pids = [int(pid) for pid in (pytester.path / "pids").read_text().split()]
    assert len(pids) == 3
    assert _running(pids) == []
