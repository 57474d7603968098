"""Takes out of an article what trafilatura left out, on pages that it has read well.

Between the paragraphs of an article stand galleries, teasers, calls to subscribe, credits. Their
markup is of a thousand kinds; trafilatura tells them by their text. It is trusted where most of the
text is what it took: elsewhere it drops what a reader came for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from selectolax.lexbor import LexborNode

from scraper.extraction.main_content.locate import MainElement, squeezed

# So much of the text, without headings, code and tables, must be trafilatura's.
_TRUST: Final = 0.6
_HEADINGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")
_APART: Final = "h1, h2, h3, h4, h5, h6, pre, table, figcaption"
# What trafilatura often takes no notice of, though it is content.
_KEPT: Final = "pre, table, dl, math, code"
_NEVER_ALONE: Final = frozenset((*_HEADINGS, "pre", "table", "dl", "math", "code", "img", "br"))
_OPENED: Final = frozenset(
    ("div", "section", "article", "main", "ul", "ol", "figure", "header", "center", "body")
)
_HEADING_SHARE: Final = 0.9
_MAX_WORD_CHARS: Final = 40
_MIN_LEAD_CHARS: Final = 60
_NOTE: Final = re.compile(
    r"\b(?:note|warning|caution|tip|hint|important|admonition|callout)\b", re.I
)
_LEAD: Final = re.compile(
    r"(?:summary|lead|lede|intro|standfirst|excerpt|abstract|sub-?(?:title|head)|dek\b|kicker)",
    re.I,
)


def drop_leftovers(main: MainElement) -> None:
    """Only blocks without a mark go; headings stay as long as something stands below them."""
    if not main.marked or not _is_trusted(main):
        return
    wanted = squeezed(main.text)
    blocks = list(_blocks(main.node, main.marked))
    first = next((at for at, block in enumerate(blocks) if block.mem_id in main.marked), 0)
    bare_before = {heading.mem_id for heading in _bare_headings(main.node)}
    for at, block in enumerate(blocks):
        if block.mem_id in main.marked or (at < first and _is_lead(block)):
            continue
        if _is_leftover(block, wanted):
            block.decompose()
    for heading in _bare_headings(main.node):
        if heading.mem_id not in bare_before and squeezed(heading.text()) not in wanted:
            heading.decompose()


def _is_trusted(main: MainElement) -> bool:
    apart = sum(len(squeezed(node.text())) for node in main.node.css(_APART))
    rest = len(squeezed(main.node.text())) - apart
    return main.marked.get(main.node.mem_id, 0) >= _TRUST * rest


def _blocks(node: LexborNode, marked: dict[int, int]) -> Iterator[LexborNode]:
    """The smallest that hold a mark, and the largest that hold none."""
    for child in node.iter():
        if child.mem_id in marked and child.tag in _OPENED:
            yield from _blocks(child, marked)
        elif child.tag not in _NEVER_ALONE:
            yield child


def _is_lead(block: LexborNode) -> bool:
    """A summary above the article, which trafilatura often leaves out."""
    if len(squeezed(block.text())) < _MIN_LEAD_CHARS or block.css_first("a, h1, h2") is not None:
        return False
    nodes = (block, block.parent, block.css_first("*"))
    return _LEAD.search(" ".join(map(_class_of, filter(None, nodes)))) is not None


def _class_of(node: LexborNode) -> str:
    return node.attributes.get("class") or ""


def _is_leftover(block: LexborNode, wanted: str) -> bool:
    text = squeezed(block.text())
    if not text or text in wanted or block.css_first(_KEPT) is not None:
        return False
    if _NOTE.search(_class_of(block)):
        return False
    if block.css_first("a") is None and _is_list_of_words(block):
        return False
    # One that is a link heads a teaser of another page.
    headings = [node for node in block.css(", ".join(_HEADINGS)) if node.css_first("a") is None]
    return sum(len(squeezed(node.text())) for node in headings) < _HEADING_SHARE * len(text)


def _is_list_of_words(block: LexborNode) -> bool:
    """A list of short items: of those trafilatura takes no notice."""
    items = [block] if block.tag == "li" else block.css("li")
    return 0 < max((len(squeezed(item.text())) for item in items), default=0) <= _MAX_WORD_CHARS


def _bare_headings(root: LexborNode) -> list[LexborNode]:
    """Headings with nothing below them before one of their own level or higher, or the end."""
    bare: list[LexborNode] = []
    over: list[LexborNode] = []
    for node in root.traverse(include_text=True):
        if node.tag in _HEADINGS:
            while bare and str(bare[-1].tag) >= str(node.tag):
                over.append(bare.pop())
            bare.append(node)
        elif bare and _is_content(node):
            bare.clear()
    return over + bare


def _is_content(node: LexborNode) -> bool:
    if not node.is_text_node:
        return node.tag == "img"
    if not (node.text_content or "").strip():
        return False
    above = node.parent
    while above is not None and above.tag not in _HEADINGS:
        above = above.parent
    return above is None
