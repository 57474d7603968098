"""What the server at the other end is, and whether it can keep jobs."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import NoPermissionError, RedisClusterException, RedisError

from scraper.jobs.redis_url import plain_reason

LOWEST_VERSIONS = {"redis": (7, 0), "valkey": (7, 2)}
_LOWEST = "Redis 7.0+ or Valkey 7.2+"
# Idle workers wait in blocking reads of some seconds; less would cut them off.
LEAST_IDLE_TIMEOUT_S = 60
_WRITE_STATUSES = (
    ("aof_last_write_status", "append-only file"),
    ("rdb_last_bgsave_status", "snapshot"),
)


@dataclass(frozen=True)
class ServerProblem:
    """Something amiss and what to do about it; `is_fatal`: the queue cannot work like this."""

    is_fatal: bool
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


@dataclass(frozen=True)
class ServerFacts:
    """None and empty values: the server would not say (no permission, no answer)."""

    is_reachable: bool
    engine: str = ""
    version: tuple[int, ...] = ()
    mode: str = ""
    role: str = ""
    is_aof_on: bool | None = None
    fsync: str | None = None
    maxmemory_bytes: int | None = None
    maxmemory_policy: str | None = None
    used_memory_bytes: int | None = None
    idle_timeout_s: int | None = None
    replicas: int | None = None
    replicas_wanted: int = 0
    problems: tuple[ServerProblem, ...] = ()

    @property
    def is_fit(self) -> bool:
        """Whether nothing fatal was found."""
        return not any(problem.is_fatal for problem in self.problems)

    @property
    def durability(self) -> str:
        """`always`, `everysec` or `no` with an append-only file, else `none`; `unknown`. With
        DURABILITY=replicas also how many acknowledge: `everysec, 1 replica`."""
        file = "unknown"
        if self.is_aof_on is not None:
            file = (self.fsync or "unknown") if self.is_aof_on else "none"
        if not self.replicas_wanted:
            return file
        return f"{file}, {self.replicas_wanted} replica{'s' * (self.replicas_wanted > 1)}"


async def check_server(client: Redis | RedisCluster, replicas_wanted: int = 0) -> ServerFacts:
    """Ask the server (of a cluster, the queue's node) about itself. Raises nothing: faults are
    listed. `replicas_wanted`: how many must acknowledge a write.

    Needs INFO; what only CONFIG tells (`fsync`, `idle_timeout_s`) is None without it.
    """
    try:
        info = await _info(client)
    except NoPermissionError:
        remedy = "allow this user +info, or check version and durability yourself"
        problem = ServerProblem(False, "INFO is not permitted", remedy)
        return ServerFacts(is_reachable=True, problems=(problem,))
    except (RedisError, RedisClusterException, OSError) as error:
        problem = ServerProblem(
            True, f"no answer ({plain_reason(str(error))})", "check REDIS_URL and the server"
        )
        return ServerFacts(is_reachable=False, problems=(problem,))
    timeout = await _setting(client, "timeout")
    facts = replace(
        _read(info, await _setting(client, "appendfsync")),
        idle_timeout_s=int(timeout) if timeout and timeout.isdecimal() else None,
        replicas_wanted=replicas_wanted,
    )
    return replace(facts, problems=tuple(_problems(facts, info, isinstance(client, RedisCluster))))


def _read(info: Mapping[str, str], fsync: str | None) -> ServerFacts:
    version = info.get("valkey_version") or info.get("redis_version", "")
    return ServerFacts(
        is_reachable=True,
        engine=info.get("server_name", "redis"),
        version=tuple(int(part) for part in re.findall(r"\d+", version)[:3]),
        mode=info.get("server_mode") or info.get("redis_mode", ""),
        role=info.get("role", ""),
        is_aof_on=info["aof_enabled"] == "1" if "aof_enabled" in info else None,
        fsync=fsync,
        maxmemory_bytes=int(info["maxmemory"]) if "maxmemory" in info else None,
        maxmemory_policy=info.get("maxmemory_policy"),
        used_memory_bytes=int(info["used_memory"]) if "used_memory" in info else None,
        replicas=int(info["connected_slaves"]) if "connected_slaves" in info else None,
    )


async def _info(client: Redis | RedisCluster) -> dict[str, str]:
    # All sections: older servers, which are to be told so, take no list of them.
    if isinstance(client, RedisCluster) and not getattr(client, "home_key", ""):
        reply = await client.info(target_nodes=RedisCluster.RANDOM)
    else:
        reply = await client.info()
    return {str(name): str(value) for name, value in dict(reply).items()}


async def _setting(client: Redis | RedisCluster, name: str) -> str | None:
    try:
        reply = await client.config_get(name)
    except (RedisError, RedisClusterException, OSError):
        return None  # managed forms have no CONFIG
    return str(reply[name]) if isinstance(reply, dict) and name in reply else None


def _problems(
    facts: ServerFacts, info: Mapping[str, str], is_cluster_client: bool
) -> Iterator[ServerProblem]:
    lowest = LOWEST_VERSIONS.get(facts.engine)
    if lowest is None:
        what = f"{facts.engine or 'the server'} is not known to work"
        yield ServerProblem(False, what, f"use {_LOWEST}")
    elif facts.version and facts.version < lowest:
        shown = ".".join(map(str, facts.version))
        yield ServerProblem(True, f"{facts.engine} {shown} is too old", f"use {_LOWEST}")
    if facts.mode == "sentinel":
        remedy = "use redis+sentinel://HOST:26379/NAME"
        yield ServerProblem(True, "this is a sentinel, which keeps no data", remedy)
    if facts.mode == "cluster" and not is_cluster_client:
        remedy = "use redis+cluster://HOST:PORT"
        yield ServerProblem(True, "this is one node of a cluster", remedy)
    if facts.role == "slave":
        primary = f"{info.get('master_host', 'HOST')}:{info.get('master_port', 'PORT')}"
        remedy = f"use its primary, {primary}, or redis+sentinel://"
        yield ServerProblem(True, "this is a replica, which takes no writes", remedy)
    yield from _storage_problems(facts, info)


def _storage_problems(facts: ServerFacts, info: Mapping[str, str]) -> Iterator[ServerProblem]:
    # Also without maxmemory: somebody will set that one day, and lose jobs.
    if facts.maxmemory_policy not in (None, "noeviction"):
        what = f"maxmemory-policy {facts.maxmemory_policy} throws jobs away when memory is full"
        yield ServerProblem(True, what, "CONFIG SET maxmemory-policy noeviction")
    if facts.is_aof_on is False:
        what = "the append-only file is off, so jobs are lost when the server ends"
        yield ServerProblem(False, what, "CONFIG SET appendonly yes, or accept it")
    if facts.idle_timeout_s and facts.idle_timeout_s < LEAST_IDLE_TIMEOUT_S:
        what = f"the server hangs up on clients that wait for {facts.idle_timeout_s} s"
        yield ServerProblem(False, what, "CONFIG SET timeout 0")
    if facts.replicas is not None and facts.replicas < facts.replicas_wanted:
        what = f"{facts.replicas} of the {facts.replicas_wanted} replicas are connected that have "
        remedy = "start replicas, or set DURABILITY=server; no submit is acknowledged meanwhile"
        yield ServerProblem(False, f"{what}to acknowledge each submit", remedy)
    for name, file in _WRITE_STATUSES:
        if info.get(name, "ok") != "ok":
            remedy = "look for a full disk and into the server's log"
            yield ServerProblem(True, f"the server cannot write its {file}", remedy)
    if info.get("aof_last_bgrewrite_status", "ok") != "ok":
        what = "the server could not rewrite its append-only file, which grows now"
        remedy = "see to memory for a fork (vm.overcommit_memory=1), disk, and the server's log"
        yield ServerProblem(False, what, remedy)
