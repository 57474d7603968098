"""Reads sitemaps as a stream: XML, feeds, gzip, plain text, and the Sitemap lines of robots.txt.

The protocol is that of sitemaps.org. No entity is ever declared or loaded: a file that tries is
refused. Of a file that is broken or too large, what stands before that counts.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

# The limits of the protocol.
MAX_SITEMAP_BYTES: Final = 50 * 1024 * 1024
MAX_SITEMAP_URLS: Final = 50_000
_MAX_URL_CHARS: Final = 2_048
_MAX_XML_DEPTH: Final = 64
_CHUNK_BYTES: Final = 64 * 1024
_GZIP: Final = b"\x1f\x8b"
_BOMS: Final = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")
# An '&' that begins no reference: the most frequent fault.
_STRAY_AMPERSAND = re.compile(rb"&(?!(?:#\d{1,7}|#x[0-9A-Fa-f]{1,6}|amp|lt|gt|quot|apos);)")
_LONGEST_REFERENCE: Final = 10
# `rel` of the link of an Atom entry that is the entry's own page.
_OWN_PAGE: Final = (None, "alternate")
_ROOTS = re.compile(rb"<(?:[\w.-]+:)?(urlset|sitemapindex)[\s>]")
_ROBOTS_LINE = re.compile(r"^[ \t]*sitemap[ \t]*:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(slots=True)
class Sitemap:
    """What one file lists, as written. `problem` is "" or what is wrong with it.

    `has_more`: there are entries behind the last one that was asked for.
    """

    pages: list[str] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)
    has_more: bool = False
    problem: str = ""

    @property
    def entries(self) -> int:
        return len(self.pages) + len(self.sitemaps)


class _EnoughError(Exception):
    """No more entries are wanted."""


class _RefusedError(Exception):
    """The file is not to be read on; the text says why."""


def is_xml_sitemap(body: bytes) -> bool:
    """Whether content looks like a sitemap in XML, or an index of sitemaps, not compressed."""
    return body[:200].lstrip()[:1] == b"<" and _ROOTS.search(body[:1_000]) is not None


def sitemaps_in_robots(body: bytes) -> list[str]:
    """The URLs of the Sitemap lines of a robots.txt, each once."""
    return list(dict.fromkeys(_ROBOTS_LINE.findall(body.decode("utf-8-sig", "replace"))))


def read_sitemap(body: bytes, *, skip: int = 0, most: int = MAX_SITEMAP_URLS) -> Sitemap:
    """At most `most` entries of a file behind its first `skip`."""
    found = Sitemap()
    taker = _Taker(found, skip, most)
    try:
        chunks = _without_blanks(_plain_chunks(body))
        first = next(chunks, b"")
        if first.startswith((b"<", *_BOMS[:2])):
            _read_xml(first, chunks, taker)
        else:
            _read_lines(first, chunks, taker)
    except _EnoughError:
        found.has_more = True
    except _RefusedError as error:
        found.problem = str(error)
    except expat.ExpatError as error:
        found.problem = f"it is broken: {error}"
    except zlib.error as error:
        found.problem = f"its gzip is broken: {error}"
    except (LookupError, ValueError) as error:
        found.problem = f"its text cannot be read: {error}"
    return found


class _Taker:
    """Keeps the entries that were asked for."""

    def __init__(self, found: Sitemap, skip: int, most: int) -> None:
        self._found = found
        self._skip = skip
        self._most = most

    def take(self, url: str, *, is_sitemap: bool) -> None:
        url = url.strip()
        if not url or len(url) > _MAX_URL_CHARS:
            return
        if self._skip:
            self._skip -= 1
            return
        if self._found.entries == self._most:
            raise _EnoughError
        (self._found.sitemaps if is_sitemap else self._found.pages).append(url)


def _plain_chunks(body: bytes) -> Iterator[bytes]:
    if not body.startswith(_GZIP):
        for start in range(0, min(len(body), MAX_SITEMAP_BYTES), _CHUNK_BYTES):
            yield body[start : start + _CHUNK_BYTES]
        return
    stream = zlib.decompressobj(wbits=31)
    left, total = body, 0
    while left and not stream.eof:
        chunk = stream.decompress(left, _CHUNK_BYTES)
        left = stream.unconsumed_tail
        total += len(chunk)
        if total > MAX_SITEMAP_BYTES:
            raise _RefusedError(f"it unpacks to more than {MAX_SITEMAP_BYTES:,} bytes")
        if chunk:
            yield chunk


def _without_blanks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks without blanks or a UTF-8 mark before the first character."""
    for chunk in chunks:
        start = chunk.removeprefix(_BOMS[2]).lstrip()
        if start:
            yield start
            break
    yield from chunks


# -- plain text ---------------------------------------------------------------------------------


def _read_lines(first: bytes, chunks: Iterator[bytes], taker: _Taker) -> None:
    rest = first
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        _take_lines(lines, taker)
        rest = rest[: _MAX_URL_CHARS + 2]
    _take_lines(rest.split(b"\n"), taker)


def _take_lines(lines: list[bytes], taker: _Taker) -> None:
    for line in lines:
        if line.strip()[:8].lower().startswith((b"http://", b"https://")):
            taker.take(line.decode("utf-8", "replace"), is_sitemap=False)


# -- XML ----------------------------------------------------------------------------------------


def _read_xml(first: bytes, chunks: Iterator[bytes], taker: _Taker) -> None:
    reader = _XmlReader(taker)
    if first.startswith(_BOMS[:2]):
        reader.feed(first)
        for chunk in chunks:
            reader.feed(chunk)
    else:
        rest = first
        for chunk in chunks:
            # A reference may be cut in two.
            cut = rest.rfind(b"&", -_LONGEST_REFERENCE)
            cut = len(rest) if cut < 0 else cut
            reader.feed(_STRAY_AMPERSAND.sub(b"&amp;", rest[:cut]))
            rest = rest[cut:] + chunk
        reader.feed(_STRAY_AMPERSAND.sub(b"&amp;", rest))
    reader.close()


class _XmlReader:
    """Takes <loc> of <url> and <sitemap>, and the links of RSS items and Atom entries."""

    def __init__(self, taker: _Taker) -> None:
        self._taker = taker
        self._path: list[str] = []
        self._text: list[str] | None = None
        self._chars = 0
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._add_text
        parser.EntityDeclHandler = self._refuse_entity
        self._parser = parser

    def feed(self, chunk: bytes) -> None:
        self._parser.Parse(chunk, False)

    def close(self) -> None:
        self._parser.Parse(b"", True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        parent = self._path[-1] if self._path else ""
        self._path.append(local)
        if len(self._path) > _MAX_XML_DEPTH:
            raise _RefusedError(f"it is nested more than {_MAX_XML_DEPTH} levels deep")
        if (local == "loc" and parent in ("url", "sitemap")) or (
            local == "link" and parent == "item"
        ):
            self._text, self._chars = [], 0
        elif local == "link" and parent == "entry" and attributes.get("rel") in _OWN_PAGE:
            self._taker.take(attributes.get("href", ""), is_sitemap=False)

    def _add_text(self, text: str) -> None:
        if self._text is not None and self._chars <= _MAX_URL_CHARS:
            self._chars += len(text)
            self._text.append(text)

    def _end(self, name: str) -> None:
        self._path.pop()
        if self._text is not None and name.rpartition(":")[2] in ("loc", "link"):
            url, self._text = "".join(self._text), None
            self._taker.take(url, is_sitemap=self._path[-1:] == ["sitemap"])

    def _refuse_entity(self, *_: object) -> None:
        raise _RefusedError("it declares entities")
