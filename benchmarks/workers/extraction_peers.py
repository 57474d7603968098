"""Runs in the peers' own environment: reads pages by their libraries, prints JSON.

Arguments: the kind (articles or products) and a JSON file with [{"id", "url", "file"}]. Prints
{peer: {"output": {id: text or fields}, "cpu_s": seconds}}.
"""

import gzip
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Fields = dict[str, object]
Peer = Callable[[str, str], str | Fields | None]


def trafilatura(html: str, url: str) -> str | None:
    import trafilatura as library

    return library.extract(html, url=url, include_comments=False)


def trafilatura_precision(html: str, url: str) -> str | None:
    import trafilatura as library

    return library.extract(html, url=url, include_comments=False, favor_precision=True)


def newspaper4k(html: str, url: str) -> str:
    import newspaper

    # By default it fetches the images of each page, to look at their sizes: minutes without them.
    article = newspaper.Article(url, fetch_images=False)
    article.download(input_html=html)
    article.parse()
    return str(article.text)


def readability(html: str, url: str) -> str:
    import html_text
    from readability import Document

    return html_text.extract_text(Document(html).summary())


def justext(html: str, url: str) -> str:
    import justext as library

    paragraphs = library.justext(html.encode(), library.get_stoplist("English"))
    return "\n".join(one.text for one in paragraphs if not one.is_boilerplate)


def html_text(html: str, url: str) -> str:
    import html_text as library

    return library.extract_text(html)


def extruct_price_parser(html: str, url: str) -> Fields:
    """As the product benchmark's own baseline does it, with brand and GTIN added."""
    import extruct

    data = extruct.extract(
        html, uniform=True, syntaxes=["microdata", "opengraph", "json-ld"], errors="ignore"
    )
    fields: Fields = {}
    for syntax in ("opengraph", "json-ld", "microdata"):
        read = _from_open_graph if syntax == "opengraph" else _from_schema
        fields |= {name: value for name, value in read(data[syntax]).items() if value}
    return fields


def _from_open_graph(objects: list[dict[str, Any]]) -> Fields:
    tags = {key.lower(): value for key, value in (objects[0] if objects else {}).items()}
    return {
        "price": _price(tags.get("og:price:amount") or tags.get("product:price:amount")),
        "sku": tags.get("og:sku") or tags.get("product:sku"),
        "brand": tags.get("og:brand") or tags.get("product:brand"),
        "availability": tags.get("og:availability") or tags.get("product:availability"),
    }


def _from_schema(objects: list[dict[str, Any]]) -> Fields:
    products = (one for one in objects if "Product" in str(one.get("@type")))
    product: dict[str, Any] = next(products, {})
    offers = product.get("offers") or [{}]
    offer = offers[0] if isinstance(offers, list) else offers
    offer = offer if isinstance(offer, dict) else {}
    brand = product.get("brand")
    return {
        "price": _price(offer.get("price") or offer.get("highPrice") or offer.get("lowPrice")),
        "sku": product.get("sku") or product.get("productID"),
        "brand": brand.get("name") if isinstance(brand, dict) else brand,
        "gtin": product.get("gtin13") or product.get("gtin"),
        "availability": offer.get("availability"),
    }


def _price(value: object) -> float | None:
    from price_parser import Price

    return Price.fromstring(str(value)).amount_float if value else None


PEERS: dict[str, list[Peer]] = {
    "articles": [trafilatura, trafilatura_precision, newspaper4k, readability, justext, html_text],
    "products": [extruct_price_parser],
}


def main() -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    kind, pages = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    found: dict[str, dict[str, Any]] = {}
    for peer in PEERS[kind]:
        output: dict[str, str | Fields | None] = {}
        cpu_s = 0.0
        for page in pages:
            html = gzip.decompress(Path(page["file"]).read_bytes()).decode("utf-8", "replace")
            started = time.process_time()
            try:
                output[page["id"]] = peer(html, page["url"])
            except Exception as error:  # a page that a library cannot read counts as empty
                print(f"{peer.__name__}: {page['url']}: {error!r}"[:200], file=sys.stderr)
                output[page["id"]] = None
            cpu_s += time.process_time() - started
        found[peer.__name__] = {"output": output, "cpu_s": cpu_s}
        print(f"{peer.__name__}: {len(pages)} pages in {cpu_s:.0f} s of CPU", file=sys.stderr)
    json.dump(found, sys.stdout, default=str)


if __name__ == "__main__":
    main()
