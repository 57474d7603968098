"""Microdata becomes objects in the shape of JSON-LD."""

import pytest

from scraper.extraction import ParsedPage, Profile, parse_page
from scraper.extraction.limits import MAX_MICRODATA_DEPTH, MAX_MICRODATA_PROPERTIES

URL = "https://example.com/a/"


def read(markup: str) -> ParsedPage:
    return parse_page(markup.encode(), URL, content_type=None, profile=Profile.FULL)


def test_items_nest_and_their_types_lose_the_prefix() -> None:
    page = read("""<div itemscope itemtype="https://schema.org/Product" itemid="urn:1">
        <h1 itemprop="name">A <b>shoe</b></h1>
        <div itemprop="offers" itemscope itemtype="http://schema.org/Offer">
            <span itemprop="price" content="12.50">12,50 EUR</span></div>
        </div><p itemprop="name">of nothing</p>""")
    assert page.microdata == [
        {
            "@type": "Product",
            "@id": "urn:1",
            "name": "A shoe",
            "offers": {"@type": "Offer", "price": "12.50"},
        }
    ]


@pytest.mark.parametrize(
    ("element", "value"),
    [
        ('<meta itemprop="p" content="x">', "x"),
        ('<a itemprop="p" href="b">x</a>', "https://example.com/a/b"),
        ('<link itemprop="p" href="http://schema.org/InStock">', "http://schema.org/InStock"),
        ('<img itemprop="p" src="1.jpg" alt="x">', "https://example.com/a/1.jpg"),
        ('<img itemprop="p">', ""),
        ('<data itemprop="p" value="7">seven</data>', "7"),
        ('<time itemprop="p" datetime="2024-01-02">then</time>', "2024-01-02"),
        ('<time itemprop="p">then</time>', "then"),
        ('<object itemprop="p" data="o.svg"></object>', "https://example.com/a/o.svg"),
        ('<b itemprop="p"> a <i>b</i></b>', "a b"),
    ],
)
def test_each_element_has_its_own_kind_of_value(element: str, value: str) -> None:
    assert read(f"<div itemscope>{element}</div>").microdata == [{"p": value}]


def test_several_values_and_several_names_are_kept() -> None:
    page = read(
        "<div itemscope><i itemprop='a b'>1</i><i itemprop=a>2</i><i itemprop=a>3</i></div>"
    )
    assert page.microdata == [{"a": ["1", "2", "3"], "b": "1"}]


def test_itemref_brings_properties_from_elsewhere() -> None:
    page = read("""<div itemscope itemref="more gone"><b itemprop="name">A</b></div>
        <div id="more"><p><i itemprop="sku">7</i></p>
        <div itemprop="brand" itemscope><i itemprop="name">B</i></div></div>""")
    assert page.microdata == [{"name": "A", "sku": "7", "brand": {"name": "B"}}]


def test_item_cannot_come_to_contain_itself() -> None:
    page = read("""<div itemscope itemref="b"><i itemprop="n">top</i></div>
        <div id="b" itemprop="x" itemscope itemref="c"></div>
        <div id="c" itemprop="y" itemscope itemref="b"></div>""")
    assert "top" in str(page.microdata)
    assert "..." not in str(page.microdata)


def test_name_of_a_property_cannot_replace_the_type() -> None:
    page = read('<div itemscope itemtype="https://schema.org/A"><i itemprop="@type n">x</i></div>')
    assert page.microdata == [{"@type": "A", "n": "x"}]


def test_deep_and_many_properties_are_cut() -> None:
    many = read("<div itemscope>" + "<i itemprop=a>x</i>" * (MAX_MICRODATA_PROPERTIES + 1))
    assert len(many.microdata[0]["a"]) == MAX_MICRODATA_PROPERTIES  # type: ignore[arg-type]
    assert many.truncated == {"microdata"}
    deep = read("<div itemscope itemprop=a><i itemprop=b>x</i>" * 2 * MAX_MICRODATA_DEPTH)
    assert deep.truncated == {"microdata"}
