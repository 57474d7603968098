"""Requests of custom spiders as text in the frontier, and back; nothing else is ever revived."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import orjson
from scrapy import Request

from scraper import sitemaps

if TYPE_CHECKING:
    from scraper.job_spider import JobSpider

MAX_EXTRA_BYTES = 8_192


class RequestNotAllowedError(ValueError):
    """A request carries what the frontier does not store; says what to do."""


def _callback_name(request: Request, spider: JobSpider) -> str:
    if request.callback is None:
        return "parse"
    name = getattr(request.callback, "__name__", "")
    is_own = getattr(request.callback, "__self__", None) is spider
    if not is_own or name not in spider.page_callbacks:
        raise RequestNotAllowedError(
            f"callback {name or request.callback!r} is not in {type(spider).__name__}"
            f".page_callbacks {sorted(spider.page_callbacks)}: add its name there"
        )
    return name


def _allowed_meta(meta: dict[str, Any], allowed: Collection[str]) -> dict[str, Any]:
    return {key: meta[key] for key in allowed if key in meta}


def request_extra(request: Request, spider: JobSpider) -> str:
    """What is stored with the URL: "" for a plain GET to `parse`, else JSON.

    Raises RequestNotAllowedError for anything but a GET, a foreign callback, a large meta.
    """
    if request.method != "GET" or request.body:
        raise RequestNotAllowedError("only GET requests without a body become pages of a job")
    extra: dict[str, Any] = {}
    name = _callback_name(request, spider)
    if name != "parse":
        extra["callback"] = name
    # The `_meta` slot: reading `meta` would create a dict on each request.
    meta = _allowed_meta(request.meta, spider.page_meta)
    if meta:
        extra["meta"] = meta
    if not extra:
        return ""
    try:
        text = orjson.dumps(extra).decode()
    except TypeError as error:
        raise RequestNotAllowedError(f"request.meta is no plain JSON: {error}") from error
    if len(text) > MAX_EXTRA_BYTES:
        raise RequestNotAllowedError(f"request.meta is larger than {MAX_EXTRA_BYTES} bytes")
    return text


def apply_extra(extra: str, spider: JobSpider) -> tuple[Any, dict[str, Any]]:
    """The callback and the meta of a stored request; what is not allowed is left out."""
    if not extra:
        return spider.parse, {}
    stored = orjson.loads(extra)
    name = stored.get("callback", "parse")
    if name == sitemaps.CALLBACK:
        return spider.read_sitemap, _allowed_meta(stored["meta"], sitemaps.META)
    callback = getattr(spider, name) if name in spider.page_callbacks else spider.parse
    meta = stored.get("meta", {})
    return callback, _allowed_meta(meta, spider.page_meta) if isinstance(meta, dict) else {}
