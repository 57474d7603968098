"""Finds the text of a page's main content, without navigation and other boilerplate.

Works on the tree itself and leaves it in pieces: read everything else before. Inline elements are
unwrapped and their text joined by Lexbor, so that each text node left is one paragraph.
"""

import re
from collections.abc import Iterable
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from scraper.extraction.elements import FULL_SORTER, Elements, Group
from scraper.extraction.limits import MAX_TEXT_CHARS
from scraper.extraction.text import PERMALINK

# Less is no main content but a shell that a script would fill.
_MIN_MAIN_CHARS: Final = 200
_MIN_PROSE_CHARS: Final = 140
# Enough for MAX_TEXT_CHARS, unless most of it is white space or menus.
_MAX_RAW_CHARS: Final = 4 * MAX_TEXT_CHARS
# A paragraph is a menu when so much of it is links, and the links are short.
_LINK_SHARE: Final = 0.6
_MAX_MENU_LINK_CHARS: Final = 80

# A word that the markup must have for the selector to find anything: most pages have few of them.
_LEFT_OUT: Final = (
    (b"role=", "[role]"),
    (b"hidden", '[hidden], [aria-hidden="true"]'),
    (b"display:none", '[style*="display:none"]'),
    (b"display: none", '[style*="display: none"]'),
)
_BOILERPLATE_ROLES: Final = frozenset(
    ("banner", "complementary", "contentinfo", "dialog", "menu", "menubar", "navigation", "search")
)
_HAVE_OWN_HEADER: Final = ("article", "main", "section")
_WHOLE_PAGE: Final = ("html", "body", "main")

# White space for str.split(), and in no page.
_END_OF_PARAGRAPH, _HEADING = "\x1e", "\x1f"
_LINK_STARTS, _LINK_ENDS = "\x01", "\x02"
_LINK_MARKS = re.compile(f"[{_LINK_STARTS}{_LINK_ENDS}]")


def read_main_text(tree: LexborHTMLParser, elements: Elements, cuts: set[str]) -> str:
    """The paragraphs of the main content, one a line; adds 'text' to `cuts`.

    That is <main> (or role=main), or else the page's only <article>, or else the body without
    paragraphs that are menus and without headers, but those of articles and sections.
    """
    body = tree.body
    if body is None:
        return ""
    main = _main_of(body, elements)
    _remove_boilerplate(tree, elements)
    lines: list[str] = []
    if main is not None:
        _open_inline(elements)
        lines = _lines(_paragraphs(main))
    if sum(map(len, lines)) < _MIN_MAIN_CHARS:
        lines = _lines_without_menus(body, elements) or lines
    text = "\n".join(lines)
    if len(text) > MAX_TEXT_CHARS:
        cuts.add("text")
    return text[:MAX_TEXT_CHARS]


def read_whole_text(root: LexborNode) -> str:
    """The paragraphs of all that is in an element, one a line; it is left in pieces."""
    elements = FULL_SORTER.sort(root)
    for group in (Group.INVISIBLE, Group.SCRIPT, Group.IMAGE):
        for node in elements[group]:
            node.decompose(recursive=False)
    _keep_lines(elements[Group.PREFORMATTED])
    _open_inline(elements)
    return "\n".join(_lines(_paragraphs(root)))[:MAX_TEXT_CHARS]


def _main_of(body: LexborNode, elements: Elements) -> LexborNode | None:
    if elements[Group.MAIN]:
        return elements[Group.MAIN][0]
    articles = elements[Group.ARTICLE]
    return body.css_first("[role=main]", articles[0] if len(articles) == 1 else None)


def _remove_boilerplate(tree: LexborHTMLParser, elements: Elements) -> None:
    for group in (Group.INVISIBLE, Group.SCRIPT, Group.IMAGE, Group.BOILERPLATE):
        for node in elements[group]:
            node.decompose(recursive=False)
    markup = tree.raw_html
    selector = ", ".join(selector for word, selector in _LEFT_OUT if word in markup)
    for node in tree.css(selector) if selector else ():
        if _is_left_out(node):
            node.decompose(recursive=False)
    _keep_lines(elements[Group.PREFORMATTED])


def _is_left_out(node: LexborNode) -> bool:
    if node.tag in _WHOLE_PAGE:
        return False
    attributes = node.attributes
    role = attributes.get("role")
    if role and role.strip().lower() in _BOILERPLATE_ROLES:
        return True
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or "display:none" in (attributes.get("style") or "").replace(": ", ":")
    )


def _keep_lines(nodes: Iterable[LexborNode]) -> None:
    """Make each line of preformatted text a paragraph."""
    chars_left = MAX_TEXT_CHARS
    for node in nodes:
        if chars_left > 0 and node.parent is not None:
            text = node.text()
            chars_left -= len(text)
            lines = text.replace("\n", _END_OF_PARAGRAPH)
            node.insert_before(f"{_END_OF_PARAGRAPH}{lines}{_END_OF_PARAGRAPH}")
            node.decompose(recursive=False)


def _open_inline(elements: Elements) -> None:
    for group in (Group.ANCHOR, Group.INLINE):
        for node in elements[group]:
            node.unwrap(delete_empty=True)


def _paragraphs(root: LexborNode) -> list[str]:
    root.merge_text_nodes()
    text = root.text(separator=_END_OF_PARAGRAPH, skip_empty=True)
    return text[:_MAX_RAW_CHARS].split(_END_OF_PARAGRAPH)


def _lines(paragraphs: Iterable[str]) -> list[str]:
    collapsed = [" ".join(paragraph.split()) for paragraph in paragraphs]
    return [line for text in collapsed if (line := text.rstrip(PERMALINK))]


def _lines_without_menus(body: LexborNode, elements: Elements) -> list[str]:
    """The body's lines without headers; those that are menus only if there is little else."""
    for node in elements[Group.HEADER]:
        if node.parent is None or node.parent.tag not in _HAVE_OWN_HEADER:
            node.decompose(recursive=False)
    for node in elements[Group.ANCHOR]:
        if node.parent is not None:
            node.insert_before(_LINK_STARTS)
            node.insert_after(_LINK_ENDS)
    for node in elements[Group.HEADING]:
        if (first := node.first_child) is not None:
            first.insert_before(_HEADING)
    _open_inline(elements)
    paragraphs = _paragraphs(body)
    lines = _lines(_prose(paragraphs))
    if sum(map(len, lines)) < _MIN_PROSE_CHARS:
        lines = _lines(_LINK_MARKS.sub("", paragraph) for paragraph in paragraphs)
    return lines


def _prose(paragraphs: Iterable[str]) -> list[str]:
    prose: list[str] = []
    is_in_link = False
    for paragraph in paragraphs:
        if not is_in_link and _LINK_STARTS not in paragraph:
            prose.append(paragraph)
            continue
        linked_chars, is_in_link = _linked_chars(paragraph, is_in_link)
        text = _LINK_MARKS.sub("", paragraph).strip()
        links = paragraph.count(_LINK_STARTS)
        if _HEADING in paragraph or not _are_mostly_links(text, links, linked_chars):
            prose.append(text)
    return prose


def _are_mostly_links(text: str, links: int, linked_chars: int) -> bool:
    is_short = linked_chars <= _MAX_MENU_LINK_CHARS * max(links, 1)
    return is_short and linked_chars >= _LINK_SHARE * len(text)


def _linked_chars(line: str, is_in_link: bool) -> tuple[int, bool]:
    """How many characters of a marked line are in links; whether a link goes on in the next."""
    linked = 0
    position = 0
    while position < len(line):
        end = line.find(_LINK_ENDS if is_in_link else _LINK_STARTS, position)
        reached = end if end >= 0 else len(line)
        if is_in_link:
            linked += reached - position
        if end < 0:
            break
        is_in_link = not is_in_link
        position = end + 1
    return linked, is_in_link
