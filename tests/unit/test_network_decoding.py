"""Decoding of bodies: every coding, its limits, and streams that end too early."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from scraper.network.decoding import BodyDecoder
from scraper.network.failures import TooLargeError, TruncatedError, UndecodableError

MIB = 1024 * 1024
PAGE = b"<p>the same words over and over</p>" * 500


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: bytes(brotli.compress(data, quality=2)),
    "zstd": zstd.compress,
}


def decode(coding: str, data: bytes, *, piece: int = 1000, limit: int = MIB) -> bytes:
    decoder = BodyDecoder.of(coding, limit)
    assert decoder is not None
    out = b"".join(decoder.feed(data[at : at + piece]) for at in range(0, len(data), piece))
    decoder.finish("site.example")
    return out


@pytest.mark.parametrize("coding", ENCODERS)
@pytest.mark.parametrize("piece", [1, 7, 1000, MIB])
def test_body_is_the_same_however_it_is_cut(coding: str, piece: int) -> None:
    assert decode(coding, ENCODERS[coding](PAGE), piece=piece) == PAGE


@given(st.binary(max_size=3000), st.sampled_from(sorted(ENCODERS)), st.integers(1, 400))
def test_any_bytes_come_back(data: bytes, coding: str, piece: int) -> None:
    assert decode(coding, ENCODERS[coding](data), piece=piece) == data


def test_bare_deflate_is_understood() -> None:
    assert decode("deflate", bare_deflate(PAGE)) == PAGE


def test_codings_are_undone_in_reverse_order() -> None:
    assert decode("gzip, br", brotli.compress(gzip.compress(PAGE))) == PAGE


def test_names_of_codings_ignore_case_and_identity() -> None:
    assert decode(" GZip , identity", gzip.compress(PAGE)) == PAGE


@pytest.mark.parametrize("piece", [1, 50, MIB])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_concatenated_streams_are_one_body(coding: str, piece: int) -> None:
    pack = ENCODERS[coding]
    assert decode(coding, pack(b"one ") + pack(b"two ") + pack(b"three"), piece=piece) == (
        b"one two three"
    )


def test_padding_after_gzip_is_ignored() -> None:
    assert decode("gzip", gzip.compress(PAGE) + b"\0" * 512) == PAGE


@pytest.mark.parametrize("header", ["", "identity", "utf-8", "none, gzip"])
def test_header_that_names_no_known_coding_is_not_acted_on(header: str) -> None:
    assert BodyDecoder.of(header, MIB) is None


def test_too_many_codings_are_refused() -> None:
    with pytest.raises(UndecodableError):
        BodyDecoder.of("gzip, gzip, gzip, gzip", MIB)


@pytest.mark.parametrize("coding", ENCODERS)
def test_bomb_is_refused_within_bounded_memory(coding: str) -> None:
    bomb = ENCODERS[coding](bytes(64 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            decode(coding, bomb, piece=MIB, limit=MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB


def test_bomb_in_a_bomb_is_refused() -> None:
    with pytest.raises(TooLargeError):
        decode("gzip, gzip", gzip.compress(gzip.compress(bytes(64 * MIB))), limit=MIB)


def test_flood_of_tiny_members_is_refused() -> None:
    with pytest.raises(UndecodableError):
        decode("gzip", gzip.compress(b"") * 5000, piece=MIB)


@pytest.mark.parametrize("coding", ENCODERS)
def test_body_of_exactly_the_limit_passes(coding: str) -> None:
    assert decode(coding, ENCODERS[coding](bytes(5000)), limit=5000) == bytes(5000)
    with pytest.raises(TooLargeError):
        decode(coding, ENCODERS[coding](bytes(5001)), limit=5000)


@pytest.mark.parametrize("coding", ENCODERS)
def test_stream_without_end_is_truncated(coding: str) -> None:
    with pytest.raises(TruncatedError):
        decode(coding, ENCODERS[coding](PAGE)[:-5])


@pytest.mark.parametrize("coding", ENCODERS)
def test_body_that_is_not_encoded_is_undecodable(coding: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        decode(coding, b"<!doctype html><html>" + PAGE)
    assert caught.value.code == "undecodable"


@pytest.mark.parametrize("coding", ENCODERS)
def test_empty_body_is_whole(coding: str) -> None:
    assert decode(coding, b"") == b""


def test_zstd_that_wants_a_huge_window_is_refused() -> None:
    options = {int(zstd.CompressionParameter.window_log): 27}
    packer = zstd.ZstdCompressor(options=options)
    with pytest.raises(UndecodableError):
        decode("zstd", packer.compress(PAGE) + packer.flush())
