"""Finds the encoding of a page and gives its markup as UTF-8."""

import re
from functools import lru_cache
from typing import Final

from scraper.extraction.encoding_labels import codec_of, encoding_of

# Browsers look at 1,024 bytes, and parse again when a <meta> further down says otherwise.
_PRESCAN_BYTES: Final = 4_096
_MAX_CACHED_CHARS: Final = 256

# The marks of UTF-32 first: that of UTF-16LE begins as UTF-32LE's does.
_BYTE_ORDER_MARKS: Final = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32le"),
    (b"\0\0\xfe\xff", "utf-32be"),
    (b"\xff\xfe", "utf-16le"),
    (b"\xfe\xff", "utf-16be"),
)
_MARK_BYTES: Final = frozenset(b"\xef\xff\0\xfe")
# A first '<' with its zero bytes tells the encoding of unmarked pages (XML 1.0, appendix F).
_UNMARKED: Final = (
    (b"<\0\0\0", "utf-32le"),
    (b"\0\0\0<", "utf-32be"),
    (b"<\0", "utf-16le"),
    (b"\0<", "utf-16be"),
)

_HEADER_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';,]+)""", re.IGNORECASE)
_META_OR_COMMENT = re.compile(
    rb"""<(?:!--.*?(?:-->|\Z)|meta[\s/]((?:[^>"']|"[^"]*"|'[^']*')*))""",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTE = re.compile(rb"""([^\s"'>/=]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""")
_CONTENT_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([^\s"';]+)""", re.IGNORECASE)
_XML_DECLARATION = re.compile(rb"""<\?xml\s[^>]*?encoding\s*=\s*["']([^"'>]+)""")


def detect_encoding(body: bytes, content_type: str | None) -> str:
    """The name of a page's encoding, as the Encoding Standard spells it, in lower case.

    Byte order mark, then the charset of the Content-Type header, then <meta> or the XML declaration
    in the first 4,096 bytes, then UTF-8 if it is valid, else windows-1252.
    """
    if body[:1] and body[0] in _MARK_BYTES:
        for mark, encoding in _BYTE_ORDER_MARKS:
            if body.startswith(mark):
                return encoding
    if content_type:
        found = _header_encoding(content_type)
        if found:
            return found
    return _declared_encoding(body[:_PRESCAN_BYTES]) or _likely_encoding(body)


def utf8_markup(body: bytes, encoding: str) -> bytes:
    """A page's bytes as UTF-8 without byte order mark; what is undecodable becomes U+FFFD.

    Bytes that are declared to be UTF-8 are not checked: the parser replaces what is invalid.
    """
    if encoding == "utf-8":
        return body.removeprefix(b"\xef\xbb\xbf")
    text = body.decode(codec_of(encoding), "replace")
    return text.removeprefix("\ufeff").encode("utf-8", "replace")


def _header_encoding(content_type: str) -> str | None:
    if len(content_type) > _MAX_CACHED_CHARS:
        return None
    return _cached_header_encoding(content_type)


@lru_cache(maxsize=256)
def _cached_header_encoding(content_type: str) -> str | None:
    match = _HEADER_CHARSET.search(content_type)
    return encoding_of(match[1]) if match else None


def _declared_encoding(start: bytes) -> str | None:
    if b"charset" in start.lower():
        for match in _META_OR_COMMENT.finditer(start):
            attributes = match[1]
            if attributes and (encoding := _meta_encoding(attributes[:_MAX_CACHED_CHARS])):
                return encoding
    declaration = _XML_DECLARATION.match(start)
    return _declared(declaration[1]) if declaration else None


@lru_cache(maxsize=256)
def _meta_encoding(markup: bytes) -> str | None:
    """What the attributes of one <meta> declare, by `charset` or by `http-equiv`."""
    attributes = {
        name.lower(): value.strip(b"\"'") for name, value in reversed(_ATTRIBUTE.findall(markup))
    }
    label = attributes.get(b"charset")
    if label is None and attributes.get(b"http-equiv", b"").lower() == b"content-type":
        match = _CONTENT_CHARSET.search(attributes.get(b"content", b""))
        label = match[1] if match else None
    return _declared(label) if label else None


def _declared(label: bytes) -> str | None:
    encoding = encoding_of(label.decode("latin-1"))
    # The declaration itself was read as ASCII, so it cannot be true of UTF-16 or UTF-32.
    if encoding and encoding.startswith(("utf-16", "utf-32")):
        return "utf-8"
    return encoding


def _likely_encoding(body: bytes) -> str:
    if b"\0" in body[:4]:
        for start, encoding in _UNMARKED:
            if body.startswith(start):
                return encoding
    try:
        body.decode()
    except UnicodeDecodeError:
        return "windows-1252"
    return "utf-8"
