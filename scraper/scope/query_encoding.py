"""Encodes a link's query string in the page's own encoding, as browsers do."""

import codecs
import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote

# The Encoding Standard reads these labels as their supersets, and so do browsers.
_SUPERSETS: Final = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gbk",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}

# An allow-list: Python also has codecs that are no text encodings of pages (idna, utf-7, rot13).
_PAGE_CODECS: Final = frozenset(
    {*_SUPERSETS.values(), *(f"cp{number}" for number in range(1250, 1259))}
    | {f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)}
    | {"cp866", "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic"}
    | {"gb18030", "euc_jp", "iso2022_jp"}
)

_NON_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


@lru_cache(maxsize=256)
def query_codec(encoding: str) -> str | None:
    """The Python codec for queries of pages in `encoding`; None means UTF-8, as for UTF-16 and
    for names that are unknown.
    """
    try:
        name = codecs.lookup(encoding.strip()).name
    except (LookupError, ValueError):
        return None
    name = _SUPERSETS.get(name, name)
    return name if name in _PAGE_CODECS else None


def encode_query(href: str, encoding: str) -> str:
    """`href` with the non-ASCII characters of its query as escapes of their bytes in `encoding`.

    A character that the encoding lacks becomes an escaped HTML reference (%26%238364%3B), by the
    URL Standard's "percent-encode after encoding". The rest of `href` is left as it is.
    """
    if href.isascii():
        return href
    codec = query_codec(encoding)
    if codec is None:
        return href
    before_fragment, hash_sign, fragment = href.partition("#")
    path, question_mark, query = before_fragment.partition("?")

    def escape(run: re.Match[str]) -> str:
        return quote(run[0].encode(codec, "xmlcharrefreplace"), safe="")

    return path + question_mark + _NON_ASCII.sub(escape, query) + hash_sign + fragment
