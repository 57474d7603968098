"""The links of a page, as they are written."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import NamedTuple, cast

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


# What a tuple's own constructor does in C, the named one does in Python.
_as_anchor = cast("Callable[[Iterable[object]], Anchor]", partial(tuple.__new__, Anchor))


def read_anchors(nodes: Iterable[LexborNode], cuts: set[str]) -> list[Anchor]:
    """The links of <a href> and <area href>, in document order; adds 'anchors' to `cuts`.

    The texts of all together are limited: links can be nested, and then share their text.
    """
    hrefs: list[str] = []
    texts: list[str] = []
    rels: list[str | None] = []
    chars_left = limits.MAX_ANCHORS_TOTAL_CHARS
    for node in nodes:
        attributes = node.attributes
        if "href" not in attributes:
            continue
        if len(hrefs) == limits.MAX_ANCHORS:
            cuts.add("anchors")
            break
        # raw_text() and collapsed() of what most links are, without the calls.
        text = node.text() if chars_left > 0 else ""
        if "{" in text:
            text = raw_text(node)
        chars_left -= len(text)
        if len(text) <= limits.MAX_ANCHOR_TEXT_CHARS:
            texts.append(" ".join(text.split()))
        else:
            texts.append(collapsed(text, limits.MAX_ANCHOR_TEXT_CHARS))
        hrefs.append(attributes["href"] or "")
        rel = attributes.get("rel")
        rels.append(collapsed(rel.lower(), limits.MAX_REL_CHARS) or None if rel else None)
    if chars_left <= 0:
        cuts.add("anchors")
    return list(map(_as_anchor, zip(hrefs, texts, rels, strict=True)))


def read_frames(nodes: Iterable[LexborNode]) -> list[Anchor]:
    """The pages that a <frameset> shows, as links; their texts are the names of the frames."""
    anchors = []
    for node in islice(nodes, limits.MAX_ANCHORS):
        attributes = node.attributes
        if src := attributes.get("src"):
            name = attributes.get("title") or attributes.get("name") or ""
            anchors.append(Anchor(src, collapsed(name, limits.MAX_ANCHOR_TEXT_CHARS), None))
    return anchors
