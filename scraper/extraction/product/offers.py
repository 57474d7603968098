"""The offers and the variants of a product, as schema.org has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from scraper.extraction import limits
from scraper.extraction.product.values import (
    Price,
    read_availability,
    read_condition,
    read_gtin,
    read_price,
    short_text,
)
from scraper.extraction.schema_org import Item, items_in, text_of, types_of
from scraper.extraction.urls import http_url

_VARIANT_TEXTS: Final = ("name", "sku", "mpn", "color", "size", "material", "pattern")
_GTINS: Final = ("gtin13", "gtin", "gtin14", "gtin12", "gtin8")
_SOLD: Final = ("InStock", "LimitedAvailability", "OnlineOnly", "InStoreOnly", "PreOrder")


def add_offer(
    found: dict[str, object], product: Item, variants: Sequence[Mapping[str, object]]
) -> None:
    """Add price, currency, availability and condition of a product's offers to `found`.

    Of several offers the first that can be bought counts, and its own sku and GTIN where the
    product has none; of an AggregateOffer its lowest price.
    """
    offers = _opened(items_in(product.get("offers"))[: limits.MAX_PRODUCT_OFFERS])
    if not offers:
        _take_first_variant(found, variants)
        return
    priced = [(offer, _price_of(offer)) for offer in offers]
    offer, price = next(
        ((offer, price) for offer, price in priced if price and _can_be_bought(offer)),
        next(((offer, price) for offer, price in priced if price), priced[0]),
    )
    if price is not None:
        found |= {"price": price.amount, "currency": price.currency, "priceText": price.text}
    names = [read_availability(one.get("availability")) for one in offers]
    names += [read_availability(variant.get("availability")) for variant in variants]
    known = [name for name in names if name]
    found["availability"] = next((name for name in known if name in _SOLD), next(iter(known), None))
    found["condition"] = read_condition(offer.get("itemCondition") or product.get("itemCondition"))
    found["sku"] = found.get("sku") or short_text(offer.get("sku"), 100)
    found["mpn"] = found.get("mpn") or short_text(offer.get("mpn"), 100)
    found["gtin"] = found.get("gtin") or _gtin(offer)


def variants_of(
    product: Item, siblings: Sequence[Item], by_id: Mapping[str, Item], base_url: str
) -> list[dict[str, object]]:
    """The variants of a ProductGroup, or else the products of the same name (`siblings`, with
    the product itself), or else what its offers are for, where there are several.
    """
    variants = [by_id.get(str(one.get("@id")), one) for one in items_in(product.get("hasVariant"))]
    if not variants and len(siblings) > 1:
        variants = list(siblings)
    found = [_variant(one, base_url) for one in variants[: limits.MAX_PRODUCT_VARIANTS]]
    if not found:
        offers = _opened(items_in(product.get("offers"))[: limits.MAX_PRODUCT_VARIANTS])
        if len(offers) > 1:
            found = [_offered(offer, base_url) for offer in offers]
    return [variant for variant in found if len(variant) > 1]


def _opened(offers: Iterable[Item]) -> list[Item]:
    """Offers, with those that an AggregateOffer lists after it."""
    opened: list[Item] = []
    for offer in offers:
        opened.append(offer)
        if "AggregateOffer" in types_of(offer):
            opened += items_in(offer.get("offers"))[: limits.MAX_PRODUCT_OFFERS]
    return opened[: limits.MAX_PRODUCT_OFFERS]


def _price_of(offer: Item) -> Price | None:
    currency = offer.get("priceCurrency")
    for name in ("price", "lowPrice", "highPrice"):
        if price := read_price(offer.get(name), currency):
            return price
    for specification in items_in(offer.get("priceSpecification"))[:20]:
        kind = text_of(specification.get("priceType")) or ""
        # The price before a reduction, which nobody pays.
        if kind.endswith(("ListPrice", "SRP", "MSRP", "StrikethroughPrice")):
            continue
        price = read_price(
            specification.get("price") or specification.get("minPrice"),
            specification.get("priceCurrency") or currency,
        )
        if price:
            return price
    return None


def _can_be_bought(offer: Item) -> bool:
    availability = read_availability(offer.get("availability"))
    return availability is None or availability in _SOLD


def _gtin(item: Item) -> str | None:
    return next(filter(None, (read_gtin(item.get(name)) for name in _GTINS)), None)


def _variant(item: Item, base_url: str) -> dict[str, object]:
    found: dict[str, object] = {
        name: text for name in _VARIANT_TEXTS if (text := short_text(item.get(name), 200))
    }
    found["gtin"] = _gtin(item)
    for offer in _opened(items_in(item.get("offers"))[:1])[:1]:
        found |= _terms(offer)
        address = text_of(offer.get("url"))
        found["url"] = http_url(base_url, address) if address else None
    if address := text_of(item.get("url")):
        found["url"] = http_url(base_url, address)
    return _without_gaps(found)


def _offered(offer: Item, base_url: str) -> dict[str, object]:
    found = _terms(offer)
    for item in items_in(offer.get("itemOffered"))[:1]:
        found |= _variant(item, base_url)
    for name in _VARIANT_TEXTS:
        found.setdefault(name, short_text(offer.get(name), 200))
    found["gtin"] = found.get("gtin") or _gtin(offer)
    address = text_of(offer.get("url"))
    found["url"] = found.get("url") or (http_url(base_url, address) if address else None)
    return _without_gaps(found)


def _terms(offer: Item) -> dict[str, object]:
    price = _price_of(offer)
    return {
        "price": price.amount if price else None,
        "currency": price.currency if price else None,
        "availability": read_availability(offer.get("availability")),
    }


def _without_gaps(found: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in found.items() if value is not None}


def _take_first_variant(found: dict[str, object], variants: Sequence[Mapping[str, object]]) -> None:
    """A group without an offer of its own has that of its first variant that can be bought."""
    priced = [variant for variant in variants if "price" in variant]
    sold = [variant for variant in priced if variant.get("availability") in (None, *_SOLD)]
    for variant in [*sold, *priced][:1]:
        found["price"] = variant["price"]
        found["currency"] = variant.get("currency")
        found["priceText"] = str(variant["price"])
        found["availability"] = variant.get("availability")
