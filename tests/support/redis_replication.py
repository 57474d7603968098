"""A primary with replicas, and sentinels that watch them: real processes on loopback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import redis

from scraper.jobs.embedded import find_server_binary
from tests.support.processes import wait_until
from tests.support.redis_server import (
    ANSWER_WITHIN_S,
    Process,
    free_port,
    server_process,
    short_folder,
)

SERVICE = "jobs"
DOWN_AFTER_MS = 1000


@dataclass(frozen=True, slots=True)
class Member:
    """One server."""

    port: int
    process: Process
    client: redis.Redis

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def role(self) -> str:
        return str(self.client.info("replication")["role"])


@dataclass(frozen=True, slots=True)
class Replication:
    """The first member is the primary at the start."""

    members: list[Member]
    sentinel_ports: list[int] = field(default_factory=list)

    @property
    def primary(self) -> Member:
        return self.members[0]

    @property
    def replicas(self) -> list[Member]:
        return self.members[1:]

    @property
    def sentinel_url(self) -> str:
        places = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://{places}/{SERVICE}/0"


@contextlib.contextmanager
def running_replication(replicas: int = 1, sentinels: int = 0) -> Iterator[Replication]:
    """All of them while the block runs; the replicas are in step when it begins."""
    with contextlib.ExitStack() as undo:
        members = [undo.enter_context(_member(None))]
        for _ in range(replicas):
            members.append(undo.enter_context(_member(members[0].port)))
        for member in members[1:]:
            wait_until(lambda: member.client.info("replication")["master_link_status"] == "up")
        ports = [undo.enter_context(_sentinel(members[0].port)) for _ in range(sentinels)]
        for port in ports:
            wait_until(lambda: _sees_all(port, replicas, sentinels), 60, "the sentinel sees all")
        yield Replication(members, ports)


@contextlib.contextmanager
def _member(primary_port: int | None) -> Iterator[Member]:
    port = free_port()
    arguments = [
        "--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0",
    ]  # fmt: skip
    if primary_port:
        arguments += ["--replicaof", "127.0.0.1", str(primary_port)]
    with (
        short_folder() as folder,
        server_process(folder, arguments, f"redis://127.0.0.1:{port}") as process,
        redis.Redis(host="127.0.0.1", port=port, socket_timeout=ANSWER_WITHIN_S) as client,
    ):
        yield Member(port, process, client)


@contextlib.contextmanager
def _sentinel(primary_port: int) -> Iterator[int]:
    port = free_port()
    with short_folder() as folder:
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary_port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 5000\n"
        )
        with server_process(
            folder, [], f"redis://127.0.0.1:{port}", find_server_binary(), sentinel=config
        ):
            yield port


def _sees_all(port: int, replicas: int, sentinels: int) -> bool:
    with redis.Redis(host="127.0.0.1", port=port, decode_responses=True) as client:
        seen = client.execute_command("SENTINEL", "MASTER", SERVICE)
        return (
            int(seen["num-slaves"]) >= replicas
            and int(seen["num-other-sentinels"]) >= sentinels - 1
        )
