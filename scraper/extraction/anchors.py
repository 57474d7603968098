"""The links of a page, as they are written."""

from collections.abc import Iterable
from typing import NamedTuple

from selectolax.lexbor import LexborNode

from scraper.extraction import limits
from scraper.extraction.text import collapsed, raw_text


class Anchor(NamedTuple):
    """A link: `href` as written, its text ('' where it has none), its `rel` in lower case.

    A tuple, not a dataclass: thousands are made a second, each in a third of the time.
    """

    href: str
    text: str
    rel: str | None


def read_anchors(nodes: Iterable[LexborNode], cuts: set[str]) -> list[Anchor]:
    """The links of <a href> and <area href>, in document order; adds 'anchors' to `cuts`.

    The texts of all together are limited: links can be nested, and then share their text.
    """
    anchors: list[Anchor] = []
    chars_left = limits.MAX_ANCHORS_TOTAL_CHARS
    for node in nodes:
        attributes = node.attributes
        if "href" not in attributes:
            continue
        if len(anchors) == limits.MAX_ANCHORS:
            cuts.add("anchors")
            return anchors
        # raw_text() and collapsed() of what most links are, without the calls.
        text = node.text() if chars_left > 0 else ""
        if "{" in text:
            text = raw_text(node)
        chars_left -= len(text)
        if len(text) <= limits.MAX_ANCHOR_TEXT_CHARS:
            text = " ".join(text.split())
        else:
            text = collapsed(text, limits.MAX_ANCHOR_TEXT_CHARS)
        rel = attributes.get("rel")
        if rel:
            rel = collapsed(rel.lower(), limits.MAX_REL_CHARS)
        anchors.append(Anchor(attributes["href"] or "", text, rel or None))
    if chars_left <= 0:
        cuts.add("anchors")
    return anchors
