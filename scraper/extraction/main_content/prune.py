"""Takes out of the main content what is none: menus, forms, sharing, related articles."""

from __future__ import annotations

import re
from typing import Final

from selectolax.lexbor import LexborNode

from scraper.extraction.images import image_source
from scraper.extraction.main_content.leftovers import drop_leftovers
from scraper.extraction.main_content.locate import MainElement

_NEVER: Final = (
    "script, style, noscript, template, iframe, object, embed, applet, canvas, svg, map, audio,"
    " video, source, track, input, select, textarea, button, dialog, nav, aside, footer,"
    " [role=navigation], [role=complementary], [role=contentinfo], [role=banner], [role=search],"
    ' [role=dialog], [role=menu], [hidden], [aria-hidden="true"], [style*="display:none"],'
    ' [style*="display: none"], a.headerlink, a.anchor, a.anchorjs-link, a.hash-link'
)
_ELSEWHERE: Final = re.compile(
    r"\b(?:share|sharing|social|related|recommend\w*|comments?|newsletter|subscri\w+|promo\w*"
    r"|breadcrumbs?|cookie\w*|sidebar|toolbar|widget|advert\w*|ads?|sponsor\w*|banner|pagination"
    r"|pager|navigation|navbar|menu|toplang|bottomlang|footer|masthead|most-read|trending|popular"
    r"|read-?more|more-from|outbrain|taboola|disqus|byline-social|author-bio|tags?)\b",
    re.IGNORECASE,
)
_BLOCKS: Final = "div, section, ul, ol, table, form, header, figure, p, details"
_KEPT: Final = "h1, h2, h3, h4, h5, h6, pre, table, img, figure, dl"
_NOT_OPENED: Final = frozenset(("p", "ul", "ol", "dl", "table", "pre", "blockquote"))
_HEADINGS: Final = "h1, h2, h3, h4, pre"
_TEASERS: Final = "a h2, a h3, a h4, h2 a, h3 a, h4 a"
_LINK_SHARE: Final = 0.5
_MAX_TEXT_CHARS: Final = 2_000_000
_MAX_CAPTION_CHARS: Final = 500


def prune_main(main: MainElement, base_url: str) -> None:
    """Leave in the element what a reader came for. Links and images become absolute by the caller;
    here those go that lead nowhere.
    """
    for node in main.node.css(_NEVER):
        if node.mem_id != main.node.mem_id and not _holds_most(node, main):
            node.decompose()
    budget = _MAX_TEXT_CHARS
    for node in main.node.css(_BLOCKS):
        if node.parent is None or node.mem_id == main.node.mem_id or node.mem_id in main.marked:
            continue
        text = node.text()
        budget -= len(text)
        if budget < 0:
            break
        if _is_boilerplate(node, text):
            node.decompose()
    if main.marked:
        _trim_end(main.node, main.marked, is_last=False)
        _trim_end(main.node, main.marked, is_last=True)
    _move_captions(main.node)
    _clean_links(main.node)
    _clean_images(main.node, base_url)
    drop_leftovers(main)


def _trim_end(node: LexborNode | None, marked: dict[int, int], *, is_last: bool) -> None:
    """Take out what stands before the first or after the last main text, but for what has a
    heading, code or a table: of that trafilatura takes no notice.
    """
    while node is not None:
        child = node.last_child if is_last else node.first_child
        while child is not None and child.mem_id not in marked:
            beside = child.prev if is_last else child.next
            if child.is_element_node and child.css_first(_KEPT) is None:
                child.decompose()
            child = beside
        node = child if child is not None and child.tag not in _NOT_OPENED else None


def _holds_most(node: LexborNode, main: MainElement) -> bool:
    """Whether a page keeps its text in what is usually none: then it is what it is for."""
    marked = main.marked.get(node.mem_id, 0)
    return 2 * marked > main.marked.get(main.node.mem_id, 0) > 0


def _is_boilerplate(node: LexborNode, text: str) -> bool:
    attributes = node.attributes
    words = f"{attributes.get('class') or ''} {attributes.get('id') or ''}".replace("_", " ")
    if _ELSEWHERE.search(words[:300]) or node.tag == "form":
        return True
    links = node.css("a")
    if len(links) < 2 or node.tag == "table":
        return False
    linked = sum(len(link.text()) for link in links[:200])
    if linked <= _LINK_SHARE * len(text.strip()):
        return False
    # Headings that are links head teasers of other pages; others head a list that is wanted.
    return node.css_first(_HEADINGS) is None or len(node.css(_TEASERS)) > 1


def _clean_links(root: LexborNode) -> None:
    for link in root.css("a"):
        href = (link.attributes.get("href") or "").strip()
        text = link.text().strip()
        if text in ("¶", "#", "§", "🔗"):
            link.decompose()
        elif not href or href.startswith(("#", "javascript:", "data:")):
            link.unwrap()


def _move_captions(root: LexborNode) -> None:
    """A caption becomes the words of its image: between paragraphs it would break the text."""
    for figure in root.css("figure"):
        image, caption = figure.css_first("img"), figure.css_first("figcaption")
        if image is None or caption is None or figure.css_first("pre, table") is not None:
            continue
        words = " ".join(caption.text().split())[:_MAX_CAPTION_CHARS]
        if len(words) > len(image.attributes.get("alt") or ""):
            image.attrs["alt"] = words
        caption.decompose()


def _clean_images(root: LexborNode, base_url: str) -> None:
    for image in root.css("img"):
        source = image_source(base_url, image.attributes)
        # One without words for it says nothing to a language model.
        if source is None or not (image.attributes.get("alt") or "").strip():
            image.decompose()
        else:
            image.attrs["src"] = source
