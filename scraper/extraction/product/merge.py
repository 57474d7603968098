"""Merges what the sources say of a product into one record, field by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from selectolax.lexbor import LexborHTMLParser

from scraper.extraction.product.from_open_graph import fields_from_open_graph, is_product
from scraper.extraction.product.from_schema import fields_from_schema
from scraper.extraction.product.values import read_gtin
from scraper.extraction.schema_org import Item
from scraper.extraction.text import encodable

# In the order of trust: JSON-LD is made for machines, the page's own look is guessed from.
SOURCES: Final = ("jsonLd", "microdata", "openGraph", "page")
FIELDS: Final = (
    *("name", "brand", "sku", "gtin", "mpn", "description", "price", "currency", "priceText"),
    *(
        "availability",
        "condition",
        "rating",
        "images",
        "variants",
        "breadcrumbs",
        "category",
        "url",
    ),
)
# What belongs together comes from one source: an amount in another's currency would be wrong.
_WITH_PRICE: Final = ("currency", "priceText")
_EMPTY: Final[Mapping[str, object]] = {"images": [], "variants": [], "breadcrumbs": []}


def read_product(
    tree: LexborHTMLParser | None,
    *,
    url: str,
    base_url: str,
    canonical: str | None,
    titles: Sequence[str],
    description: str | None,
    json_ld: Sequence[Item],
    microdata: Sequence[Item],
    open_graph: Mapping[str, str | list[str]],
) -> dict[str, object] | None:
    """The product that a page is about, or None where it is about none.

    All of FIELDS, None (or []) where nothing is known, and `sources`: the source of each field.
    `tree` is searched for what the markup does not say; with None it is not. `titles` are the
    page's title and headings.
    """
    names = [title.casefold() for title in titles if title]
    page_urls = frozenset(address for address in (url, canonical) if address)
    found: dict[str, Mapping[str, object]] = {
        source: fields_from_schema(
            objects, base_url=base_url, page_urls=page_urls, page_names=names
        )
        for source, objects in (("jsonLd", json_ld), ("microdata", microdata))
    }
    found["openGraph"] = fields_from_open_graph(open_graph, base_url)
    is_shop = bool(found["jsonLd"] or found["microdata"]) or is_product(open_graph)
    if tree is not None:
        from scraper.extraction.product.from_page import fields_from_page

        found["page"] = fields_from_page(tree, base_url)
        is_shop = is_shop or bool(found["page"].get("isShop"))
    if not is_shop:
        return None
    product, sources = _merged(found)
    if product["name"] is None:
        return None
    if product["description"] is None and description:
        product["description"], sources["description"] = description, "page"
    if product["url"] is None:
        product["url"], sources["url"] = canonical or url, "page"
    return {**_writable(product), "sources": sources}


def _merged(
    found: Mapping[str, Mapping[str, object]],
) -> tuple[dict[str, object], dict[str, str]]:
    product: dict[str, object] = {}
    sources: dict[str, str] = {}
    for name in FIELDS:
        source = sources.get("price") if name in _WITH_PRICE else _source_of(name, found)
        value = found[source].get(name) if source else None
        if source and value is not None:
            product[name], sources[name] = value, source
        else:
            empty = _EMPTY.get(name)
            product[name] = list(empty) if isinstance(empty, list) else None
    # Shops of books use the ISBN as their own number.
    sku = product["sku"]
    if product["gtin"] is None and isinstance(sku, str) and sku.startswith(("978", "979")):
        isbn = read_gtin(sku)
        if isbn and len(isbn) > 12:
            product["gtin"], sources["gtin"] = isbn, sources["sku"]
    if product["currency"] is None and product["price"] is not None:
        source = _source_of("currency", found)
        if source:
            product["currency"], sources["currency"] = found[source]["currency"], source
    return product, sources


def _source_of(name: str, found: Mapping[str, Mapping[str, object]]) -> str | None:
    return next((source for source in SOURCES if name in found.get(source, {})), None)


def _writable(product: Mapping[str, object]) -> dict[str, object]:
    """The product with texts that can be written as JSON."""
    return {name: _clean(value) for name, value in product.items()}


def _clean(value: object) -> object:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {name: _clean(one) for name, one in value.items()}
    return value
