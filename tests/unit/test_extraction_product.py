"""One product record, merged from JSON-LD, microdata, OpenGraph and the page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scraper.extraction import Extras, Profile, parse_page
from scraper.extraction.product.merge import FIELDS

URL = "https://shop.example/p/7"


def product_of(markup: str, url: str = URL, profile: Profile = Profile.FULL) -> dict[str, Any]:
    product = maybe_product_of(markup, url, profile)
    assert product is not None
    return product


def maybe_product_of(
    markup: str, url: str = URL, profile: Profile = Profile.FULL
) -> dict[str, Any] | None:
    page = parse_page(
        markup.encode(), url, content_type=None, profile=profile, extras=Extras(product=True)
    )
    product = page.extras["product"]
    assert product is None or isinstance(product, dict)
    return product


def json_ld(*objects: object) -> str:
    blocks = [json.dumps(value) for value in objects]
    return "".join(f'<script type="application/ld+json">{block}</script>' for block in blocks)


SHOE = {
    "@context": "https://schema.org",
    "@type": "Product",
    "name": "Shoe",
    "brand": {"@type": "Brand", "name": "Acme"},
    "sku": "S-1",
    "gtin13": "4006381333931",
    "mpn": "M-1",
    "description": "<p>A <b>shoe</b></p>",
    "image": ["/1.jpg", {"@type": "ImageObject", "url": "/2.jpg"}],
    "category": ["Clothes", "Shoes"],
    "aggregateRating": {"ratingValue": "4,5", "reviewCount": "1,234", "bestRating": 5},
    "offers": {
        "@type": "Offer",
        "price": "1299.00",
        "priceCurrency": "EUR",
        "availability": "https://schema.org/InStock",
        "itemCondition": "http://schema.org/NewCondition",
    },
}


def test_json_ld_gives_every_field_and_its_source() -> None:
    crumbs = {
        "@type": "BreadcrumbList",
        "itemListElement": [
            {"@type": "ListItem", "position": 2, "name": "Shoes", "item": "/shoes"},
            {"@type": "ListItem", "position": 1, "item": {"@id": "/", "name": "Home"}},
        ],
    }
    product = product_of(json_ld(SHOE, crumbs))
    sources = product.pop("sources")
    assert list(product) == list(FIELDS)
    assert product == {
        "name": "Shoe",
        "brand": "Acme",
        "sku": "S-1",
        "gtin": "4006381333931",
        "mpn": "M-1",
        "description": "A shoe",
        "price": 1299.0,
        "currency": "EUR",
        "priceText": "1299.00",
        "availability": "InStock",
        "condition": "NewCondition",
        "rating": {"value": 4.5, "count": 1234, "best": 5.0},
        "images": ["https://shop.example/1.jpg", "https://shop.example/2.jpg"],
        "variants": [],
        "breadcrumbs": [
            {"name": "Home", "url": "https://shop.example/"},
            {"name": "Shoes", "url": "https://shop.example/shoes"},
        ],
        "category": "Clothes > Shoes",
        "url": URL,
    }
    assert sources.pop("url") == "page"
    assert set(sources.values()) == {"jsonLd"}


def test_each_field_comes_from_the_most_trusted_source_that_has_it() -> None:
    product = product_of(
        json_ld({"@type": "Product", "name": "By JSON-LD"})
        + """<meta property="og:title" content="By OpenGraph">
        <meta property="product:brand" content="Acme">
        <meta property="og:image" content="/o.jpg">
        <div itemscope itemtype="https://schema.org/Product"><b itemprop="name">By microdata</b>
        <b itemprop="sku">S-1</b></div>"""
    )
    assert (product["name"], product["sku"], product["brand"]) == ("By JSON-LD", "S-1", "Acme")
    assert product["sources"] == {
        "name": "jsonLd",
        "sku": "microdata",
        "brand": "openGraph",
        "images": "openGraph",
        "url": "page",
    }


def test_price_and_currency_are_of_one_source() -> None:
    product = product_of(
        """<meta property="product:price:amount" content="10">
        <meta property="product:price:currency" content="USD"><meta property="og:title" content="T">
        <div itemscope itemtype="https://schema.org/Product"><b itemprop="name">T</b>
        <div itemprop="offers" itemscope><b itemprop="price" content="12">12</b></div></div>"""
    )
    assert (product["price"], product["currency"]) == (12.0, "USD")
    assert product["sources"]["price"] == "microdata"
    assert product["sources"]["currency"] == "openGraph"


def test_open_graph_alone_makes_a_product() -> None:
    product = product_of("""<meta property="og:type" content="product">
        <meta property="og:title" content="Shoe">
        <meta property="og:price:amount" content="1.299,00">
        <meta property="og:price:currency" content="EUR">
        <meta property="product:availability" content="in stock">
        <meta property="product:condition" content="used">
        <meta property="product:retailer_item_id" content="S-1">""")
    assert (product["price"], product["priceText"]) == (1299.0, "1.299,00")
    assert (product["availability"], product["condition"]) == ("InStock", "UsedCondition")
    assert product["sku"] == "S-1"


def test_page_itself_is_searched_when_nothing_is_marked_up() -> None:
    product = product_of("""<nav class="breadcrumb"><a href="/">Home</a> &gt; <a href="/s">Shoes</a>
        </nav><h1>Shoe</h1><div class="related"><span class="price">9,99 €</span></div>
        <span class="product-brand">Acme</span><del class="price">59,90 €</del>
        <span class="old-price">59,90 €</span><span class="price">49,90 €</span>
        <span class="product-sku">SKU: S-100</span><button class="add-to-cart">Buy</button>""")
    assert (product["name"], product["brand"], product["sku"]) == ("Shoe", "Acme", "S-100")
    assert (product["price"], product["currency"]) == (49.9, "EUR")
    assert product["availability"] == "InStock"
    assert [crumb["name"] for crumb in product["breadcrumbs"]] == ["Home", "Shoes"]
    assert product["sources"]["price"] == "page"


def test_words_on_the_page_tell_that_a_product_is_sold_out() -> None:
    product = product_of("""<h1>Shoe</h1><b class="price">$5</b><form action="/cart"></form>
        <p class="stock">Sorry, sold out.</p>""")
    assert (product["availability"], product["currency"]) == ("OutOfStock", "$")


@pytest.mark.parametrize(
    "markup",
    [
        "<h1>About prices</h1><p class=price>Our prices start at 5 €.</p>",
        '<meta property="og:title" content="An article"><h1>An article</h1>',
        "",
        json_ld({"@type": "Article", "name": "An article"}),
        json_ld({"@type": "Product"}),
    ],
)
def test_page_that_is_no_shops_has_no_product(markup: str) -> None:
    assert maybe_product_of(markup) is None


def test_list_of_products_has_no_main_one() -> None:
    products = [{"@type": "Product", "name": f"Shoe {n}", "offers": {"price": n}} for n in "123"]
    assert maybe_product_of("<h1>Shoes</h1>" + json_ld(products)) is None
    listed = {"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "item": products[0]}]}
    assert maybe_product_of("<h1>Shoes</h1>" + json_ld(listed)) is None


def test_main_product_is_the_one_of_the_page() -> None:
    others = [{"@type": "Product", "name": n, "offers": {"price": 1}} for n in ("Sock", "Lace")]
    by_name = {"@type": "Product", "name": "Shoe"}
    assert product_of("<h1>The Shoe</h1>" + json_ld(*others, by_name))["name"] == "Shoe"
    by_url = {"@type": "Product", "name": "Boot", "url": "/p/7"}
    assert product_of("<h1>x</h1>" + json_ld(*others, by_url))["name"] == "Boot"
    in_graph = {
        "@graph": [{"@type": "ItemPage", "mainEntity": {"@id": "#p"}}, {**SHOE, "@id": "#p"}]
    }
    assert product_of(json_ld(in_graph))["name"] == "Shoe"


def test_product_group_has_its_variants_and_the_price_of_one_that_is_sold() -> None:
    def variant(size: str, price: float, availability: str) -> dict[str, object]:
        offer = {"price": price, "priceCurrency": "EUR", "availability": availability}
        return {"@type": "Product", "size": size, "sku": f"S-{size}", "offers": [offer]}

    group = {
        "@type": "ProductGroup",
        "name": "Shoe",
        "hasVariant": [variant("40", 50, "OutOfStock"), {"@id": "#41"}],
    }
    product = product_of(
        json_ld({"@graph": [group, {**variant("41", 60, "InStock"), "@id": "#41"}]})
    )
    assert product["variants"] == [
        {
            "sku": "S-40",
            "size": "40",
            "price": 50.0,
            "currency": "EUR",
            "availability": "OutOfStock",
        },
        {"sku": "S-41", "size": "41", "price": 60.0, "currency": "EUR", "availability": "InStock"},
    ]
    assert (product["price"], product["availability"]) == (60.0, "InStock")


def test_several_offers_are_variants_and_the_first_that_can_be_bought_has_the_price() -> None:
    offers = [
        {"price": 5, "availability": "OutOfStock", "itemOffered": {"color": "red"}},
        {"price": 6, "availability": "InStock", "itemOffered": {"color": "blue"}},
    ]
    product = product_of(json_ld({"@type": "Product", "name": "Shoe", "offers": offers}))
    assert (product["price"], product["availability"]) == (6.0, "InStock")
    assert [variant["color"] for variant in product["variants"]] == ["red", "blue"]


@pytest.mark.parametrize(
    ("offers", "price"),
    [
        ({"@type": "AggregateOffer", "lowPrice": "5", "highPrice": "9"}, 5.0),
        ({"@type": "AggregateOffer", "offers": [{"@type": "Offer", "price": "7"}]}, 7.0),
        ({"priceSpecification": {"price": 8}}, 8.0),
        (
            {
                "priceSpecification": [
                    {"priceType": "https://schema.org/ListPrice", "price": 9},
                    {"price": 7},
                ]
            },
            7.0,
        ),
        ({"price": "34.000"}, 34.0),
        ({"price": "34.000,00 €"}, 34000.0),
        ({"price": 0}, 0.0),
        ({"price": "on request"}, None),
        ({"price": {"@value": "5"}}, 5.0),
        ({"price": "9" * 50}, None),
        ({"price": True}, None),
        ("call us", None),
        (["", None, 5], None),
    ],
)
def test_price_is_found_in_every_form_of_offer(offers: object, price: float | None) -> None:
    product = product_of(json_ld({"@type": "Product", "name": "Shoe", "offers": offers}))
    assert product["price"] == price


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("http://schema.org/InStock", "InStock"),
        ("https://schema.org/OutOfStock/", "OutOfStock"),
        ("in_stock", "InStock"),
        ("Sold Out", "SoldOut"),
        ("pre-order", "PreOrder"),
        ("unknown to all", None),
        (5, None),
    ],
)
def test_availability_has_the_names_of_schema_org(written: object, name: str | None) -> None:
    shoe = {"@type": "Product", "name": "Shoe", "offers": {"price": 1, "availability": written}}
    assert product_of(json_ld(shoe))["availability"] == name


@pytest.mark.parametrize(
    ("written", "gtin"),
    [
        ("4006381333931", "4006381333931"),
        ("4006381333932", None),
        (4006381333931, "4006381333931"),
        ("978-3-16-148410-0", "9783161484100"),
        ("0-306-40615-2", "0306406152"),
        ("0000000000000", None),
        ("S-1", None),
    ],
)
def test_gtin_must_have_a_right_check_digit(written: object, gtin: str | None) -> None:
    assert product_of(json_ld({"@type": "Product", "name": "x", "gtin": written}))["gtin"] == gtin


def test_isbn_as_the_shops_number_is_the_gtin_too() -> None:
    product = product_of(json_ld({"@type": "Book", "name": "x", "sku": "9783161484100"}))
    assert (product["gtin"], product["sources"]["gtin"]) == ("9783161484100", "jsonLd")
    assert (
        product_of(json_ld({"@type": "Book", "name": "x", "sku": "9783161484101"}))["gtin"] is None
    )


def test_turbo_reads_the_product_from_markup_alone() -> None:
    assert product_of(json_ld(SHOE), profile=Profile.LINKS)["price"] == 1299.0
    shop = "<h1>Shoe</h1><b class=price>5 €</b><form action=/cart></form>"
    assert maybe_product_of(shop) is not None
    assert maybe_product_of(shop, profile=Profile.LINKS) is None


@pytest.mark.parametrize(
    "value", [None, True, 5, "", "x", [], [[]], {}, [{}], {"name": []}, [None]]
)
@pytest.mark.parametrize("name", sorted(SHOE))
def test_odd_values_are_left_out(name: str, value: object) -> None:
    page = parse_page(
        json_ld({**SHOE, name: value}).encode(),
        URL,
        content_type=None,
        profile=Profile.FULL,
        extras=Extras(product=True),
    )
    product = page.extras["product"]
    assert product is None or isinstance(product, dict)
