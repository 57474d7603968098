"""Moves a queue to another server: key by key and by type, since data files do not load elsewhere.

Valkey's snapshots and the payloads of DUMP do not load in an older or another engine. The copy may
be broken off at any point and begun again; the target counts as empty for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from scraper.jobs.client import JobQueue
from scraper.jobs.doors import doors_of
from scraper.jobs.errors import JobsError

KEYS_AT_ONCE = 256
CHUNK = 500
# Keys of at most so many entries (bytes of a string) are copied whole, so many in one round trip.
_WHOLE = {b"string": 65536, b"hash": 64, b"set": 64, b"zset": 64, b"list": 32}
WHOLE_AT_ONCE = 32
# What lives for seconds: of supervisors and idle workers, who will not be there.
_RUNTIME = (
    "supervisor:", "supervisors", "name:", "loads", "orders:", "answer:", "wake:", "idle:",
    "migration",
)  # fmt: skip
_Item = TypeVar("_Item")
_SIZES = {
    b"hash": "HLEN", b"list": "LLEN", b"set": "SCARD", b"zset": "ZCARD", b"stream": "XLEN",
    b"string": "STRLEN",
}  # fmt: skip


class MigrationRefusedError(JobsError):
    """The queue cannot be moved as things are; the message says what to do first."""


class MigrationError(JobsError):
    """The copy is not the same as the original."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How much went over; `leases` of workers that did not come along were given back."""

    keys: int
    jobs: dict[str, int]
    leases: int


class _Found(NamedTuple):
    key: bytes
    kind: bytes
    ttl_ms: int


class Migration:
    """From one open queue to another of the same name."""

    def __init__(
        self,
        source: JobQueue,
        target: JobQueue,
        *,
        is_forced: bool = False,
        on_progress: Callable[[int], None] = lambda keys: None,
    ) -> None:
        """`is_forced`: also while supervisors run, and over what the target has."""
        self._source, self._target = source, target
        self._is_forced = is_forced
        self._on_progress = on_progress
        self._marker = target.transitions.keys.key("migration")

    async def run(self) -> Moved:
        """Copy, compare, give back the leases, then pause the source: nothing runs there twice.

        Raises MigrationRefusedError, MigrationError, RedisUnreachableError.
        """
        async with self._source.translated(), self._target.translated():
            await self._refuse()
            if self._is_forced:
                await self._clear_target()
            await self._target.redis.set(self._marker, "under way")
            keys = 0
            async for batch in self._batches():
                await self._copy(batch)
                keys += len(batch)
                self._on_progress(keys)
            await self._take_over_meta()
            await self._compare()
            workers = await self._target.reader.workers()
            leases = await self._target.transitions.reclaim_worker(workers) if workers else 0
            await self._retire_source()
            await self._target.redis.delete(self._marker)
            counts = await self._target.reader.counts()
        return Moved(keys, counts.by_state, leases)

    async def _refuse(self) -> None:
        if self._is_forced:
            return
        source, target = self._source.redis, self._target.redis
        keys = self._source.transitions.keys
        names = [name.decode() for name in await source.zrange(keys.key("supervisors"), 0, -1)]
        alive = [name for name in names if await source.exists(keys.key(f"supervisor:{name}"))]
        if alive:
            raise MigrationRefusedError(
                f"the queue is worked on by {', '.join(alive)}: end them first "
                "(`python -m supervisor drain`), or wait 15 s after a kill"
            )
        if await target.exists(self._marker):
            return  # ours, broken off
        if await target.exists(self._target.transitions.keys.key("totals")):
            raise MigrationRefusedError(
                f"the target has a queue {self._target.name!r} already: name another with --queue, "
                "remove it there, or use --force to write over it"
            )

    async def _clear_target(self) -> None:
        async for key in self._target.redis.scan_iter(
            match=f"{self._target.transitions.keys.prefix}*", count=1000
        ):
            await self._target.redis.unlink(key)

    async def _batches(self) -> Any:
        """The keys of the queue and of its doors, some hundred at a time."""
        found: set[bytes] = set()
        patterns = [f"{self._source.transitions.keys.prefix}*"]
        doors = doors_of(self._source.name, sorted(self._source.job_types))
        patterns += [f"{{{door.key}}}:*" for door in doors if not door.is_queue_slot]
        for pattern in patterns:
            async for key in self._source.redis.scan_iter(match=pattern, count=1000):
                found.add(key)
        names = [door.key.encode() for door in doors]
        for name in names:
            if await self._source.redis.exists(name):
                found.add(name)
        for batch in _in_parts(sorted(filter(self._is_kept, found)), KEYS_AT_ONCE):
            yield batch

    def _is_kept(self, key: bytes) -> bool:
        prefix = self._source.transitions.keys.prefix.encode()
        return not key.startswith(prefix) or not key[len(prefix) :].decode().startswith(_RUNTIME)

    async def _copy(self, keys: Sequence[bytes]) -> None:
        kinds = await _ask(self._source, [("TYPE", key) for key in keys])
        ends = await _ask(self._source, [("PTTL", key) for key in keys])
        await _ask(self._target, [("UNLINK", key) for key in keys])
        found = [
            _Found(key, kind, ttl_ms)
            for key, kind, ttl_ms in zip(keys, kinds, ends, strict=True)
            if kind != b"none"
        ]
        sizes = await _ask(self._source, [(_SIZES[it.kind], it.key) for it in found])
        whole: list[_Found] = []
        large: list[_Found] = []
        for it, size in zip(found, sizes, strict=True):
            (whole if size <= _WHOLE.get(it.kind, -1) else large).append(it)
        for part in _in_parts(whole, WHOLE_AT_ONCE):
            await self._copy_whole(part)
        for it in large:
            await self._copy_one(*it)

    async def _copy_whole(self, found: Sequence[_Found]) -> None:
        async with self._source.redis.pipeline(transaction=False) as pipe:
            for it in found:
                _read_whole(pipe, it.key, it.kind)
            values = await pipe.execute()
        writes: list[tuple[Any, ...]] = []
        for it, value in zip(found, values, strict=True):
            if value or value == b"":  # else it expired meanwhile
                writes.append(_write_of(it.key, it.kind, value))
                if it.ttl_ms > 0:
                    writes.append(("PEXPIRE", it.key, it.ttl_ms))
        await _ask(self._target, writes)

    async def _copy_one(self, key: bytes, kind: bytes, ttl_ms: int) -> None:
        writes: list[tuple[Any, ...]] = []
        async for command in _commands_for(self._source.redis, key, kind):
            writes.append(command)
            if len(writes) == 10:
                await _ask(self._target, writes)
                writes.clear()
        if ttl_ms > 0:
            writes.append(("PEXPIRE", key, ttl_ms))
        await _ask(self._target, writes)

    async def _take_over_meta(self) -> None:
        """A source that an earlier run has paused was not paused by anybody else."""
        meta = self._target.transitions.keys.key("meta")
        if await self._target.redis.hdel(meta, "moved"):
            await self._target.redis.hdel(meta, "paused")
        await self._target.redis.hdel(meta, "clock", "doubt_at")
        await self._target.initialize()

    async def _compare(self) -> None:
        meta = self._target.transitions.keys.key("meta").encode()
        settings = self._target.transitions.keys.key("settings").encode()
        async for batch in self._batches():
            kinds = await _ask(self._source, [("TYPE", key) for key in batch])
            sizes = [(_SIZES[kind], key) for kind, key in zip(kinds, batch, strict=True)]
            sizes = [(size, key) for size, key in sizes if key not in (meta, settings)]
            ours, theirs = await _ask(self._source, sizes), await _ask(self._target, sizes)
            for (_, key), one, other in zip(sizes, ours, theirs, strict=True):
                if one != other and await self._target.redis.pttl(key) == -1:
                    raise MigrationError(
                        f"{key.decode(errors='replace')} has {one} entries at the source and "
                        f"{other} at the target: see that nobody uses either, and run it again"
                    )

    async def _retire_source(self) -> None:
        """A supervisor that is started there by mistake leases nothing."""
        meta = self._source.transitions.keys.key("meta")
        if await self._source.redis.hget(meta, "paused") != b"1":
            await self._source.redis.hset(meta, mapping={"paused": "1", "moved": "1"})


def _read_whole(pipe: Any, key: bytes, kind: bytes) -> None:
    if kind == b"string":
        pipe.get(key)
    elif kind == b"hash":
        pipe.hgetall(key)
    elif kind == b"set":
        pipe.smembers(key)
    elif kind == b"list":
        pipe.lrange(key, 0, -1)
    else:
        pipe.zrange(key, 0, -1, withscores=True)


def _write_of(key: bytes, kind: bytes, value: Any) -> tuple[Any, ...]:
    """The command that adds what was read of a key, all of it or a part."""
    if kind == b"string":
        return "SET", key, value
    if kind == b"hash":
        return "HSET", key, *(text for pair in value.items() for text in pair)
    if kind == b"zset":
        return "ZADD", key, *(text for member, score in value for text in (repr(score), member))
    return "SADD" if kind == b"set" else "RPUSH", key, *value


async def _commands_for(redis: Any, key: bytes, kind: bytes) -> Any:
    """Commands that make the same value of a key elsewhere, in bounded pieces."""
    if kind == b"stream":
        async for command in _stream(redis, key):
            yield command
    elif kind == b"string":
        yield _write_of(key, kind, await redis.get(key))
    else:
        async for part in _parts_of(redis, key, kind):
            yield _write_of(key, kind, part)


def _parts_of(redis: Any, key: bytes, kind: bytes) -> Any:
    if kind == b"hash":
        return _scanned(redis.hscan, key)
    if kind == b"set":
        return _scanned(redis.sscan, key)
    if kind == b"list":
        return _ranged(redis.lrange, key)
    return _ranged(redis.zrange, key, withscores=True)


async def _scanned(scan: Any, key: bytes) -> Any:
    cursor = 0
    while True:
        cursor, part = await scan(key, cursor, count=CHUNK)
        if part:
            yield part
        if not cursor:
            return


async def _ranged(read: Any, key: bytes, **options: Any) -> Any:
    start = 0
    while part := await read(key, start, start + CHUNK - 1, **options):
        yield part
        start += CHUNK


async def _stream(redis: Any, key: bytes) -> Any:
    """With the ids of its entries and what was trimmed, so that readers go on where they were."""
    after = b"-"
    while entries := await redis.xrange(key, min=after, count=CHUNK):
        for entry_id, fields in entries:
            yield "XADD", key, entry_id, *(text for pair in fields.items() for text in pair)
        after = b"(" + entries[-1][0]
    info = await redis.xinfo_stream(key)
    if info["length"]:
        yield (
            "XSETID", key, info["last-generated-id"], "ENTRIESADDED", info["entries-added"],
            "MAXDELETEDID", info["max-deleted-entry-id"],
        )  # fmt: skip


async def _ask(queue: JobQueue, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The replies of many commands in one round trip."""
    if not commands:
        return []
    async with queue.redis.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        replies: list[Any] = await pipe.execute()
        return replies


def _in_parts(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
