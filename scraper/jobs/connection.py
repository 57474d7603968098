"""Connections to the server that REDIS_URL names: clients, reachability, fitness for the job.

redis-py repeats a command up to 10 times by default, also one whose reply alone was lost: a push
then counts twice, a pop loses an item. Clients made here repeat nothing unless asked to.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelPool
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.cluster import ClusterNode as SyncClusterNode
from redis.exceptions import (
    AuthenticationError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import Sentinel as SyncSentinel
from redis.sentinel import SentinelConnectionPool as SyncSentinelPool

from scraper.jobs.cluster import QueueCluster
from scraper.jobs.errors import JobsError
from scraper.jobs.packing import pack_in_c
from scraper.jobs.redis_url import (
    Kind,
    RedisAddress,
    RedisUrlError,
    parse_redis_url,
    plain_reason,
    safe_url,
)
from scraper.jobs.server_facts import ServerFacts, ServerProblem, check_server

__all__ = [
    "REDIS_ERRORS",
    "AsyncClient",
    "RedisUnreachableError",
    "RedisUrlError",
    "ServerFacts",
    "ServerProblem",
    "SyncClient",
    "blocking_client",
    "check_server",
    "connect",
    "connect_sync",
    "ensure_reachable",
    "safe_url",
]

AsyncClient = redis.asyncio.Redis | redis.asyncio.RedisCluster
SyncClient = redis.Redis | redis.RedisCluster

# All that a client raises when the server is away or refuses; the cluster's is no RedisError.
REDIS_ERRORS = (RedisError, RedisClusterException, OSError)

READ_RETRIES = 3
_BLOCK_MARGIN_S = 5.0
_RETRY_PAUSE_S = 0.1


class RedisUnreachableError(JobsError):
    """The server gives no answer, or not to us."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = safe_url(url)
        self.reason = reason
        super().__init__(
            f"Redis at {self.url} is out of reach: {plain_reason(reason)}. Check REDIS_URL"
        )


def connect(
    url: str,
    *,
    for_transitions: bool = True,
    client_name: str | None = None,
    read_timeout_s: float | None = 5.0,
    connect_timeout_s: float = 5.0,
) -> AsyncClient:
    """A client that answers in bytes; nothing is sent before its first command.

    `for_transitions`: a command whose reply is lost is not repeated but raises ConnectionError or
    TimeoutError. False is for reads only: they are repeated up to 3 times.
    `read_timeout_s` None waits for ever; options in the URL win over both time-outs.
    Raises RedisUrlError. Close it with `aclose()`.
    """
    address = parse_redis_url(url)
    settings = _settings(address, client_name, read_timeout_s, connect_timeout_s)
    return _make(address, settings | dict(address.options), 0 if for_transitions else READ_RETRIES)


def blocking_client(
    url: str, *, longest_block_s: float | None = None, client_name: str | None = None
) -> AsyncClient:
    """A client for BLPOP, BLMOVE, XREAD BLOCK and the like; nothing is repeated.

    It waits for a reply 5 s longer than `longest_block_s`, for ever with None, whatever the URL
    says: a read time-out within the block loses what the server hands over in that moment.
    """
    address = parse_redis_url(url)
    read_timeout_s = None if longest_block_s is None else longest_block_s + _BLOCK_MARGIN_S
    settings = _settings(address, client_name, read_timeout_s, 5.0)
    return _make(address, settings | dict(address.options) | {"socket_timeout": read_timeout_s}, 0)


def connect_sync(
    url: str,
    *,
    client_name: str | None = None,
    read_timeout_s: float | None = 5.0,
    connect_timeout_s: float = 5.0,
) -> SyncClient:
    """The blocking twin of `connect`, never repeating a command. Close it with `close()`.

    Raises RedisUrlError; for a cluster, which is asked for its nodes here, RedisUnreachableError.
    """
    address = parse_redis_url(url)
    settings = _settings(address, client_name, read_timeout_s, connect_timeout_s)
    settings |= {**address.options, "retry": Retry(NoBackoff(), 0)}
    if address.kind is Kind.CLUSTER:
        nodes = [SyncClusterNode(*place) for place in address.hosts]  # type: ignore[no-untyped-call]
        try:
            return redis.RedisCluster(startup_nodes=nodes, **settings)
        except RedisError as error:
            raise RedisUnreachableError(url, str(error)) from error
    if address.kind is Kind.SENTINEL:
        asking = _sentinel_settings(address, settings)
        sentinel = SyncSentinel(address.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
        client: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
            address.service, connection_pool_class=_SyncSentinelPool, db=address.db, **settings
        )
        return client
    return redis.Redis(**_place(address), **settings)


async def ensure_reachable(client: AsyncClient, url: str, *, deadline_s: float = 5.0) -> None:
    """Return once the server answers; it may be starting or loading its data until `deadline_s`.

    `url` is for the message. Raises RedisUnreachableError, at once where the login is refused.
    """
    end_s = time.monotonic() + deadline_s
    while True:
        try:
            async with asyncio.timeout(max(end_s - time.monotonic(), 0.1)):
                await client.execute_command("PING")
            return
        except ResponseError:
            return  # no right to PING, or a full disk: it is there
        except REDIS_ERRORS as error:
            # On unix sockets redis-py hides the refusal in a ConnectionError.
            if any(isinstance(it, AuthenticationError) for it in (error, error.__cause__)):
                raise RedisUnreachableError(url, f"it refuses the login ({error})") from error
            if time.monotonic() + _RETRY_PAUSE_S > end_s:
                reason = str(error) or "no answer in time"
                raise RedisUnreachableError(url, reason) from error
        await asyncio.sleep(_RETRY_PAUSE_S)


def _make(address: RedisAddress, settings: dict[str, Any], repeats: int) -> AsyncClient:
    backoff = ExponentialBackoff(cap=1.0, base=0.05) if repeats else NoBackoff()
    settings = settings | {"retry": AsyncRetry(backoff, repeats)}
    if address.kind is Kind.CLUSTER:
        nodes = [AsyncClusterNode(host, port) for host, port in address.hosts]
        return QueueCluster(startup_nodes=nodes, **settings)
    if address.kind is Kind.SENTINEL:
        asking = _sentinel_settings(address, settings | {"retry": AsyncRetry(NoBackoff(), 0)})
        sentinel = AsyncSentinel(address.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
        client: redis.asyncio.Redis = sentinel.master_for(
            address.service, connection_pool_class=_AsyncSentinelPool, db=address.db, **settings
        )
        return client
    return pack_in_c(redis.asyncio.Redis(**_place(address), **settings))


def _settings(
    address: RedisAddress,
    client_name: str | None,
    read_timeout_s: float | None,
    connect_timeout_s: float,
) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        "client_name": client_name,
        "socket_timeout": read_timeout_s,
        "socket_connect_timeout": connect_timeout_s,
        # Left on, it also lets a connection with an unread reply back into use.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        # A user with few rights has none to CLIENT SETINFO, which no ACL file can grant: a server
        # before 7.2 does not load one that names it.
        "driver_info": None,
    }
    return settings | ({"ssl": True} if address.is_tls else {})


def _place(address: RedisAddress) -> dict[str, Any]:
    """Where a single server listens."""
    if address.kind is Kind.SOCKET:
        return {"unix_socket_path": address.path, "db": address.db}
    host, port = address.hosts[0]
    return {"host": host, "port": port, "db": address.db}


def _sentinel_settings(address: RedisAddress, settings: Mapping[str, Any]) -> dict[str, Any]:
    """How to ask the sentinels: not for ever, and without the server's own login."""
    own = {"username": None, "password": address.sentinel_password, "socket_timeout": 5.0}
    return {**settings, **own}


class _AsyncSentinelPool(AsyncSentinelPool):
    """Closes the connections to the sentinels too, which nobody else does."""

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


class _SyncSentinelPool(SyncSentinelPool):
    """The same for the blocking client."""

    def close(self) -> None:
        super().close()
        for sentinel in self.sentinel_manager.sentinels:
            sentinel.close()
