"""What a shop page shows of its product where its markup does not say it: a search by names that
shops give to classes and ids. Guesses, so everything else goes before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from parsel import Selector
from selectolax.lexbor import LexborHTMLParser, LexborNode

from scraper.extraction import limits
from scraper.extraction.product.values import Price, read_brand, read_price, short_text
from scraper.extraction.text import collapsed

_PRICES: Final = (
    'h1, [itemprop="price"], [data-price], [class*="price" i], [id*="price" i],'
    ' [data-testid*="price" i], [class*="prix" i], [class*="preis" i], [class*="prezzo" i]'
)
_MAX_NODES: Final = 400
_MAX_CHARS: Final = 200_000
_MAX_LEVELS: Final = 12
_MAX_FRAGMENT_CHARS: Final = 20_000

# Words in class, id or tag of what stands around a price that is not the product's own.
_ELSEWHERE: Final = re.compile(
    r"old|was[-_]|[-_]was|strike|list-?price|rrp|msrp|regular|before|crossed|original|saving|save"
    r"|discount(?!ed)|relat|recommend|similar|cross-?sell|up-?sell|carousel|slider|also|recent|mini"
    r"|footer|header|nav|compare|bundle|shipping|delivery|instal|monthly|per-?unit|unit-?price"
    r"|filter|facet|range|wishlist|review|accessor|tax|points|modal|popup|variant-?list",
    re.IGNORECASE,
)
_STRUCK: Final = frozenset(("del", "s", "strike", "footer", "nav", "header", "aside"))
_HAS_DIGIT = re.compile(r"\d")
_CART: Final = (
    '[id*="add-to-cart" i], [id*="addtocart" i], [class*="add-to-cart" i], [class*="addtocart" i],'
    ' [name*="add-to-cart" i], [class*="add-to-bag" i], [class*="add-to-basket" i],'
    ' [class*="addtobasket" i], [class*="buy-now" i], [id*="buy-now" i], [class*="buybox" i],'
    ' [id*="buybox" i], [class*="btn-cart" i], form[action*="cart" i], [class*="add_to_cart" i],'
    ' [id*="add_to_cart" i], [class*="warenkorb" i], [class*="carrito" i], [class*="carrello" i],'
    ' [class*="panier" i], [data-testid*="add-to" i], [itemprop="offers"]'
)
_SKUS: Final = (
    '[itemprop="sku"], [itemprop="productID"], [data-sku], [data-product-sku], [data-asin],'
    ' input#ASIN, [class*="sku" i], [id*="sku" i], [class*="product-code" i],'
    ' [class*="item-number" i], [class*="article-number" i], [class*="product-id" i],'
    ' [class*="articlenumber" i], [class*="productcode" i], [class*="reference" i],'
    ' [data-product-id], [data-productid], input[name="product_id"], input[name="productId"]'
)
_SKU_ATTRIBUTES: Final = (
    *("content", "data-sku", "data-product-sku", "data-asin", "data-product-id"),
    *("data-productid", "value"),
)
_SKU = re.compile(
    r"(?:(?:sku|item|art(?:ikel|icle|icolo)?|model|product|prod|ref(?:erence)?|code|id|nr|no|number"
    r"|n[°º]|code|asin|catalog|stock|mfr|part)[\s.:#\-]*)*[:#]?\s*([A-Z0-9][A-Z0-9._/-]{2,39})",
    re.IGNORECASE,
)
_STOCK: Final = '[class*="stock" i], [id*="availability" i], [class*="availability" i]'
_SOLD_OUT = re.compile(
    r"out of stock|sold out|currently unavailable|not available|no longer available|ausverkauft"
    r"|nicht (?:verfügbar|auf lager|lieferbar)|rupture de stock|épuisé|indisponible|agotado"
    r"|no disponible|non disponibile|esaurito|esgotado|uitverkocht|нет в наличии|niedostępny",
    re.IGNORECASE,
)
_BRANDS: Final = '[class*="product-brand" i], [class*="brand-name" i], [class*="brandname" i]'
_BREADCRUMBS: Final = (
    '[class*="breadcrumb" i], [id*="breadcrumb" i], nav[aria-label*="breadcrumb" i]'
)


def fields_from_page(tree: LexborHTMLParser, base_url: str) -> dict[str, object]:
    """The fields that the page shows, {} when it looks like no shop's."""
    return _PageSearch(tree, base_url).fields()


@dataclass(slots=True)
class _PageSearch:
    tree: LexborHTMLParser
    base_url: str
    chars_left: int = _MAX_CHARS
    around: dict[int, bool] = field(default_factory=dict)

    def fields(self) -> dict[str, object]:
        heading = self.tree.css_first("h1")
        price = self._price()
        can_be_bought = self.tree.css_first(_CART) is not None
        found: dict[str, object] = {
            "name": self._text(heading, limits.MAX_TITLE_CHARS) if heading else None,
            "brand": self._brand(),
            "sku": self._sku(),
            "availability": self._availability(can_be_bought=can_be_bought),
            "breadcrumbs": self._breadcrumbs(),
        }
        if price:
            found |= {"price": price.amount, "currency": price.currency, "priceText": price.text}
        is_sold_out = found["availability"] == "OutOfStock" and found["sku"] is not None
        if (price and can_be_bought) or is_sold_out:
            found["isShop"] = True
        return {name: value for name, value in found.items() if value not in (None, [], "")}

    def _price(self) -> Price | None:
        """The first price after the page's heading, or else the last one before it."""
        before: Price | None = None
        is_after = False
        for node in self._nodes(_PRICES):
            if node.tag == "h1":
                is_after = True
                continue
            price = self._price_in(node)
            if price is None or price.amount == 0 or self._is_elsewhere(node):
                continue
            if is_after:
                return price
            before = price
        return before

    def _price_in(self, node: LexborNode) -> Price | None:
        attributes = node.attributes
        written = attributes.get("content") or attributes.get("data-price")
        text = written or self._text(node, 60)
        if not text or not _HAS_DIGIT.search(text) or len(text) > 40:
            return None
        price = read_price(text)
        # A bare number may count anything; a price has a currency, or is said to be one.
        if price is None or not (price.currency or attributes.get("itemprop") == "price"):
            return None
        return price

    def _is_elsewhere(self, node: LexborNode) -> bool:
        level: LexborNode | None = node
        for _ in range(_MAX_LEVELS):
            if level is None or level.tag in ("body", "main", "html"):
                return False
            known = self.around.get(level.mem_id)
            if known is None:
                attributes = level.attributes
                words = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"[:300]
                known = level.tag in _STRUCK or _ELSEWHERE.search(words) is not None
                self.around[level.mem_id] = known
            if known:
                return True
            level = level.parent
        return False

    def _sku(self) -> str | None:
        for node in self._nodes(_SKUS):
            attributes = node.attributes
            written = next(
                (attributes[name] for name in _SKU_ATTRIBUTES if attributes.get(name)), ""
            )
            text = written or self._text(node, 80)
            if not text or len(text) > 60 or self._is_elsewhere(node):
                continue
            match = _SKU.fullmatch(text.strip())
            if match and _HAS_DIGIT.search(match[1]):
                return match[1]
        return None

    def _availability(self, *, can_be_bought: bool) -> str | None:
        for node in self._nodes(_STOCK):
            text = self._text(node, 200)
            if text and _SOLD_OUT.search(text) and not self._is_elsewhere(node):
                return "OutOfStock"
        return "InStock" if can_be_bought else None

    def _brand(self) -> str | None:
        from zyte_parsers import extract_brand_name

        for node in self._nodes(_BRANDS):
            element = self._as_selector(node)
            if element is not None and not self._is_elsewhere(node):
                brand = read_brand(extract_brand_name(element, search_depth=3))
                if brand:
                    return brand
        return None

    def _breadcrumbs(self) -> list[dict[str, str | None]]:
        from zyte_parsers import extract_breadcrumbs

        for node in self._nodes(_BREADCRUMBS):
            element = self._as_selector(node)
            crumbs = (
                extract_breadcrumbs(element, base_url=self.base_url) if element is not None else ()
            )
            if crumbs and len(crumbs) > 1:
                return [
                    {"name": short_text(crumb.name, 200), "url": short_text(crumb.url, 2_048)}
                    for crumb in crumbs[:30]
                ]
        return []

    def _nodes(self, selector: str) -> Iterator[LexborNode]:
        nodes: Sequence[LexborNode] = self.tree.css(selector)
        yield from nodes[:_MAX_NODES]

    def _text(self, node: LexborNode, max_chars: int) -> str:
        """The text of an element while the page's budget lasts: elements that nest share theirs."""
        if self.chars_left <= 0:
            return ""
        text = node.text(separator=" ")
        self.chars_left -= len(text)
        return collapsed(text, max_chars + 1)

    def _as_selector(self, node: LexborNode) -> Selector | None:
        """An element as zyte-parsers takes it: parsed again, so only where it is small."""
        markup = node.html or ""
        self.chars_left -= len(markup)
        if self.chars_left <= 0 or len(markup) > _MAX_FRAGMENT_CHARS:
            return None
        # NUL ends a document for libxml2.
        found = Selector(markup.replace("\0", "")).css("body > *")
        return found[0] if found else None
