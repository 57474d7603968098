"""Markdown, chunks and tables of the main content."""

from __future__ import annotations

from typing import Any

import pytest

from scraper.extraction import Extras, Profile, parse_page
from scraper.extraction.limits import MAX_TABLE_COLUMNS, MAX_TABLE_ROWS
from scraper.extraction.main_content.chunks import MAX_CHUNK_TOKENS, split_markdown
from scraper.extraction.main_content.tokens import estimate_tokens

PROSE = "The quick brown fox jumps over the lazy dog while the sun sets behind the old mill. " * 3
PAGE = f"""<html><head><title>Foxes | The Daily</title></head><body>
<header><a href="/">Home</a><a href="/about">About us</a></header>
<nav><ul><li><a href="/a">Section A</a><li><a href="/b">Section B</a></ul></nav>
<div id="content"><article><h1>Foxes<a class="headerlink" href="#foxes">¶</a></h1>
<p>First. {PROSE}</p>
<h2>Where <code>they</code> live</h2><p>Second. {PROSE} See <a href="../dens.html">dens</a>.</p>
<img src="data:image/gif;base64,AAAA" data-src="fox.jpg" alt="A fox"><img src="pixel.gif">
<pre><code class="language-py">def fox():
    return 1
</code></pre>
<table><caption>Foxes by year</caption><tr><th>Year<th>Foxes</tr>
<tr><td>2023<td>12</tr><tr><td>2024<td>15 | 16</tr></table>
<p>Third. {PROSE}</p></article>
<div class="related"><h3>More</h3><ul><li><a href="/1">Wolves return to the hills</a>
<li><a href="/2">Badgers seen again in town</a></ul></div>
<div class="share"><a href="https://social.example/share">Share this</a></div></div>
<footer>All rights reserved</footer></body></html>"""


def main_content_of(markup: str, profile: Profile = Profile.FULL) -> dict[str, Any]:
    page = parse_page(
        markup.encode(),
        "https://example.com/docs/fox/index.html",
        content_type=None,
        profile=profile,
        extras=Extras(main_content=True),
    )
    return {"text": page.text, "truncated": page.truncated, **page.extras}


def test_markdown_has_the_content_and_not_what_is_around_it() -> None:
    markdown = main_content_of(PAGE)["markdown"]
    assert markdown.startswith("# Foxes\n\nFirst. ")
    assert "## Where `they` live\n" in markdown
    assert "[dens](https://example.com/docs/dens.html)" in markdown
    assert "![A fox](https://example.com/docs/fox/fox.jpg)" in markdown
    assert "```py\ndef fox():\n    return 1\n```" in markdown
    assert "| Year | Foxes |\n| --- | --- |\n| 2023 | 12 |\n| 2024 | 15 \\| 16 |" in markdown
    assert "Third." in markdown
    for word in ("About us", "Section A", "Wolves", "Share this", "rights reserved", "pixel", "¶"):
        assert word not in markdown


def test_text_is_the_main_text() -> None:
    text = main_content_of(PAGE)["text"]
    assert "Second." in text
    assert "Section A" not in text
    assert "Wolves" not in text


def test_chunks_have_their_headings() -> None:
    content = main_content_of(PAGE)
    assert [chunk["headingPath"] for chunk in content["chunks"]] == [
        ["Foxes"],
        ["Foxes", "Where they live"],
    ]
    assert [chunk["index"] for chunk in content["chunks"]] == [0, 1]
    assert content["chunks"][0]["tokenEstimate"] == estimate_tokens(content["chunks"][0]["text"])
    assert content["tokenEstimate"] == estimate_tokens(content["markdown"])


def test_tables_are_data() -> None:
    assert main_content_of(PAGE)["tables"] == [
        {
            "caption": "Foxes by year",
            "header": ["Year", "Foxes"],
            "rows": [["2023", "12"], ["2024", "15 | 16"]],
        }
    ]


def test_title_heads_what_has_no_heading() -> None:
    markdown = main_content_of(f"<title>Foxes</title><main><p>{PROSE}</p><p>{PROSE}</p></main>")
    assert markdown["markdown"].startswith("# Foxes\n\nThe quick")


@pytest.mark.parametrize("markup", ["", "<body>", "<p>Short.", "<frameset>", "<!--", "\0", "<pre>"])
def test_little_or_nothing_makes_no_trouble(markup: str) -> None:
    content = main_content_of(markup)
    assert content["tables"] == []
    assert len(content["chunks"]) <= 1


def test_turbo_leaves_the_main_content_out() -> None:
    assert main_content_of(PAGE, Profile.LINKS).keys() == {"text", "truncated"}


def test_page_of_many_tags_has_its_fast_text_as_markdown() -> None:
    page = f"<nav>Section A</nav><main><h1>Foxes</h1><p>{PROSE}</p>{'<br>' * 50_000}</main>"
    content = main_content_of(page)
    assert content["markdown"].startswith("Foxes\n\nThe quick")
    assert "Section A" not in content["markdown"]
    assert "markdown" in content["truncated"]


def test_spans_repeat_their_cell() -> None:
    table = """<table><tr><th>A<th colspan=2>B</tr><tr><td rowspan=2>1<td>2<td>3</tr>
        <tr><td>4<td>5</tr></table>"""
    (found,) = main_content_of(f"<main><p>{PROSE * 2}</p>{table}</main>")["tables"]
    assert found["header"] == ["A", "B", "B"]
    assert found["rows"] == [["1", "2", "3"], ["1", "4", "5"]]


def test_tables_for_the_layout_are_no_data_and_large_ones_are_cut() -> None:
    layout = f"<table><tr><td><table><tr><td>{PROSE}</table><td>x</table>"
    assert main_content_of(layout)["tables"] == []
    wide = "<tr>" + "<td>x" * (MAX_TABLE_COLUMNS + 1)
    content = main_content_of(f"<main><table>{wide * (MAX_TABLE_ROWS + 1)}</table></main>")
    (table,) = content["tables"]
    assert len(table["rows"]) == MAX_TABLE_ROWS
    assert len(table["rows"][0]) == MAX_TABLE_COLUMNS
    assert "tables" in content["truncated"]


@pytest.mark.parametrize(
    "block",
    [
        "word " * 5_000,
        "A sentence of six short words. " * 1_000,
        "x" * 100_000,
        "狐" * 10_000,
        "- an item of a list\n" * 2_000,
        "```\n" + "line of code\n" * 2_000 + "```",
        "| a | b |\n| - | - |\n" + "| 1 | 2 |\n" * 2_000,
        "!" * 50_000,
    ],
)
def test_no_chunk_is_much_larger_than_the_limit_and_nothing_is_lost(block: str) -> None:
    chunks = split_markdown(f"# T\n\n{block}", set())
    assert max(chunk["tokenEstimate"] for chunk in chunks) <= 1.1 * MAX_CHUNK_TOKENS
    kept = "".join("".join(chunk["text"] for chunk in chunks).split())
    given = "".join(block.split())
    assert len(kept) >= len(given)
    assert all(chunk["headingPath"] == ["T"] for chunk in chunks)


def test_parts_of_a_table_repeat_its_head() -> None:
    chunks = split_markdown("| a | b |\n| --- | --- |\n" + "| 1 | 2 |\n" * 500, set())
    assert len(chunks) > 1
    assert all(chunk["text"].startswith("| a | b |\n| --- |") for chunk in chunks)


def test_heading_in_code_is_no_heading_and_levels_close() -> None:
    markdown = "# A\n\n## B\n\none\n\n```\n# not\n\n# so\n```\n\n### C\n\ntwo\n\n## D\n\nthree"
    assert [(chunk["headingPath"], chunk["text"]) for chunk in split_markdown(markdown, set())] == [
        (["A", "B"], "one\n\n```\n# not\n\n# so\n```"),
        (["A", "B", "C"], "two"),
        (["A", "D"], "three"),
    ]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("word", 1), ("two words", 2), ("internationalisation", 3), ("12345", 2), ("a.b", 3)],
)
def test_tokens_are_estimated_as_documented(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_other_scripts_cost_more_a_character() -> None:
    assert estimate_tokens("狐" * 100) == 90
    assert estimate_tokens("л" * 100) == 40
