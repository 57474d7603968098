"""What the OpenGraph tags of a page say of its product (ogp.me, and Facebook's product:)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from scraper.extraction import limits
from scraper.extraction.product.values import (
    Price,
    read_availability,
    read_condition,
    read_gtin,
    read_price,
    short_text,
)
from scraper.extraction.urls import http_url

Tags: TypeAlias = Mapping[str, str | list[str]]

_PREFIXES: Final = ("product:", "og:")
_PRICES: Final = ("sale_price", "price")


def is_product(tags: Tags) -> bool:
    """Whether the page says that it is a product's, by its type or by a price."""
    kind = _first(tags, ("og:type",)) or ""
    return kind.lower() in ("product", "og:product", "product.item", "product.group") or any(
        name.endswith("price:amount") for name in tags
    )


def fields_from_open_graph(tags: Tags, base_url: str) -> dict[str, object]:
    """The fields of the product; names and images count on pages of other types, too."""
    price = _price(tags)
    image_tags = tags.get("og:image") or tags.get("og:image:url") or []
    images = [image_tags] if isinstance(image_tags, str) else image_tags
    urls = [http_url(base_url, image) for image in images[: limits.MAX_PRODUCT_IMAGES]]
    address = _first(tags, ("og:url",))
    found: dict[str, object] = {
        "name": short_text(_first(tags, ("og:title",)), limits.MAX_TITLE_CHARS),
        "brand": short_text(_first(tags, _named("brand")), 200),
        "sku": short_text(_first(tags, _named("retailer_item_id", "sku", "product_id")), 100),
        "mpn": short_text(_first(tags, _named("mfr_part_no", "mpn")), 100),
        "gtin": read_gtin(_first(tags, _named("gtin", "ean", "upc", "isbn"))),
        "description": short_text(
            _first(tags, ("og:description",)), limits.MAX_PRODUCT_DESCRIPTION_CHARS
        ),
        "category": short_text(_first(tags, _named("category")), 300),
        "availability": read_availability(_first(tags, _named("availability"))),
        "condition": read_condition(_first(tags, _named("condition"))),
        "images": list(dict.fromkeys(url for url in urls if url)),
        "url": http_url(base_url, address) if address else None,
    }
    if price:
        found |= {"price": price.amount, "currency": price.currency, "priceText": price.text}
    return {name: value for name, value in found.items() if value not in (None, [])}


def _price(tags: Tags) -> Price | None:
    for name in _PRICES:
        amount = _first(tags, _named(f"{name}:amount", name))
        currency = _first(tags, _named(f"{name}:currency", "price:currency"))
        if price := read_price(amount, currency):
            return price
    return None


def _named(*names: str) -> Sequence[str]:
    return [prefix + name for name in names for prefix in _PREFIXES]


def _first(tags: Tags, names: Iterable[str]) -> str | None:
    for name in names:
        value = tags.get(name)
        if value:
            return value[0] if isinstance(value, list) else value
    return None
