"""How page records and errors are stored: JSON, compressed with Zstandard when that pays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from backports import zstd

# Below this a compressed record saves less than its CPU costs.
COMPRESS_ABOVE_BYTES = 512
# A hostile record in Redis must not blow up the reader.
MAX_UNPACKED_BYTES = 64 * 1024 * 1024
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

_compressor = zstd.ZstdCompressor(level=1)


def pack_record(record: Mapping[str, object]) -> bytes:
    """A record as it is stored: JSON, or one Zstandard frame of it."""
    text = orjson.dumps(record)
    if len(text) <= COMPRESS_ABOVE_BYTES:
        return text
    return _compressor.compress(text, mode=zstd.ZstdCompressor.FLUSH_FRAME)


def record_json(stored: bytes) -> bytes:
    """The JSON text of a stored record."""
    if not stored.startswith(_ZSTD_MAGIC):
        return stored
    return zstd.ZstdDecompressor().decompress(stored, max_length=MAX_UNPACKED_BYTES)


def unpack_record(stored: bytes) -> dict[str, Any]:
    """The record that `pack_record` stored."""
    record: dict[str, Any] = orjson.loads(record_json(stored))
    return record
