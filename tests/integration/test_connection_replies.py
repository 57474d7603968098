"""Clients against real servers: a lost reply is never a repeated command; faults are named."""

import asyncio
import select
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import cast

import pytest
import redis
import redis.asyncio
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as LateReplyError

from scraper.jobs.connection import (
    AsyncClient,
    RedisUnreachableError,
    ServerFacts,
    blocking_client,
    check_server,
    connect,
    connect_sync,
    ensure_reachable,
)
from scraper.jobs.embedded import EmbeddedServer, find_server_binary

CONNECT = Callable[[], socket.socket]


class LossyProxy(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Passes bytes on, but loses the reply to one request that contains `marker`: the
    connection is cut or, with `is_silent`, stays open without a word."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: object, upstream: CONNECT) -> None:
        is_unix = isinstance(address, str)
        self.address_family = socket.AF_UNIX if is_unix else socket.AF_INET
        self.upstream = upstream
        self.marker = b"INCR"
        self.losses = 1
        self.is_silent = False
        super().__init__(cast("tuple[str, int]", address), _Relay)


class _Relay(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        proxy = cast(LossyProxy, self.server)
        is_losing = False
        with proxy.upstream() as upstream:
            while True:
                readable, _, _ = select.select([self.request, upstream], [], [])
                if self.request in readable:
                    if not (sent := self.request.recv(65536)):
                        return
                    if proxy.losses and proxy.marker in sent:
                        proxy.losses -= 1
                        is_losing = True
                    upstream.sendall(sent)
                if upstream in readable:
                    reply = upstream.recv(65536)
                    if not reply or (is_losing and not proxy.is_silent):
                        return
                    if not is_losing:
                        self.request.sendall(reply)


@contextmanager
def lossy(address: object, upstream: CONNECT) -> Iterator[LossyProxy]:
    with LossyProxy(address, upstream) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.acquire(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(autouse=True)
def _empty(server: EmbeddedServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()


@pytest.fixture(params=["unix", "tcp"])
def proxy(
    request: pytest.FixtureRequest, server: EmbeddedServer, tmp_path: Path
) -> Iterator[LossyProxy]:
    def upstream() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(server.socket_path))
        return connection

    address: object = str(tmp_path / "proxy") if request.param == "unix" else ("127.0.0.1", 0)
    with lossy(address, upstream) as proxy:
        yield proxy


def url_of(proxy: LossyProxy) -> str:
    place: object = proxy.server_address
    return f"unix://{place}" if isinstance(place, str) else f"redis://127.0.0.1:{port_of(proxy)}"


def port_of(proxy: LossyProxy) -> int:
    return int(proxy.server_address[1])


def value_of(server: EmbeddedServer, key: str) -> object:
    with redis.Redis.from_url(server.url) as client:
        return client.get(key)


def using(client: AsyncClient, use: Callable[[AsyncClient], Awaitable[object]]) -> object:
    """Run one use of a client in a loop of its own and close it."""

    async def run() -> object:
        async with client:
            return await use(client)

    return asyncio.run(run())


async def count_by_command(client: AsyncClient) -> object:
    return await client.execute_command("INCR", "count")


async def count_by_script(client: AsyncClient) -> object:
    script = "return redis.call('INCR', KEYS[1])"
    return await client.execute_command("EVAL", script, "1", "count")


async def count_by_pipeline(client: AsyncClient) -> object:
    async with client.pipeline(transaction=True) as pipeline:
        pipeline.incr("count")
        return await pipeline.execute()


def test_plain_redis_py_runs_a_command_twice_when_its_reply_is_lost(
    proxy: LossyProxy, server: EmbeddedServer
) -> None:
    place: object = proxy.server_address
    client = (
        redis.asyncio.Redis(unix_socket_path=place)
        if isinstance(place, str)
        else redis.asyncio.Redis(port=port_of(proxy))
    )
    using(client, count_by_command)
    assert value_of(server, "count") == b"2"


@pytest.mark.parametrize("count", [count_by_command, count_by_script, count_by_pipeline])
def test_command_whose_reply_is_lost_ran_once(
    proxy: LossyProxy,
    server: EmbeddedServer,
    count: Callable[[AsyncClient], Awaitable[object]],
) -> None:
    with pytest.raises(LostConnectionError):
        using(connect(url_of(proxy)), count)
    assert value_of(server, "count") == b"1"


def test_command_whose_reply_is_late_ran_once(proxy: LossyProxy, server: EmbeddedServer) -> None:
    proxy.is_silent = True
    with pytest.raises(LateReplyError):
        # On a busy machine the greeting alone takes a part of a second.
        using(connect(url_of(proxy), read_timeout_s=1.0), count_by_command)
    assert value_of(server, "count") == b"1"


def test_blocking_clients_command_whose_reply_is_lost_ran_once(
    proxy: LossyProxy, server: EmbeddedServer
) -> None:
    with pytest.raises(LostConnectionError):
        using(blocking_client(url_of(proxy)), count_by_command)
    assert value_of(server, "count") == b"1"


def test_sync_clients_command_whose_reply_is_lost_ran_once(
    proxy: LossyProxy, server: EmbeddedServer
) -> None:
    with connect_sync(url_of(proxy)) as client, pytest.raises(LostConnectionError):
        client.incr("count")
    assert value_of(server, "count") == b"1"


def test_client_goes_on_after_a_lost_reply(proxy: LossyProxy) -> None:
    async def count_twice(client: AsyncClient) -> object:
        with pytest.raises(LostConnectionError):
            await count_by_command(client)
        return await count_by_command(client)

    assert using(connect(url_of(proxy)), count_twice) == 2


def test_reader_asks_again_when_a_reply_is_lost(proxy: LossyProxy) -> None:
    proxy.marker = b"STRLEN"

    async def read(client: AsyncClient) -> object:
        return await client.execute_command("STRLEN", "none")

    assert using(connect(url_of(proxy), for_transitions=False), read) == 0


def test_blocking_client_outwaits_a_short_time_out_in_the_url(server: EmbeddedServer) -> None:
    async def take(client: AsyncClient) -> object:
        return await client.execute_command("BLPOP", "nothing", "0.3")

    url = f"{server.url}?socket_timeout=0.1"
    assert using(blocking_client(url), take) is None
    assert using(blocking_client(url, longest_block_s=0.3), take) is None
    with pytest.raises(LateReplyError):
        using(connect(url), take)


def test_client_answers_in_bytes_and_carries_its_name(server: EmbeddedServer) -> None:
    async def ask(client: AsyncClient) -> object:
        name = await client.execute_command("CLIENT", "GETNAME")
        return name, await client.execute_command("ECHO", "hello")

    name, echo = cast(tuple[bytes, bytes], using(connect(server.url, client_name="worker-1"), ask))
    assert (name, echo) == (b"worker-1", b"hello")


@contextmanager
def started(folder: Path, *flags: str) -> Iterator[int]:
    """A server of its own kind on a free loopback port; yields the port once it answers."""
    port = free_port()
    command = [str(find_server_binary()), *flags, "--port", str(port), "--bind", "127.0.0.1"]
    process = subprocess.Popen([*command, "--save", ""], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            wait_until(lambda: process.poll() is not None or is_answering(client))
            assert process.poll() is None
        yield port
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until(is_so: Callable[[], bool], deadline_s: float = 20.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def is_answering(client: redis.Redis) -> bool:
    with suppress(RedisError):
        return bool(client.ping())
    return False


def facts_of(url: str) -> ServerFacts:
    return cast(ServerFacts, using(connect(url, connect_timeout_s=1.0), check_server))


def test_embedded_server_is_fit(server: EmbeddedServer) -> None:
    facts = facts_of(server.url)
    assert (facts.is_reachable, facts.is_fit, facts.problems) == (True, True, ())
    assert (facts.engine, facts.durability, facts.role) == ("valkey", "everysec", "master")
    assert facts.version >= (9,)


def test_facts_need_no_config_permission_and_less_is_said_without_info(
    server: EmbeddedServer,
) -> None:
    with redis.Redis.from_url(server.url) as client, ExitStack() as users:
        for name, denied in (("plain", "-config"), ("blind", "-info")):
            client.acl_setuser(name, enabled=True, passwords="+p", commands=["+@all", denied])
            users.callback(client.acl_deluser, name)
        plain = facts_of(f"{server.url}?username=plain&password=p")
        blind = facts_of(f"{server.url}?username=blind&password=p")
    assert (plain.fsync, plain.is_aof_on, plain.problems) == (None, True, ())
    assert blind.is_reachable
    assert blind.is_fit
    assert [problem.what for problem in blind.problems] == ["INFO is not permitted"]


def test_server_that_evicts_or_forgets_is_named(tmp_path: Path) -> None:
    flags = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with started(tmp_path, *flags) as port:
        facts = facts_of(f"redis://127.0.0.1:{port}")
    eviction, durability = facts.problems
    assert eviction.is_fatal
    assert str(eviction).endswith("CONFIG SET maxmemory-policy noeviction")
    assert not durability.is_fatal
    assert facts.durability == "none"


def test_replica_is_refused_with_the_address_of_its_primary(tmp_path: Path) -> None:
    with started(tmp_path, "--replicaof", "127.0.0.1 1", "--appendonly", "yes") as port:
        facts = facts_of(f"redis://127.0.0.1:{port}")
    assert not facts.is_fit
    assert "127.0.0.1:1" in str(facts.problems[0])


def test_silent_server_is_a_problem_not_an_exception() -> None:
    facts = facts_of("redis://127.0.0.1:1")
    assert not facts.is_reachable
    assert not facts.is_fit


def test_unreachable_server_is_named_without_its_password() -> None:
    url = "redis://u:secret@127.0.0.1:1/0"
    with pytest.raises(RedisUnreachableError, match=r"u:\*\*\*@127\.0\.0\.1:1/0") as caught:
        using(connect(url), lambda client: ensure_reachable(client, url, deadline_s=0.2))
    assert "secret" not in str(caught.value)


def test_refused_login_is_reported_at_once(server: EmbeddedServer) -> None:
    url = f"{server.url}?username=nobody&password=secret"
    start_s = time.monotonic()
    with pytest.raises(RedisUnreachableError, match="refuses the login"):
        using(connect(url), lambda client: ensure_reachable(client, url, deadline_s=10.0))
    assert time.monotonic() - start_s < 5.0


def test_server_that_comes_up_late_is_waited_for(server: EmbeddedServer, tmp_path: Path) -> None:
    link = tmp_path / "late"
    url = f"unix://{link}"

    async def wait(client: AsyncClient) -> None:
        waiting = asyncio.create_task(ensure_reachable(client, url, deadline_s=10.0))
        await asyncio.wait([waiting], timeout=0.15)
        assert not waiting.done()
        link.symlink_to(server.socket_path)
        await waiting

    using(connect(url), wait)


def test_sentinels_lead_to_the_primary_and_nothing_is_repeated(tmp_path: Path) -> None:
    with started(tmp_path) as port, lossy(("127.0.0.1", 0), upstream_on(port)) as proxy:
        config = tmp_path / "sentinel.conf"
        config.write_text(f"sentinel monitor main 127.0.0.1 {port_of(proxy)} 1\n")
        with started(tmp_path, str(config), "--sentinel") as sentinel_port:
            url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel_port}/main/0"
            with pytest.raises(LostConnectionError):
                using(connect(url), count_by_command)
            assert using(connect(url), count_by_command) == 2
            with connect_sync(url) as client:
                assert client.get("count") == b"2"
            facts = facts_of(f"redis://127.0.0.1:{sentinel_port}")
    assert "redis+sentinel://" in str(facts.problems[0])


def test_cluster_client_repeats_nothing_and_a_lone_node_is_named(tmp_path: Path) -> None:
    flags = ["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"]
    flags += ["--cluster-port", str(free_port())]  # by default port + 10000, which may not exist
    with started(tmp_path, *flags) as port, lossy(("127.0.0.1", 0), upstream_on(port)) as proxy:
        with redis.Redis(port=port) as node:
            node.config_set("cluster-announce-port", port_of(proxy))
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            wait_until(lambda: node.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        url = f"redis+cluster://127.0.0.1:{port_of(proxy)}"
        with pytest.raises(LostConnectionError):
            using(connect(url), count_by_command)
        assert using(connect(url), count_by_command) == 2
        proxy.losses = 1
        with connect_sync(url) as client, pytest.raises(LostConnectionError):
            client.incr("count")
        assert using(connect(url), count_by_command) == 4
        assert facts_of(url).is_fit
        lone = facts_of(f"redis://127.0.0.1:{port}")
    assert "redis+cluster://" in str(lone.problems[0])


def upstream_on(port: int) -> CONNECT:
    return lambda: socket.create_connection(("127.0.0.1", port))
