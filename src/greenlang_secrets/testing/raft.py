"""Several real OpenBao nodes in one raft cluster, to be mistreated one by one.

Owns what a cluster has that a node has not: joining, who leads, and when all of it is well.
A node's process, configuration, seal and audit log are left to `OpenBaoServer`.
"""

import asyncio
import concurrent.futures
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.to_thread

from greenlang_secrets.testing.family import forks
from greenlang_secrets.testing.openbao import OpenBaoServer
from greenlang_secrets.testing.process import (
    HOST,
    ServerError,
    free_port,
    remove,
    to_the_end,
    write_private,
)

__all__ = ["RaftCluster", "RaftNode"]

_POLL_SECONDS = 0.05  # an election takes seconds: nobody waits noticeably longer for this
_PROBE_SECONDS = 1.0  # a live node answers in milliseconds; a paused one costs this at each look
_SEAL_KEY_BYTES = 32  # AES-256-GCM, what `seal "static"` takes

# A node that joins has no vote, and so its leader's death no successor, until autopilot looks:
# after 20 s by default, within 3 s so (OpenBao 2.7.2; a standby reports to it each 2.5 s).
_AUTOPILOT = ['autopilot_reconcile_interval = "100ms"', 'autopilot_update_interval = "50ms"']


class RaftNode(OpenBaoServer):
    """One node of a `RaftCluster`, with all that an `OpenBaoServer` of one node can do.

    `start`, `restart` and `unseal` return when it is unsealed and answers, as active or as standby;
    whether there is a leader is the cluster's to say (`RaftCluster.wait_healthy`).
    """

    def __init__(
        self,
        node_id: str,
        *,
        data_dir: Path,
        ports: tuple[int, int],
        peers: Sequence[str],
        founder: "RaftNode | None",
        audit: bool = True,
        extra_config: str = "",
        start_within: float = 60.0,
    ) -> None:
        super().__init__(
            data_dir=data_dir,
            port=ports[0],
            audit=audit,
            extra_config=extra_config,
            start_within=start_within,
        )
        self._cluster_port = ports[1]
        self._peers = peers
        self._founder = founder
        self.node_id = node_id

    def __repr__(self) -> str:
        return f"<{self.node_id}: {super().__repr__()[1:]}"

    async def state(self) -> int | None:
        """Return the status of its health now; None when it does not answer within a second."""
        if not self.running:
            return None
        try:
            status, _ = await self.request("GET", "sys/health", token="", timeout=_PROBE_SECONDS)
        except ServerError:
            return None
        return status

    def _raft_options(self) -> list[str]:
        joins = [f'retry_join {{\nleader_api_addr = "{peer}"\n}}' for peer in self._peers]
        return [f'node_id = "{self.node_id}"', *_AUTOPILOT, *joins]

    async def _open(self) -> None:
        if (self._home / "root.token").exists():
            await anyio.to_thread.run_sync(self._recall)
        elif self._founder is None:
            await self._initialise()
        else:
            await self._join(self._founder)
        await self._until(self._serves, "it was not unsealed")

    async def _join(self, founder: "RaftNode") -> None:
        self._root_token, self._unseal_key = founder.root_token, founder._unseal_key  # noqa: SLF001  a node like this one
        await self._until(self._knows_its_seal, "it did not join the cluster")
        # It would unseal itself at its next attempt, 5 s after the first, which was too early.
        # Not before it knows its seal: OpenBao 2.7.2 then keeps half an attempt and refuses others.
        await self.request("PUT", "sys/unseal", {"key": self._unseal_key}, token="")
        await self._do(self._remember, self.root_token)

    async def _knows_its_seal(self) -> bool:
        _, state = await self.request("GET", "sys/seal-status", token="")
        return bool(state.get("initialized")) and state.get("n") == 1

    async def _serves(self) -> bool:
        return await self.state() in {200, 429}


class RaftCluster:
    """A raft cluster of OpenBao nodes on the loopback interface, each with its own folder.

    They share the key of ``seal "static"``, so a node that was restarted unseals itself, and all
    of them write an audit log. ``async with`` starts and stops them; so do `start` and `stop`.
    Three nodes survive the death of one. Measured on 2 cores: started in 2 to 3 s; a new leader
    3 to 6 s after the old one died or was paused, 1 s after it was sealed or stepped down.

    OpenBao 2.7.2 answers 400 for a fresh KV v2 mount on a standby until that has caught up, some
    tenths of a second later: ask each node for ``{mount}/config`` until it is 200.

    Args:
        nodes: how many.
        data_dir: a folder to keep their data in; without one it is a temporary one, until `stop`.
        audit: whether each node writes its `OpenBaoServer.audit_file`.
        extra_config: more HCL for the end of each node's configuration file.
        start_within: seconds each step of a start may take before it is given up.
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        data_dir: Path | None = None,
        audit: bool = True,
        extra_config: str = "",
        start_within: float = 60.0,
    ) -> None:
        if nodes < 1:
            raise ServerError(f"a cluster has at least one node, not {nodes}")
        self.data_dir = data_dir.absolute() if data_dir is not None else None
        self.start_within = start_within
        self._size = nodes
        self._audit = audit
        self._extra_config = extra_config
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._work: concurrent.futures.Future[list[RaftNode]] | None = None
        self._ports: list[tuple[int, int]] = []
        self._nodes: list[RaftNode] = []

    def __repr__(self) -> str:
        running = sum(node.running for node in self._nodes)
        return f"<RaftCluster of {self._size} nodes, {running} running>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def nodes(self) -> list[RaftNode]:
        """The nodes, whatever state they are in; `ServerError` before the first start."""
        if not self._nodes:
            raise ServerError("the cluster has no nodes before it is started: await start() first")
        return list(self._nodes)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The nodes' addresses, in the order of `nodes`; they stay the same over restarts."""
        return tuple(node.addr for node in self.nodes)

    @property
    def root_token(self) -> str:
        """The root token, good at every node; `ServerError` before the first start."""
        return self.nodes[0].root_token

    async def start(self) -> None:
        """Start all nodes and return when the cluster is healthy, each node with a vote.

        Whatever goes wrong, cancellation included, no process is left behind.

        Raises:
            ServerError: nodes are running already, or a node did not start (see
                `ServerProcess.start`), or the cluster was not healthy within `start_within`.
        """
        if any(node.running for node in self._nodes):
            raise ServerError("the cluster is running already: stop() it, or start() single nodes")
        try:
            # As in ServerProcess: if it is cancelled, `stop` waits for what the thread makes.
            self._work = forks(os.getpid()).submit(self._prepare)
            self._nodes = await asyncio.wrap_future(self._work)
            founder, *others = self._nodes
            await founder.start()
            await _all_of(node.start for node in others)
            await self.wait_healthy(within=self.start_within)
        except BaseException:
            await self.stop(grace=0)
            raise

    async def stop(self, grace: float = 10.0) -> None:
        """Stop all nodes, paused and dead ones too, and remove the temporary folder.

        Without grace they are killed. Cancellation does not stop the stopping.
        A node that stepped down ends 10 s after that, and not before (OpenBao 2.7.2).
        """
        with anyio.CancelScope(shield=True):
            try:
                await _all_of(partial(node.stop, grace) for node in self._nodes)
            finally:
                await to_the_end(self._clear, grace)

    async def leader(self, *, within: float = 20.0) -> RaftNode:
        """Return the one node that is active, waiting for it `within` seconds.

        A leader that was paused and goes on takes itself for active until it hears of its
        successor, so two that are active are waited out as well.

        Raises:
            ServerError: there was none, or more than one, all the time.
        """
        return await self._until(self._leader, within, "has not exactly one active node")

    async def standbys(self) -> list[RaftNode]:
        """Return the nodes that are standbys now; paused, sealed and dead ones are none."""
        states = await self._states()
        return [node for node, state in zip(self.nodes, states, strict=True) if state == 429]

    async def step_down(self, *, within: float = 20.0) -> RaftNode:
        """Make the leader give up, and return the node that leads afterwards.

        ``PUT /v1/sys/step-down``. The old one does not lead again for 10 s, even when it is the
        only one that could: a second failover within that time waits for it.

        Raises:
            ServerError: no other node was active `within` seconds.
        """
        old = await self.leader(within=within)
        await old.request("PUT", "sys/step-down")

        async def another() -> RaftNode | None:
            leader = await self._leader()
            return None if leader is old else leader

        return await self._until(another, within, f"has no leader but {old.node_id}")

    async def wait_healthy(self, *, within: float = 30.0) -> None:
        """Return when every node is well: one active, the others standbys that vote and are level.

        Level is a standby that knows the leader and has applied what that had committed.

        Raises:
            ServerError: it was not so `within` seconds.
        """
        await self._until(self._healthy_leader, within, "is not healthy")

    async def _until(
        self, condition: Callable[[], Awaitable[RaftNode | None]], within: float, what: str
    ) -> RaftNode:
        """Wait for a node that a look at the cluster finds; `what` names its absence."""
        deadline = time.monotonic() + within
        while True:
            found = await condition()
            if found is not None:
                return found
            if time.monotonic() > deadline:
                states = zip(self.nodes, await self._states(), strict=True)
                seen = ", ".join(f"{node.node_id} {state or 'mute'}" for node, state in states)
                raise ServerError(
                    f"the cluster {what} after {within:g} seconds; health now: {seen}. "
                    "Without a majority of running, unsealed nodes there is no leader"
                )
            await anyio.sleep(_POLL_SECONDS)

    async def _leader(self) -> RaftNode | None:
        states = await self._states()
        active = [node for node, state in zip(self.nodes, states, strict=True) if state == 200]
        return active[0] if len(active) == 1 else None

    async def _healthy_leader(self) -> RaftNode | None:
        leader = await self._leader()
        if leader is None:
            return None
        try:
            _, committed = await leader.request("GET", "sys/leader", token="")
            _, raft = await leader.request("GET", "sys/storage/raft/configuration")
            views = [await node.request("GET", "sys/leader", token="") for node in self.nodes]
            voters = {
                server["node_id"] for server in raft["data"]["config"]["servers"] if server["voter"]
            }
            level = all(
                view["leader_address"] == leader.addr
                and view["raft_applied_index"] >= committed["raft_committed_index"]
                for _, view in views
            )
        except (ServerError, KeyError, TypeError):  # a node is gone, sealed or still without leader
            return None
        return leader if level and voters == {node.node_id for node in self.nodes} else None

    async def _states(self) -> list[int | None]:
        return await asyncio.gather(*(node.state() for node in self.nodes))

    def _clear(self, _: float) -> None:
        if self._work is not None:
            concurrent.futures.wait([self._work])
        if self._temporary is not None:
            remove(self._temporary)
            self._temporary = None

    def _prepare(self) -> list[RaftNode]:
        """Make folders, ports and the common seal key, or find those that were kept."""
        home = self.data_dir
        if home is None:
            self._temporary = tempfile.TemporaryDirectory(
                prefix="greenlang-secrets-", ignore_cleanup_errors=True
            )
            home = Path(self._temporary.name)
        names = [f"node-{number}" for number in range(1, self._size + 1)]
        for name in names:
            (home / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._ports = self._kept_ports(home / "ports.json")
        first, *others = [home / name / "seal.key" for name in names]
        if not first.exists():
            write_private(first, os.urandom(_SEAL_KEY_BYTES))
        for key in others:
            write_private(key, first.read_bytes())
        return self._made(home, names)

    def _kept_ports(self, path: Path) -> list[tuple[int, int]]:
        """Ports for clients and for raft: raft keeps them with its data, so we do, too."""
        if path.exists():
            ports = [(api, raft) for api, raft in json.loads(path.read_text())]
        else:
            ports = self._ports or [(free_port(), free_port()) for _ in range(self._size)]
            write_private(path, json.dumps(ports))
        if len(ports) != self._size:
            raise ServerError(
                f"{path.parent} holds a cluster of {len(ports)} nodes, not {self._size}: "
                "ask for as many, or remove the folder to begin anew"
            )
        return ports

    def _made(self, home: Path, names: Sequence[str]) -> list[RaftNode]:
        addresses = [f"http://{HOST}:{api}" for api, _ in self._ports]
        nodes: list[RaftNode] = []
        for name, ports, address in zip(names, self._ports, addresses, strict=True):
            node = RaftNode(
                name,
                data_dir=home / name,
                ports=ports,
                peers=[peer for peer in addresses if peer != address],
                founder=nodes[0] if nodes else None,
                audit=self._audit,
                extra_config=self._extra_config,
                start_within=self.start_within,
            )
            nodes.append(node)
        return nodes


async def _all_of(acts: Iterable[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Do all at once; the first error ends the others, and is raised as it is."""
    try:
        # Not gather: a node's clean-up, shielded in anyio's way, would not be shielded there.
        async with anyio.create_task_group() as group:
            for act in acts:
                group.start_soon(act)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
