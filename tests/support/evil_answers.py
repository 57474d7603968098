"""Answers that crash their worker before their page's callback is called, in the C code's place.

Imported by a worker, this lays mines where its native code reads an answer: in the parser of
HTTP, and in the decoder of Content-Encoding.
"""

from __future__ import annotations

import ctypes
from typing import Any

from aiohttp.client_proto import ResponseHandler

from scraper.network.decoding import BodyDecoder
from tests.support.site import Answer

_IN_PARSER = b"crash-in-the-parser"
_IN_DECODER = b"crash-in-the-decoder"

CRASHES_PARSER = Answer(headers={"X-Evil": _IN_PARSER.decode()})
CRASHES_DECODER = Answer(_IN_DECODER, headers={"Content-Encoding": "gzip"})


def _crash(data: bytes, word: bytes) -> None:
    if word in data:
        ctypes.string_at(0)


def lay_mines() -> None:
    """From now on these answers end the process by SIGSEGV."""
    parse: Any = ResponseHandler.data_received
    decode: Any = BodyDecoder.feed

    def data_received(self: ResponseHandler, data: bytes) -> None:
        _crash(data, _IN_PARSER)
        parse(self, data)

    def feed(self: BodyDecoder, data: bytes) -> Any:
        _crash(data, _IN_DECODER)
        return decode(self, data)

    ResponseHandler.data_received = data_received  # type: ignore[method-assign]
    BodyDecoder.feed = feed  # type: ignore[method-assign]
