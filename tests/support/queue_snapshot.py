"""Reads all of one queue out of a server at one instant, for tests to judge."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import redis

from scraper.jobs.connection import connect_sync
from scraper.jobs.keys import Keys

# One script, so that no other client comes in between.
_READ_ALL = """
local commands = {string = {'GET'}, hash = {'HGETALL'}, list = {'LRANGE', 0, -1},
  set = {'SMEMBERS'}, zset = {'ZRANGE', 0, -1, 'WITHSCORES'}, stream = {'XLEN'}}
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local command = commands[kind]
  all[#all + 1] = {key, kind, redis.call('PTTL', key),
                   redis.call(command[1], key, unpack(command, 2))}
end
return all
"""

_PASS_TIME = """
local ms = tonumber(ARGV[1])
local due = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #due, 2 do redis.call('ZADD', KEYS[1], due[i + 1] - ms, due[i]) end
for _, host in ipairs(ARGV[2] ~= '' and redis.call('KEYS', ARGV[2]) or {}) do
  for _, clock in ipairs({'next_at', 'paused_until'}) do
    local at = redis.call('HGET', host, clock)
    if at then redis.call('HSET', host, clock, string.format('%.0f', at - ms)) end
  end
  local ttl_ms = redis.call('PTTL', host)
  if ttl_ms > 0 then redis.call('PEXPIRE', host, math.max(1, ttl_ms - ms)) end
end
"""


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value


def _shaped(kind: str, value: Any) -> Any:
    if kind == "hash":
        texts = [_text(item) for item in value]
        return dict(zip(texts[::2], texts[1::2], strict=True))
    if kind == "zset":
        texts = [_text(item) for item in value]
        return {k: float(v) for k, v in zip(texts[::2], texts[1::2], strict=True)}
    if kind == "set":
        return {_text(item) for item in value}
    if kind == "list":
        return [_text(item) for item in value]
    return _text(value)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One key of the server. `value` is a dict, list, set, text, or a stream's length."""

    type: str
    ttl_ms: int
    value: Any


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page as packed in `job:<id>:pages`."""

    state: str
    depth: int
    parent: int
    attempts: int
    note: str

    @classmethod
    def unpack(cls, packed: str) -> StoredPage:
        state, depth, parent, attempts, *note = packed.split(" ", 4)
        return cls(state, int(depth), int(parent), int(attempts), note[0] if note else "")


@dataclass(frozen=True, slots=True)
class StoredLease:
    """An entry of `leases:<worker>`."""

    worker: str
    token: str
    job: str
    host: str
    start_at_ms: int
    url: str


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job with its parts."""

    id: str
    fields: dict[str, str]
    pages: dict[str, StoredPage]
    lanes: dict[str, list[str]]
    hosts: set[str]
    holders: dict[str, int]
    records: list[str]
    recorded: list[str]
    suspects: dict[str, Any]

    def number(self, name: str) -> int:
        return int(float(self.fields.get(name, 0)))

    @property
    def state(self) -> str:
        return self.fields["state"]

    @property
    def max_pages(self) -> int:
        return self.number("max_pages")

    def count(self, letters: str) -> int:
        """Pages in one of these states, by their letters."""
        return sum(page.state in letters for page in self.pages.values())


@dataclass(frozen=True)
class Snapshot:
    """All keys of the server; those of the queue without their prefix in `own`."""

    keys: Keys
    all: dict[str, StoredKey]
    own: dict[str, StoredKey] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of one of the queue's keys."""
        stored = self.own.get(name)
        return default if stored is None else stored.value

    @cached_property
    def jobs(self) -> dict[str, StoredJob]:
        names = [name for name in self.own if name.startswith("job:") and name.count(":") == 1]
        return {name[4:]: self._job(name[4:]) for name in names}

    def _job(self, job_id: str) -> StoredJob:
        base = f"job:{job_id}"
        pages = self.get(f"{base}:pages", {})
        holders = self.get(f"{base}:holders", {})
        return StoredJob(
            id=job_id,
            fields=self.get(base),
            pages={url: StoredPage.unpack(packed) for url, packed in pages.items()},
            lanes=self._lanes_by_job.get(job_id, {}),
            hosts=self.get(f"{base}:hosts", set()),
            holders={worker: int(leases) for worker, leases in holders.items()},
            records=self.get(f"{base}:records", []),
            recorded=self.get(f"{base}:recorded", []),
            suspects={
                url: json.loads(text) for url, text in self.get(f"{base}:suspects", {}).items()
            },
        )

    @cached_property
    def _lanes_by_job(self) -> dict[str, dict[str, list[str]]]:
        lanes: dict[str, dict[str, list[str]]] = {}
        for name, stored in self.own.items():
            parts = name.split(":", 3)
            if len(parts) == 4 and parts[0] == "job" and parts[2] == "lane":
                lanes.setdefault(parts[1], {})[parts[3]] = stored.value
        return lanes

    @cached_property
    def leases(self) -> list[StoredLease]:
        found = []
        for name, stored in self.own.items():
            if not name.startswith("leases:"):
                continue
            for token, packed in stored.value.items():
                url, job, host, start_at, *_ = packed.split(" ")
                found.append(StoredLease(name[7:], token, job, host, int(start_at), url))
        return found

    def turnstiles(self, kind: str) -> dict[str, set[str]]:
        """Lane -> the turnstiles (`ready:<pool>` or `parked:<host>`) in which it waits."""
        where: dict[str, set[str]] = {}
        for name, stored in self.own.items():
            parts = name.split("|")
            if name.startswith(f"{kind}:") and len(parts) == 3:
                for lane in stored.value:
                    where.setdefault(lane, set()).add(parts[0])
        return where


class QueueProbe:
    """Looks into a queue's server with a connection of its own."""

    def __init__(self, url: str, queue: str) -> None:
        self.keys = Keys(queue)
        self.redis: Any = connect_sync(url, read_timeout_s=60)

    def snapshot(self) -> Snapshot:
        """All keys as they are now."""
        found: dict[str, StoredKey] = {}
        rows: Any = self.redis.eval(_READ_ALL, 1, self.keys.key("meta"))
        for key, kind, ttl_ms, value in rows:
            name = _text(kind)
            found[_text(key)] = StoredKey(name, ttl_ms, _shaped(name, value))
        prefix = self.keys.prefix
        own = {key[len(prefix) :]: it for key, it in found.items() if key.startswith(prefix)}
        return Snapshot(self.keys, found, own)

    def events(self) -> list[dict[str, str]]:
        """All events in order: t, j, c, at, d; one for each page of an entry of many."""
        rows: Any = self.redis.xrange(self.keys.key("events"))
        found: list[dict[str, str]] = []
        for _, raw in rows:
            fields = {_text(k): _text(v) for k, v in raw.items()}
            urls = fields.pop("u", "").split()
            details = [json.dumps({"url": url, **json.loads(fields["d"])}) for url in urls]
            found += [fields | {"d": detail} for detail in details] or [fields]
        return found

    def pass_time(self, ms: int, *names: str) -> None:
        """Let everything in these keys be `ms` nearer, as if that time had passed.

        `hosts` stands for the clocks of all hosts.
        """
        for name in names:
            key = "hosts_due" if name == "hosts" else name
            hosts = self.keys.key("host:*") if name == "hosts" else ""
            self.redis.eval(_PASS_TIME, 1, self.keys.key(key), ms, hosts)

    def limit_memory(self, maxmemory: str) -> None:
        """Set the server's maxmemory, of a cluster that of all its nodes."""
        self.redis.config_set("maxmemory", maxmemory, **self._everywhere)

    def forget_functions(self) -> None:
        """What a server does that was replaced by an empty one."""
        self.redis.execute_command("FUNCTION FLUSH", **self._everywhere)

    @property
    def _everywhere(self) -> dict[str, Any]:
        is_cluster = isinstance(self.redis, redis.RedisCluster)
        return {"target_nodes": redis.RedisCluster.PRIMARIES} if is_cluster else {}

    def flush(self) -> None:
        """Empty the database."""
        self.redis.flushdb(**self._everywhere)

    def close(self) -> None:
        self.redis.close()
