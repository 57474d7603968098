"""Finds the element that holds a page's main content.

trafilatura says which text is the main one. On many pages it drops headings, code and tables, so
its text only marks the place, and what is taken is the page's own markup there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

_MIN_TEXT_CHARS: Final = 200
_MIN_MARK_CHARS: Final = 20
# Soft hyphens, joiners, marks of order.
_UNSEEN: Final = dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF))
# So much of the marked text must be in the element; the rest may be a stray match elsewhere.
_SHARE: Final = 0.9


@dataclass(frozen=True, slots=True)
class MainElement:
    """`marked` has the characters of main text below each element that holds some (by mem_id); it
    and `text`, the main text itself, are empty where the element was found without trafilatura.
    """

    node: LexborNode
    marked: dict[int, int]
    text: str = ""


def locate_main(tree: LexborHTMLParser, markup: bytes, url: str) -> MainElement | None:
    """The smallest element with nearly all of the main text; None for a page without body."""
    body = tree.body
    if body is None:
        return None
    text = _main_text(markup, url)
    if len(text) >= _MIN_TEXT_CHARS:
        marked = marks_of(body, squeezed(text))
        total = marked.get(body.mem_id, 0)
        if total >= _MIN_TEXT_CHARS // 2:
            return MainElement(_smallest(body, marked, _SHARE * total), marked, text)
    main = tree.css_first("main, [role=main]")
    articles = tree.css("article") if main is None else []
    return MainElement(main or (articles[0] if len(articles) == 1 else body), {})


def _main_text(markup: bytes, url: str) -> str:
    # Here, not above: only jobs that ask for it pay for its import (lxml, 40 MB).
    import trafilatura
    from lxml.etree import LxmlError  # type: ignore[import-untyped]

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    try:
        return (
            trafilatura.extract(
                markup.decode("utf-8", "replace").replace("\0", ""),
                url=url,
                fast=True,
                include_comments=False,
            )
            or ""
        )
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError):
        return ""
    except (TypeError, ValueError, LxmlError):
        return ""


def squeezed(text: str) -> str:
    """Without white space and what is not seen: what two ways of writing a text have in common."""
    return "".join(text.translate(_UNSEEN).split())


def marks_of(body: LexborNode, main_text: str) -> dict[int, int]:
    """How many characters of the main text are below each element."""
    marked: dict[int, int] = {}
    for node in body.traverse(include_text=True):
        if not node.is_text_node:
            continue
        text = squeezed(node.text_content or "")
        if len(text) < _MIN_MARK_CHARS or text not in main_text:
            continue
        above = node.parent
        while above is not None:
            marked[above.mem_id] = marked.get(above.mem_id, 0) + len(text)
            if above.mem_id == body.mem_id:
                break
            above = above.parent
    return marked


def _smallest(body: LexborNode, marked: dict[int, int], wanted: float) -> LexborNode:
    node = body
    while True:
        inner = next(
            (
                child
                for child in node.iter()
                if child.tag not in _NOT_ALONE and marked.get(child.mem_id, 0) >= wanted
            ),
            None,
        )
        if inner is None:
            return node
        node = inner


# Not taken without what is around them.
_NOT_ALONE: Final = frozenset(("p", "ul", "ol", "dl", "tr", "td", "tbody", "table", "pre", "li"))
