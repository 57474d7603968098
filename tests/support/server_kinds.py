"""The kinds of server that the scripts must behave the same on: SERVERS=tls,cluster chooses."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from scraper.jobs.redis_url import Kind, parse_redis_url
from tests.support.certificates import make_certificates
from tests.support.redis_cluster import running_cluster
from tests.support.redis_server import (
    debian_redis,
    free_port,
    running_server,
    server_process,
    short_folder,
)

ACL_FILE = Path(__file__).parents[2] / "deploy" / "redis" / "users.acl"
PASSWORD = "for-tests-only"


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """`url` is what our code is given; by `admin_url` a test may look at everything.

    `node_url` is the one server that has the queue's slot, for what takes no cluster.
    """

    url: str
    admin_url: str
    node_url: str

    @property
    def is_cluster(self) -> bool:
        return parse_redis_url(self.url).kind is Kind.CLUSTER


def _same(url: str) -> ServerAccess:
    return ServerAccess(url, url, url)


@contextlib.contextmanager
def _valkey(queue: str) -> Iterator[ServerAccess]:
    with running_server() as url:
        yield _same(url)


@contextlib.contextmanager
def _redis7(queue: str) -> Iterator[ServerAccess]:
    with running_server(debian_redis()) as url:
        yield _same(url)


@contextlib.contextmanager
def _cluster(queue: str) -> Iterator[ServerAccess]:
    with running_cluster() as cluster:
        node = cluster.master_of(f"{{{queue}}}:meta")
        yield ServerAccess(cluster.url, cluster.url, f"redis://127.0.0.1:{node.port}")


def write_acl(folder: Path) -> Path:
    """The shipped ACL file with passwords in it."""
    path = folder / "users.acl"
    text = ACL_FILE.read_text().replace("<password>", PASSWORD)
    # The tests' queues.
    path.write_text(text.replace("scrape-queue", "scrape-*"))
    return path


@contextlib.contextmanager
def _cluster_acl(queue: str) -> Iterator[ServerAccess]:
    with short_folder() as folder:
        ours, admin = (f"{who}:{PASSWORD}@" for who in ("scraper", "admin"))
        more = ("--aclfile", str(write_acl(folder)))
        with running_cluster(3, 0, *more, login=admin) as cluster:
            port = cluster.master_of(f"{{{queue}}}:meta").port
            node = f"redis://{ours}127.0.0.1:{port}"
            yield ServerAccess(cluster.url_of(ours), cluster.url_of(admin), node)
            for member in cluster.nodes:
                _assert_nothing_denied(member.client)


def _assert_nothing_denied(admin: redis.Redis) -> None:
    """The code asked for nothing that was refused, whatever it made of the answer."""
    denied = admin.acl_log()
    assert denied == [], denied


@contextlib.contextmanager
def _acl(queue: str) -> Iterator[ServerAccess]:
    with short_folder() as folder:
        socket = folder / "redis.sock"
        arguments = [
            "--port",
            "0",
            "--unixsocket",
            str(socket),
            "--aclfile",
            str(write_acl(folder)),
        ]
        url, admin = (f"unix://{who}:{PASSWORD}@{socket}" for who in ("scraper", "admin"))
        with server_process(folder, arguments, admin), redis.Redis.from_url(admin) as client:
            yield ServerAccess(url, admin, url)
            _assert_nothing_denied(client)


@contextlib.contextmanager
def _tls(queue: str, with_acl: bool = False) -> Iterator[ServerAccess]:
    """Redis 7 that asks for client certificates."""
    with short_folder() as folder:
        certificates = make_certificates(folder)
        port = free_port()
        arguments = [
            "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1",
            "--tls-ca-cert-file", str(certificates.ca),
            "--tls-cert-file", str(certificates.server_cert),
            "--tls-key-file", str(certificates.server_key),
        ]  # fmt: skip
        place = f"localhost:{port}/0?{certificates.query}"
        url = admin = f"rediss://{place}"
        if with_acl:
            arguments += ["--aclfile", str(write_acl(folder))]
            url, admin = (f"rediss://{who}:{PASSWORD}@{place}" for who in ("scraper", "admin"))
        with (
            server_process(folder, arguments, admin, debian_redis()),
            redis.Redis.from_url(admin) as client,
        ):
            yield ServerAccess(url, admin, url)
            _assert_nothing_denied(client)


@contextlib.contextmanager
def _tls_acl(queue: str) -> Iterator[ServerAccess]:
    with _tls(queue, with_acl=True) as access:
        yield access


Kinds = Callable[[str], contextlib.AbstractContextManager[ServerAccess]]
KINDS: dict[str, Kinds] = {
    "valkey": _valkey,
    "redis7": _redis7,
    "acl": _acl,
    "tls": _tls,
    "redis7-tls-acl": _tls_acl,
    "cluster": _cluster,
    "cluster-acl": _cluster_acl,
}
ALIASES = {"standalone": "valkey", "valkey9": "valkey"}
# What `make test` runs: everything on the embedded server, a part of it on these as well.
EVERYWHERE = ("valkey", "redis7-tls-acl", "cluster")


def chosen() -> Sequence[str] | None:
    """The kinds that SERVERS names, None without it. Raises KeyError for an unknown one."""
    names = [name for name in os.environ.get("SERVERS", "").split(",") if name]
    if not names:
        return None
    if names == ["all"]:
        return tuple(KINDS)
    kinds = list(dict.fromkeys(ALIASES.get(name, name) for name in names))
    if unknown := set(kinds) - set(KINDS):
        raise pytest.UsageError(f"SERVERS: {sorted(unknown)} unknown, there are {sorted(KINDS)}")
    return kinds
