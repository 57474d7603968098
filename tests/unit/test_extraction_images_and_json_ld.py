"""The images and the JSON-LD of a page."""

import json

import pytest

from scraper.extraction import ParsedPage, Profile, parse_page
from scraper.extraction.limits import MAX_IMAGES, MAX_JSON_LD_BLOCKS, MAX_JSON_LD_TOTAL_CHARS


def read(markup: str) -> ParsedPage:
    return parse_page(
        markup.encode(), "https://example.com/a/", content_type=None, profile=Profile.FULL
    )


def read_json_ld(*blocks: str) -> ParsedPage:
    return read("".join(f'<script type="application/ld+json">{b}</script>' for b in blocks))


def test_images_are_absolute_and_listed_once() -> None:
    page = read("""<img src="1.jpg" alt=" A  shoe "><img src="/2.jpg"><img src="1.jpg" alt="again">
        <img alt="no source"><img src="">""")
    assert page.images == [
        {"src": "https://example.com/a/1.jpg", "alt": "A shoe"},
        {"src": "https://example.com/2.jpg", "alt": ""},
    ]


def test_images_follow_the_base_url() -> None:
    assert read('<base href="//cdn.example.org/x/"><img src="1.jpg">').images == [
        {"src": "https://cdn.example.org/x/1.jpg", "alt": ""}
    ]


def test_lazy_images_have_their_real_source() -> None:
    page = read("""<img src="data:image/gif;base64,R0lGOD" data-src="1.jpg">
        <img srcset="2.jpg 1x, 3.jpg 2x"><img src="data:image/png;base64,AAAA">""")
    assert [image["src"] for image in page.images] == [
        "https://example.com/a/1.jpg",
        "https://example.com/a/2.jpg",
    ]


def test_more_images_than_the_limit_are_cut() -> None:
    page = read("".join(f"<img src={number}>" for number in range(MAX_IMAGES + 1)))
    assert len(page.images) == MAX_IMAGES
    assert page.truncated == {"images"}


def test_json_ld_objects_are_kept_as_they_are() -> None:
    graph = {"@context": "https://schema.org", "@graph": [{"@type": "WebPage", "name": "x</p>"}]}
    page = read_json_ld(json.dumps(graph), '[{"@type": "A"}, {"@type": "B"}]', " ", "[]")
    assert page.json_ld == [graph, {"@type": "A"}, {"@type": "B"}]
    assert page.json_ld_broken == 0


@pytest.mark.parametrize("kind", ["Application/LD+JSON; charset=utf-8", " application/ld+json "])
def test_json_ld_type_is_read_as_a_media_type(kind: str) -> None:
    assert read(f'<script type="{kind}">{{"a": 1}}</script>').json_ld == [{"a": 1}]


@pytest.mark.parametrize(
    "block",
    [
        '<!-- {"a": "x"} -->',
        '//<![CDATA[\n{"a": "x"}\n//]]>',
        '{"a": "x"};',
        '\ufeff{"a": "x"}',
    ],
)
def test_wrapped_json_ld_is_read(block: str) -> None:
    assert read_json_ld(block).json_ld == [{"a": "x"}]


@pytest.mark.parametrize(
    "block",
    [
        '{"a": "x",}',
        '{"a": "x", // a note\n}',
        '/* a note */ {"a": "x"}',
        "{'a': 'x'}",
        "{&quot;a&quot;: &quot;x&quot;}",
        '{"a":\x01 "x"}',
        '{"@note": "a\nb", "a": "x",}',
    ],
)
def test_json_ld_is_repaired_as_search_engines_do(block: str) -> None:
    page = read_json_ld(block)
    assert page.json_ld[0]["a"] == "x"
    assert page.json_ld_broken == 0


def test_repaired_json_ld_has_no_numbers_that_a_record_cannot_carry() -> None:
    page = read_json_ld("{'n': 123456789012345678901234567890, 'm': NaN, 'i': -Infinity}")
    assert page.json_ld == [{"n": 1.2345678901234568e29, "m": None, "i": None}]


def test_lazy_sources_stand_in_for_placeholders() -> None:
    page = read('<img src="data:," data-original="1.jpg"><img data-lazy-src="2.jpg">')
    assert [image["src"][-5:] for image in page.images] == ["1.jpg", "2.jpg"]


def test_json_ld_that_speaks_of_nul_is_read() -> None:
    assert read_json_ld(r'{"a": "\\u0000"}').json_ld == [{"a": r"\u0000"}]


def test_raw_line_ends_and_huge_numbers_in_json_ld_are_read() -> None:
    page = read_json_ld('{"a": "x\ny", "n": 123456789012345678901234567890, "m": NaN}')
    assert page.json_ld == [{"a": "x\ny", "n": 1.2345678901234568e29, "m": None}]


@pytest.mark.parametrize(
    "block",
    [
        "{",
        '{"a": 1,} {',
        "alert(1)",
        '"text"',
        "[1, 2]",
        '{"a": "\\ud800"}',
        '{"a": "\\u0000"}',
        "[" * 100_000,
        '{"a":' * 100 + "1" + "}" * 100,
        "[" * 5000 + "]" * 5000,
    ],
)
def test_broken_json_ld_is_counted_and_skipped(block: str) -> None:
    page = read_json_ld(block, '{"fine": true}')
    assert page.json_ld == [{"fine": True}]
    assert page.json_ld_broken == 1


def test_json_ld_beyond_the_limits_is_cut() -> None:
    many = read_json_ld(*['{"a": 1}'] * (MAX_JSON_LD_BLOCKS + 1))
    assert len(many.json_ld) == MAX_JSON_LD_BLOCKS
    assert many.truncated == {"json_ld"}
    large = read_json_ld('{"a": 1}', json.dumps({"a": "x" * MAX_JSON_LD_TOTAL_CHARS}))
    assert large.json_ld == [{"a": 1}]
    assert large.truncated == {"json_ld"}
