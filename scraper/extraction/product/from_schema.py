"""What JSON-LD or microdata says of the product of a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from scraper.extraction import limits
from scraper.extraction.product.offers import add_offer, variants_of
from scraper.extraction.product.values import (
    read_brand,
    read_count,
    read_gtin,
    read_number,
    short_text,
)
from scraper.extraction.schema_org import (
    Item,
    as_list,
    ids_of,
    items_in,
    leading_items,
    text_of,
    types_of,
)
from scraper.extraction.urls import http_url

_TYPES: Final = """
    Product ProductGroup IndividualProduct ProductModel SomeProducts Book Vehicle Car
    SoftwareApplication product
"""
PRODUCT_TYPES: Final = frozenset(_TYPES.split())
GTIN_NAMES: Final = ("gtin13", "gtin", "gtin14", "gtin12", "gtin8", "ean", "isbn")
_TAG = re.compile(r"<[^<>]{0,500}>")


def fields_from_schema(
    objects: Sequence[Item], *, base_url: str, page_urls: frozenset[str], page_names: Sequence[str]
) -> dict[str, object]:
    """The fields of the page's main product; {} where none is told of.

    `page_urls` are the page's addresses, `page_names` its titles: by them one of several products
    is chosen.
    """
    items = leading_items(objects)
    product = _main_product(items, base_url, page_urls, page_names)
    if product is None:
        return {}
    found: dict[str, object] = {
        "name": short_text(product.get("name"), limits.MAX_TITLE_CHARS),
        "brand": read_brand(product.get("brand") or product.get("manufacturer")),
        "sku": short_text(product.get("sku") or product.get("productID"), 100),
        "mpn": short_text(product.get("mpn"), 100),
        "gtin": _gtin(product),
        "description": _plain(product.get("description")),
        "category": _category(product.get("category")),
        "images": _images(product.get("image"), base_url),
        "url": http_url(base_url, text_of(product.get("url")) or "")
        if product.get("url")
        else None,
        "rating": _rating(product.get("aggregateRating")),
        "breadcrumbs": _breadcrumbs(items, base_url),
    }
    siblings = _same_named(items, product)
    variants = variants_of(product, siblings, ids_of(items), base_url)
    add_offer(found, product, variants)
    found["variants"] = variants
    return {name: value for name, value in found.items() if value not in (None, [], "")}


def _main_product(
    items: Sequence[Item],
    base_url: str,
    page_urls: frozenset[str],
    page_names: Sequence[str],
) -> Item | None:
    """The product that the page is about: the best match of address and name, else the first.

    A page with many products and no match is a list of products: it has no main one.
    """
    products = [item for item in items if not PRODUCT_TYPES.isdisjoint(types_of(item))]
    groups = [item for item in products if "ProductGroup" in types_of(item)]
    inner = {id(variant) for group in groups for variant in items_in(group.get("hasVariant"))}
    inner |= {id(item) for item in products if groups and "isVariantOf" in item}
    candidates = [item for item in products if id(item) not in inner or not groups]
    if not candidates:
        return None

    def merit(item: Item) -> tuple[bool, bool, bool, bool]:
        address = text_of(item.get("url")) or text_of(item.get("@id")) or ""
        name = (text_of(item.get("name")) or "").casefold()
        return (
            bool(address) and http_url(base_url, address) in page_urls,
            bool(name) and any(name in title or title in name for title in page_names),
            "offers" in item or "hasVariant" in item,
            bool(name),
        )

    best = max(candidates, key=merit)
    names = {text_of(item.get("name")) for item in candidates}
    is_list = len(names) > 2 and not any(merit(best)[:2])
    return None if is_list else best


def _same_named(items: Iterable[Item], product: Item) -> list[Item]:
    """The products of one name, where some shops list each size as one of its own."""
    name = text_of(product.get("name"))
    products = (item for item in items if not PRODUCT_TYPES.isdisjoint(types_of(item)))
    return [item for item in products if name and text_of(item.get("name")) == name]


def _gtin(product: Item) -> str | None:
    return next(filter(None, (read_gtin(product.get(name)) for name in GTIN_NAMES)), None)


def _plain(value: object) -> str | None:
    text = short_text(value, limits.MAX_PRODUCT_DESCRIPTION_CHARS)
    if text and "<" in text:
        text = " ".join(_TAG.sub(" ", text).split())
    return text or None


def _category(value: object) -> str | None:
    names = [short_text(one, 200) for one in as_list(value)[:20]]
    return " > ".join(name for name in names if name) or None


def _images(value: object, base_url: str) -> list[str]:
    written: list[str | None] = []
    for one in as_list(value)[: 2 * limits.MAX_PRODUCT_IMAGES]:
        if isinstance(one, dict):
            one_url = one.get("contentUrl") or one.get("url") or one.get("@id")
            written.append(text_of(one_url))
        else:
            written.append(text_of(one))
    urls = [http_url(base_url, text) for text in written if text]
    return list(dict.fromkeys(url for url in urls if url))[: limits.MAX_PRODUCT_IMAGES]


def _rating(value: object) -> dict[str, object] | None:
    for rating in items_in(value):
        number = read_number(rating.get("ratingValue"))
        if number is None:
            continue
        count = rating.get("reviewCount")
        if not read_count(count):
            count = rating.get("ratingCount") or count
        best = read_number(rating.get("bestRating"))
        found: dict[str, object] = {"value": number, "count": read_count(count), "best": best}
        return found if number <= (best or 100) else None
    return None


def _breadcrumbs(items: Iterable[Item], base_url: str) -> list[dict[str, str | None]]:
    for item in items:
        if "BreadcrumbList" not in types_of(item):
            continue
        crumbs = [
            _crumb(entry, base_url) for entry in islice(_in_order(item.get("itemListElement")), 30)
        ]
        if found := [crumb for crumb in crumbs if crumb["name"]]:
            return found
    return []


def _in_order(value: object) -> list[Item]:
    entries = items_in(value)[:100]
    return sorted(entries, key=lambda entry: read_count(entry.get("position")) or 0)


def _crumb(entry: Item, base_url: str) -> dict[str, str | None]:
    target = entry.get("item")
    inner = target if isinstance(target, dict) else {}
    address = text_of(inner.get("@id") or inner.get("url") or inner.get("item"))
    if isinstance(target, str):
        address = target
    name = short_text(entry.get("name") or inner.get("name"), 200)
    return {"name": name, "url": http_url(base_url, address) if address else None}
