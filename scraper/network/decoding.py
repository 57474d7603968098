"""Undoing Content-Encoding (gzip, deflate, br, zstd) piece by piece, within a size limit."""

from __future__ import annotations

import sys
import zlib
from typing import Protocol

import brotli  # type: ignore[import-untyped]

from scraper.network.failures import TooLargeError, TruncatedError, UndecodableError

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

ACCEPT_ENCODING = "gzip, deflate, br, zstd"

_MAX_CODINGS = 3
# A file of many tiny gzip members costs time out of proportion to its size.
_MAX_MEMBERS = 1000
# RFC 9659: a sender of zstd must not need more than 8 MiB of window.
_ZSTD_WINDOW_LOG = 23


class _Decoder(Protocol):
    def feed(self, data: bytes, room: int) -> bytes:
        """Decode `data`. More than `room` bytes in the reply mean: it does not fit."""

    def is_complete(self) -> bool:
        """Whether the stream has come to its end."""


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._inflate = zlib.decompressobj(window_bits)
        self._members = 1
        self._trailing = False

    def feed(self, data: bytes, room: int) -> bytes:
        if self._trailing:
            return b""
        if self._inflate.eof:
            return self._next_members(data, b"", room)
        out = self._inflate.decompress(data, room + 1)
        rest = self._inflate.unused_data
        return self._next_members(rest, out, room) if rest else out

    def _next_members(self, data: bytes, out: bytes, room: int) -> bytes:
        # Only gzip has members. What follows a stream and is none is padding, which
        # browsers ignore too.
        pieces = [out]
        size = len(out)
        while data and size <= room:
            self._members += 1
            if self._members > _MAX_MEMBERS:
                raise zlib.error("too many gzip members")
            inflate = zlib.decompressobj(self._window_bits)
            try:
                piece = inflate.decompress(data, room + 1 - size)
            except zlib.error:
                self._trailing = True
                break
            self._inflate = inflate
            pieces.append(piece)
            size += len(piece)
            data = inflate.unused_data
        return b"".join(pieces)

    def is_complete(self) -> bool:
        return self._inflate.eof


class _Deflate:
    """`deflate` is zlib's format by the standard, and bare deflate from many servers."""

    def __init__(self) -> None:
        self._zlib: _Zlib | None = None

    def feed(self, data: bytes, room: int) -> bytes:
        if self._zlib is None:
            has_header = data[0] & 0x0F == zlib.DEFLATED
            self._zlib = _Zlib(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        return self._zlib.feed(data, room)

    def is_complete(self) -> bool:
        return self._zlib is not None and self._zlib.is_complete()


class _Brotli:
    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    def feed(self, data: bytes, room: int) -> bytes:
        out: bytes = self._decompressor.process(data, output_buffer_limit=room + 1)
        return out

    def is_complete(self) -> bool:
        return bool(self._decompressor.is_finished())


class _Zstd:
    def __init__(self) -> None:
        self._decompressor = self._new()
        self._is_fresh = True

    @staticmethod
    def _new() -> ZstdDecompressor:
        return ZstdDecompressor(
            options={int(DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG}
        )

    def feed(self, data: bytes, room: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        for _ in range(_MAX_MEMBERS):
            if self._decompressor.eof:
                self._decompressor = self._new()
            piece = self._decompressor.decompress(data, room + 1 - size)
            pieces.append(piece)
            size += len(piece)
            data = self._decompressor.unused_data if self._decompressor.eof else b""
            if not data or size > room:
                return b"".join(pieces)
        raise ZstdError("too many zstd frames")

    def is_complete(self) -> bool:
        return self._decompressor.eof


def _new_decoder(coding: str) -> _Decoder | None:
    match coding:
        case "gzip" | "x-gzip":
            return _Zlib(zlib.MAX_WBITS | 16)
        case "deflate":
            return _Deflate()
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstd()
    return None


class BodyDecoder:
    """Decodes one body; its memory stays within a few times `limit_bytes`."""

    def __init__(self, content_encoding: str, decoders: list[_Decoder], limit_bytes: int) -> None:
        self._content_encoding = content_encoding
        self._decoders = decoders
        self._limit_bytes = limit_bytes
        self._has_input = False
        self._size = 0

    @classmethod
    def of(cls, content_encoding: str, limit_bytes: int) -> BodyDecoder | None:
        """The decoder for a header's value; None when it names nothing to undo.

        A header with an unknown coding is not acted on: servers put charsets there.
        """
        codings = [coding.strip().lower() for coding in content_encoding.split(",")]
        codings = [coding for coding in codings if coding not in ("", "identity")]
        if len(codings) > _MAX_CODINGS:
            raise UndecodableError(content_encoding, "too many codings")
        decoders = [_new_decoder(coding) for coding in reversed(codings)]
        known = [decoder for decoder in decoders if decoder is not None]
        if not known or len(known) < len(decoders):
            return None
        return cls(content_encoding, known, limit_bytes)

    def feed(self, data: bytes) -> bytes:
        """The plain bytes of the next piece; raises as soon as the limit is passed."""
        self._has_input = True
        try:
            for decoder in self._decoders:
                if not data:
                    return b""
                data = decoder.feed(data, self._limit_bytes - self._size)
                if len(data) > self._limit_bytes - self._size:
                    raise TooLargeError(self._limit_bytes)
        except (zlib.error, brotli.error, ZstdError) as exc:
            raise UndecodableError(self._content_encoding, str(exc)) from exc
        self._size += len(data)
        return data

    def finish(self, host: str) -> None:
        """Raise `TruncatedError` if the compressed stream did not come to its end."""
        if self._has_input and not all(decoder.is_complete() for decoder in self._decoders):
            raise TruncatedError(host, f"{self._content_encoding} stream without end")
