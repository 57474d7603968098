"""What a page says about itself: title, language, canonical URL, headings, <meta>."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypedDict

from selectolax.lexbor import LexborHTMLParser, LexborNode

from scraper.extraction import limits
from scraper.extraction.text import PERMALINK, collapsed, raw_text
from scraper.extraction.urls import http_url

_LANGUAGE = re.compile(rf"[A-Za-z0-9_-]{{1,{limits.MAX_LANGUAGE_CHARS}}}")
# What is kept of <meta name>, for who wrote the page and when.
_KEPT_NAMES: Final = """
    application-name author byl citation_author citation_publication_date cre create_date created
    creation_date creator date dc.creator dc.date dc.date.created dc.date.issued dc.date.modified
    dc.publisher dcterms.created dcterms.creator dcterms.date dcterms.issued dcterms.modified
    last-modified modified parsely-author parsely-pub-date pubdate publish_date publishdate
    publication_date sailthru.author sailthru.date
"""
_READ_NAMES: Final = frozenset(("description", "robots", *_KEPT_NAMES.split()))
# "5; url='/next'": seconds, then where to. Without a URL the page reloads itself.
_REFRESH = re.compile(
    r"""\s*[\d.]+\s*[;,\s]\s*(?:url\s*=\s*)?(["']?)([^"']{1,2048})\1""", re.IGNORECASE
)
_OPEN_GRAPH_PREFIXES: Final = ("og:", "article:", "book:", "product:", "profile:", "video:")


class Heading(TypedDict):
    """A heading of a page; `level` is 1 to 6."""

    level: int
    text: str


@dataclass(slots=True)
class MetaTags:
    """What the <meta> elements of a page say. `language` is that of `content-language`, `refresh`
    where <meta http-equiv=refresh> leads, as written.

    `named` has the first text of each name that tells of authors, dates or the site, in lower case.
    """

    description: str | None = None
    language: str | None = None
    noindex: bool = False
    nofollow: bool = False
    refresh: str | None = None
    open_graph: dict[str, str | list[str]] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)


def read_title(tree: LexborHTMLParser, titles: Sequence[LexborNode]) -> str | None:
    """The document's title; <title> in SVG is none."""
    if not titles:
        return None
    title: LexborNode | None = titles[0]
    parent = titles[0].parent
    if parent is None or parent.tag != "head":
        title = tree.css_first("title:not(svg *)")
    return collapsed(title.text(), limits.MAX_TITLE_CHARS) or None if title else None


def read_language(root: LexborNode, meta_tags: MetaTags, header: str | None) -> str | None:
    """The language tag (BCP 47) of <html>, or else of <meta http-equiv=content-language>, or else
    of the Content-Language header, if that names only one.
    """
    attributes = root.attributes
    for value in (attributes.get("lang"), attributes.get("xml:lang"), meta_tags.language, header):
        if value and _LANGUAGE.fullmatch(language := value.strip()):
            return language
    return None


def read_base_url(url: str, bases: Iterable[LexborNode]) -> str:
    """What the page's links are relative to: its first <base href>, if that is http(s)."""
    for base in bases:
        attributes = base.attributes
        if "href" in attributes:
            return http_url(url, attributes["href"] or "") or url
    return url


def read_canonical(base_url: str, links: Iterable[LexborNode]) -> str | None:
    """The URL of the first usable <link rel=canonical>."""
    for link in links:
        attributes = link.attributes
        rel, href = attributes.get("rel"), attributes.get("href")
        if rel and href and "canonical" in rel.lower().split():
            url = http_url(base_url, href)
            if url is not None:
                return url
    return None


def read_headings(nodes: Sequence[LexborNode], cuts: set[str]) -> list[Heading]:
    """The headings with text, in document order; adds 'headings' to `cuts`."""
    headings: list[Heading] = []
    chars_left = limits.MAX_HEADINGS_TOTAL_CHARS
    for node in nodes:
        if len(headings) == limits.MAX_HEADINGS or chars_left < 0:
            cuts.add("headings")
            return headings
        # As in `read_anchors`: most of them need neither call.
        raw = node.text()
        if "{" in raw:
            raw = raw_text(node)
        chars_left -= len(raw)
        is_usual = len(raw) <= limits.MAX_HEADING_CHARS
        text = " ".join(raw.split()) if is_usual else collapsed(raw, limits.MAX_HEADING_CHARS)
        text = text.rstrip(PERMALINK)
        if text:
            level = int((node.tag or "h6")[1])
            headings.append({"level": level, "text": text})
    return headings


def read_meta_tags(nodes: Sequence[LexborNode]) -> MetaTags:
    """What the first 1,000 <meta> elements say; of several descriptions the first counts."""
    found = MetaTags()
    for node in nodes[: limits.MAX_METAS]:
        attributes = node.attributes
        content = attributes.get("content")
        if not content:
            continue
        key = attributes.get("property") or attributes.get("name")
        if key:
            key = key.strip().lower()
            if key.startswith(_OPEN_GRAPH_PREFIXES):
                _add_open_graph(found.open_graph, key, content)
            elif key in _READ_NAMES:
                _read_named(found, key, content)
            continue
        pragma = (attributes.get("http-equiv") or "").lower()
        if pragma == "content-language":
            found.language = found.language or content
        elif pragma == "refresh" and found.refresh is None and (to := _REFRESH.match(content)):
            found.refresh = to[2].strip()
    return found


def _read_named(found: MetaTags, key: str, content: str) -> None:
    if key == "description":
        if found.description is None:
            found.description = collapsed(content, limits.MAX_DESCRIPTION_CHARS) or None
    elif key == "robots":
        directives = {directive.strip() for directive in content.lower().split(",")}
        found.noindex |= not directives.isdisjoint(("noindex", "none"))
        found.nofollow |= not directives.isdisjoint(("nofollow", "none"))
    else:
        found.named.setdefault(key, collapsed(content, limits.MAX_AUTHOR_CHARS))


def _add_open_graph(open_graph: dict[str, str | list[str]], key: str, content: str) -> None:
    value = collapsed(content, limits.MAX_OPEN_GRAPH_CHARS)
    known = open_graph.get(key)
    if known is None:
        is_usual = len(key) <= limits.MAX_OPEN_GRAPH_NAME_CHARS
        if is_usual and len(open_graph) < limits.MAX_OPEN_GRAPH_NAMES:
            open_graph[key] = value
    elif isinstance(known, str):
        open_graph[key] = [known, value]
    elif len(known) < limits.MAX_OPEN_GRAPH_VALUES:
        known.append(value)
