"""A whole queue as a JSON file, and back: what one release wrote, for the next one to read.

`python -m tests.support.queue_dump URL QUEUE > FILE` writes it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import redis


def dump(client: redis.Redis, queue: str) -> dict[str, list[Any]]:
    """Key -> type and value. Bytes are texts of the same numbers (Latin-1)."""
    found: dict[str, list[Any]] = {}
    for key in sorted(client.scan_iter(match=f"{{{queue}}}:*")):
        kind = client.type(key)
        assert isinstance(kind, bytes), "a client that decodes"
        found[_text(key)] = [kind.decode(), _READERS[kind.decode()](client, key)]
    return found


def load(client: redis.Redis, path: Path) -> None:
    """Write a dump into an empty server."""
    for name, (kind, value) in json.loads(path.read_text()).items():
        key = name.encode("latin-1")
        if kind == "hash":
            client.hset(key, mapping={_bytes(k): _bytes(v) for k, v in value.items()})
        elif kind == "list":
            client.rpush(key, *map(_bytes, value))
        elif kind == "set":
            client.sadd(key, *map(_bytes, value))
        elif kind == "zset":
            client.zadd(key, {_bytes(member): score for member, score in value})
        elif kind == "string":
            client.set(key, _bytes(value))
        else:
            for entry_id, fields in value:
                client.xadd(key, {_bytes(k): _bytes(v) for k, v in fields.items()}, id=entry_id)


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _fields(raw: dict[bytes, bytes]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in sorted(raw.items())}


_READERS: dict[str, Any] = {
    "hash": lambda client, key: _fields(client.hgetall(key)),
    "list": lambda client, key: [_text(it) for it in client.lrange(key, 0, -1)],
    "set": lambda client, key: sorted(_text(it) for it in client.smembers(key)),
    "zset": lambda client, key: [
        [_text(member), score] for member, score in client.zrange(key, 0, -1, withscores=True)
    ],
    "string": lambda client, key: _text(client.get(key)),
    "stream": lambda client, key: [
        [_text(entry_id), _fields(fields)] for entry_id, fields in client.xrange(key)
    ],
}

if __name__ == "__main__":
    with redis.Redis.from_url(sys.argv[1]) as source:
        json.dump(dump(source, sys.argv[2]), sys.stdout, indent=0, sort_keys=True)
