"""Reads the main content of a page as markdown, chunks and tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from selectolax.lexbor import LexborHTMLParser

from scraper.extraction import limits
from scraper.extraction.main_content.chunks import Chunk, split_markdown
from scraper.extraction.main_content.locate import locate_main
from scraper.extraction.main_content.prune import prune_main
from scraper.extraction.main_content.tables import Table, read_tables
from scraper.extraction.main_content.tokens import estimate_tokens
from scraper.extraction.main_text import read_whole_text
from scraper.extraction.text import encodable

_MAX_DEPTH: Final = 200
_BLANK_LINES = re.compile(r"\n{3,}")
_FIRST_HEADING = re.compile(r"^# ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MainContent:
    """`token_estimate` is that of the whole markdown; `text` is the same without marks, one
    paragraph a line, '' where trafilatura finds no main text.
    """

    text: str
    markdown: str
    token_estimate: int
    chunks: list[Chunk]
    tables: list[Table]


def read_main_content(
    markup: bytes, url: str, base_url: str, title: str | None, fast_text: str, cuts: set[str]
) -> MainContent:
    """The main content of a page; `markup` is UTF-8 that was tamed.

    `fast_text` is all that is made of a page that is too large for more. `title` becomes the first
    heading where the content has none of its level. Adds 'markdown', 'chunks', 'tables' to `cuts`.
    """
    is_large = len(markup) > limits.MAX_MAIN_CONTENT_BYTES
    if is_large or markup.count(b"<") > limits.MAX_MAIN_CONTENT_TAGS:
        cuts.add("markdown")
        return _content("", fast_text.replace("\n", "\n\n"), title, [], cuts)
    tree = LexborHTMLParser(markup)
    main = locate_main(tree, markup, url)
    if main is None:
        return MainContent("", "", 0, [], [])
    prune_main(main, base_url)
    tables = read_tables(main.node, cuts)
    markdown = _markdown(main.node.html or "", base_url)
    text = read_whole_text(main.node) if main.text else ""
    return _content(text, markdown, title, tables, cuts)


def _content(
    text: str, markdown: str, title: str | None, tables: list[Table], cuts: set[str]
) -> MainContent:
    if title and markdown and not _FIRST_HEADING.search(markdown):
        markdown = f"# {title}\n\n{markdown}"
    if len(markdown) > limits.MAX_MARKDOWN_CHARS:
        cuts.add("markdown")
        markdown = markdown[: limits.MAX_MARKDOWN_CHARS]
    return MainContent(
        text=encodable(text),
        markdown=markdown,
        token_estimate=estimate_tokens(markdown),
        chunks=split_markdown(markdown, cuts),
        tables=tables,
    )


def _markdown(html: str, base_url: str) -> str:
    from html_to_markdown import ConversionOptions, convert

    options = ConversionOptions(
        extract_metadata=False,
        compact_tables=True,
        max_depth=_MAX_DEPTH,
        base_url=base_url,
        bullets="-",
    )
    content = convert(html.replace("\0", ""), options).content or ""
    return _BLANK_LINES.sub("\n\n", encodable(content)).strip()
