"""Tells whether a response is an HTML page."""

import re
from functools import lru_cache
from typing import Final

_MAX_CACHED_CHARS: Final = 256
_HTML_TYPES: Final = frozenset(("text/html", "application/xhtml+xml"))
_XML_TYPES: Final = frozenset(("text/xml", "application/xml"))
# What servers say that do not know.
_UNKNOWN_TYPES: Final = frozenset(("", "*/*", "unknown/unknown", "application/unknown"))

# By the MIME Sniffing Standard (7.1), and what may stand before: comments, an XML declaration.
_HTML_START = re.compile(
    rb"""(?:\s|<!--.*?-->|<\?[^>]*>)*+
    <(?:!doctype\s+html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|meta)
    [\s/>]""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_XHTML_ROOT = re.compile(rb"<(?:!doctype\s+html|html)[\s>]", re.IGNORECASE)


def is_html(content_type: str | None, body_start: bytes) -> bool:
    """Whether a response is HTML or XHTML: by its Content-Type header, and where that is missing
    or says nothing, by how the body begins (512 bytes are enough).

    XML counts when its root is <html>.
    """
    media_type = _media_type(content_type) if content_type else ""
    if media_type in _HTML_TYPES:
        return True
    if media_type in _XML_TYPES:
        return _XHTML_ROOT.search(body_start) is not None
    return media_type in _UNKNOWN_TYPES and _begins_as_html(body_start)


def is_xml(content_type: str | None) -> bool:
    """Whether browsers would read it with their XML parser."""
    media_type = _media_type(content_type) if content_type else ""
    return media_type == "application/xhtml+xml" or media_type in _XML_TYPES


def _media_type(content_type: str) -> str:
    """The type without parameters, in lower case; '' for what is none ('html')."""
    return _cached_media_type(content_type[:_MAX_CACHED_CHARS])


@lru_cache(maxsize=256)
def _cached_media_type(content_type: str) -> str:
    # Some servers send two values; then the first counts.
    media_type = re.split("[;,]", content_type, maxsplit=1)[0].strip().lower()
    return media_type if "/" in media_type else ""


def _begins_as_html(body_start: bytes) -> bool:
    for mark in (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"):
        body_start = body_start.removeprefix(mark)
    if b"\0" in body_start[:4]:  # UTF-16 or UTF-32
        body_start = body_start.replace(b"\0", b"")
    return _HTML_START.match(body_start) is not None
