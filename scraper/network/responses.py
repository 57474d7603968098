"""From the parts of an HTTP answer to a Scrapy response, cheaply.

Scrapy's own choice of the class and of header keys costs more than parsing the answer;
both repeat from page to page, so they are remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from scrapy.http import Headers, JsonResponse, Response, XmlResponse
from scrapy.responsetypes import responsetypes

_MAX_REMEMBERED = 1000

_header_keys: dict[bytes, bytes] = {}
_classes: dict[bytes, type[Response]] = {}


def build_headers(raw: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Scrapy headers of `raw` (name, value) pairs, the values exactly as they came."""
    headers = Headers()
    for name, value in raw:
        key = _header_keys.get(name)
        if key is None:
            if len(_header_keys) >= _MAX_REMEMBERED:
                _header_keys.clear()
            key = _header_keys[name] = headers.normkey(name)
        # The plain dict's method: both key and value are in their normal form already.
        values = dict.get(headers, key)
        if values is None:
            dict.__setitem__(headers, key, [value])
        else:
            values.append(value)
    return headers


def last_value(headers: Headers, name: bytes) -> bytes | None:
    """The last value of a header; `name` as Scrapy writes it (b"Content-Type")."""
    # The plain dict's method: Scrapy's brings names and values into their normal form each time.
    values: list[bytes] | None = dict.get(headers, name)
    return values[-1] if values else None


def response_class(content_type: bytes | None, url: str, body: bytes) -> type[Response]:
    """The class for a response: by its Content-Type, else by the URL's ending and the body."""
    if content_type is None or b"/" not in content_type:
        return responsetypes.from_args(url=url, body=body)
    found = _classes.get(content_type)
    if found is None:
        if len(_classes) >= _MAX_REMEMBERED:
            _classes.clear()
        found = _classes[content_type] = _class_of(content_type)
    return found


def _class_of(content_type: bytes) -> type[Response]:
    found = responsetypes.from_content_type(content_type)
    if found is not Response:
        return found
    mime_type = content_type.partition(b";")[0].strip().lower()
    if mime_type.endswith(b"+json"):
        return JsonResponse
    if mime_type.endswith(b"+xml"):
        return XmlResponse
    return found


@lru_cache(maxsize=_MAX_REMEMBERED)
def peer_address(address: str) -> IPv4Address | IPv6Address:
    """The parsed form of a connection's remote address."""
    return ip_address(address)
