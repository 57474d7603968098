"""A Redis Cluster for tests: real nodes on loopback, some masters, each with some replicas."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis
from redis.crc import key_slot

from tests.support.processes import wait_until
from tests.support.redis_server import (
    ANSWER_WITHIN_S,
    Process,
    free_port,
    server_process,
    short_folder,
)

SLOTS = 16384


@dataclass(frozen=True, slots=True)
class Node:
    """One server of the cluster."""

    port: int
    bus_port: int
    process: Process
    client: redis.Redis

    def ask(self, *words: str | int) -> Any:
        """The reply to a command for which redis-py has no typed method."""
        return self.client.execute_command(*words)  # type: ignore[no-untyped-call]

    @property
    def id(self) -> str:
        return str(_text(self.ask("CLUSTER", "MYID")))

    @property
    def role(self) -> str:
        return str(self.client.info("replication")["role"])

    @property
    def sees_all_well(self) -> bool:
        return "cluster_state:ok" in str(self.ask("CLUSTER", "INFO"))


@dataclass(frozen=True, slots=True)
class Cluster:
    """The masters first, then the replicas of each in the same order."""

    nodes: list[Node]

    @property
    def url(self) -> str:
        return self.url_of()

    def url_of(self, login: str = "") -> str:
        """With a login: `<user>:<password>@`."""
        places = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"redis+cluster://{login}{places}"

    def master_of(self, key: str) -> Node:
        """The living node that has a key's slot."""
        slot = key_slot(key.encode())
        for node in self.nodes:
            if node.process.poll() is None and node.role == "master":
                for row in node.ask("CLUSTER", "SLOTS"):
                    port = int(row[2][1])
                    if int(row[0]) <= slot <= int(row[1]) and port == node.port:
                        return node
        raise LookupError(f"no node has the slot of {key}")


def _text(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value


@contextlib.contextmanager
def running_cluster(
    masters: int = 3, replicas: int = 0, *more: str, login: str = ""
) -> Iterator[Cluster]:
    """A cluster whose slots are spread over its masters, while the block runs.

    `more`: arguments of each node; `login`: `<user>:<password>@` of one who may do all there.
    """
    with contextlib.ExitStack() as undo:
        nodes = [undo.enter_context(_node(login, *more)) for _ in range(masters * (1 + replicas))]
        for number, node in enumerate(nodes[:masters]):
            first, last = SLOTS * number // masters, SLOTS * (number + 1) // masters - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        # Epochs of their own, so that nobody has to be outvoted.
        for number, node in enumerate(nodes, 1):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number)
        for node in nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].bus_port)
        for node in nodes:
            wait_until(lambda: node.sees_all_well and _knows(node, nodes), 60, "the cluster joins")
        for number, node in enumerate(nodes[masters:]):
            node.ask("CLUSTER", "REPLICATE", nodes[number % masters].id)
        for node in nodes[masters:]:
            wait_until(lambda: node.client.info("replication").get("master_link_status") == "up")
        yield Cluster(nodes)


def _knows(node: Node, nodes: list[Node]) -> bool:
    rows = str(_text(node.ask("CLUSTER", "NODES"))).splitlines()
    return len(rows) == len(nodes)


@contextlib.contextmanager
def _node(login: str, *more: str) -> Iterator[Node]:
    with short_folder() as folder:
        port, bus = free_port(), free_port()
        arguments = [
            "--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes",
            "--cluster-port", str(bus), "--cluster-node-timeout", "1500",
            "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0", *more,
        ]  # fmt: skip
        url = f"redis://{login}127.0.0.1:{port}"
        with (
            server_process(folder, arguments, url) as process,
            redis.Redis.from_url(url, socket_timeout=ANSWER_WITHIN_S) as client,
        ):
            yield Node(port, bus, process, client)
