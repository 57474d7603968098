"""The links of a page, as they are written."""

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from selectolax.lexbor import LexborNode

from scraper.extraction import limits
from scraper.extraction.text import all_collapsed, collapsed, raw_text


class Anchors(NamedTuple):
    """Links, as columns of one length: `hrefs` as written, `texts` ('' where there is none), `rels`
    in lower case.

    Columns, not an object a link: thousands of those would be made a second, for nobody.
    """

    hrefs: list[str]
    texts: list[str]
    rels: list[str | None]


def read_anchors(nodes: Iterable[LexborNode], cuts: set[str]) -> Anchors:
    """The links of <a href> and <area href>, in document order; adds 'anchors' to `cuts`.

    The texts of all together are limited: links can be nested, and then share their text.
    """
    linked: list[dict[str, str | None]] = []
    raw_texts: list[str] = []
    most, chars_left = limits.MAX_ANCHORS, limits.MAX_ANCHORS_TOTAL_CHARS
    for node in nodes:
        attributes = node.attributes
        if "href" not in attributes:
            continue
        if len(linked) == most:
            cuts.add("anchors")
            break
        child = node.first_child if chars_left > 0 else None
        text = child.text_content if child is not None and child.next is None else None
        if text is None:
            text = raw_text(node) if child is not None else ""
        chars_left -= len(text)
        linked.append(attributes)
        raw_texts.append(text)
    if chars_left <= 0:
        cuts.add("anchors")
    rels = [attributes.get("rel") or None for attributes in linked]
    return Anchors(
        hrefs=[attributes["href"] or "" for attributes in linked],
        texts=all_collapsed(raw_texts, limits.MAX_ANCHOR_TEXT_CHARS),
        rels=[rel and _kept_rel(rel) for rel in rels] if any(rels) else rels,
    )


def _kept_rel(rel: str) -> str | None:
    return collapsed(rel.lower(), limits.MAX_REL_CHARS) or None


def add_frames(nodes: Iterable[LexborNode], anchors: Anchors) -> None:
    """Add the pages that a <frameset> shows as links; their texts are the names of the frames."""
    for node in islice(nodes, limits.MAX_ANCHORS):
        attributes = node.attributes
        if src := attributes.get("src"):
            name = attributes.get("title") or attributes.get("name") or ""
            anchors.hrefs.append(src)
            anchors.texts.append(collapsed(name, limits.MAX_ANCHOR_TEXT_CHARS))
            anchors.rels.append(None)
