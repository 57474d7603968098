"""Reads an HTML page: bytes and URL in, plain data out."""

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser

from scraper.extraction.anchors import Anchors, add_frames, read_anchors
from scraper.extraction.elements import FULL_SORTER, LINKS_SORTER, Group
from scraper.extraction.encoding import detect_encoding, utf8_markup
from scraper.extraction.images import Image, read_images
from scraper.extraction.json_ld import JsonLd, read_json_ld
from scraper.extraction.main_text import read_main_text
from scraper.extraction.metadata import (
    Heading,
    read_base_url,
    read_canonical,
    read_headings,
    read_language,
    read_meta_tags,
    read_title,
)
from scraper.extraction.microdata import read_microdata
from scraper.extraction.product import read_product
from scraper.extraction.provenance import Provenance, read_provenance
from scraper.extraction.tame_markup import tame_markup
from scraper.extraction.urls import http_url
from scraper.extraction.xhtml import html_of_xhtml

_SCRIPTS: Final = 'script[type*="ld+json" i]'
# Without this, Lexbor copies <option>s into <selectedcontent> while it parses.
_OPTIONS: Final = LexborDocumentOptions.WO_EVENTS.value


class Profile(Enum):
    """How much is read of a page."""

    LINKS = "links-and-metadata"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Extras:
    """What is read on request, since it costs more: the product (ecommerceMode), the main content
    as markdown (aiOptimization; not with `Profile.LINKS`).
    """

    product: bool = False
    main_content: bool = False


NO_EXTRAS: Final = Extras()


class ParsedPage(NamedTuple):
    """What was read of a page; nothing in it refers to the parsed tree.

    Texts have single blanks for all white space, and no NUL or lone surrogates. With
    `Profile.LINKS`, `text`, `images`, `json_ld` and `microdata` are empty, and author, site and
    dates None.
    `anchors` are as written, relative to `base_url` (those of a frameset are its frames);
    `canonical` and image sources are absolute.
    `open_graph` maps properties with their prefix ('og:title') to a text, or to a list of texts
    where the page repeats one. `microdata` has the shape of JSON-LD.
    `json_ld_broken` counts blocks that could not be read.
    `noindex` and `nofollow` are those of <meta name=robots>; `refresh` is the absolute URL that
    <meta http-equiv=refresh> leads to.
    `extras` has the record's fields that were asked for by `Extras`, by their names there.
    `truncated` names what was cut at a limit: 'anchors', 'chunks', 'headings', 'images', 'json_ld',
    'markdown', 'markup', 'microdata', 'tables', 'text'.
    """

    encoding: str
    base_url: str
    language: str | None
    author: str | None
    site_name: str | None
    published_at: str | None
    modified_at: str | None
    title: str | None
    description: str | None
    canonical: str | None
    headings: list[Heading]
    anchors: Anchors
    open_graph: dict[str, str | list[str]]
    noindex: bool
    nofollow: bool
    refresh: str | None
    text: str
    images: list[Image]
    json_ld: list[dict[str, object]]
    json_ld_broken: int
    microdata: list[dict[str, object]]
    extras: dict[str, object]
    truncated: frozenset[str]

    @property
    def links_truncated(self) -> bool:
        """Whether the page has more links, or more text in links, than are kept."""
        return "anchors" in self.truncated


def parse_page(
    body: bytes,
    url: str,
    *,
    content_type: str | None,
    profile: Profile,
    extras: Extras = NO_EXTRAS,
    content_language: str | None = None,
) -> ParsedPage:
    """Read the HTML page that `url` answered with.

    `content_type` and `content_language` are the headers' values. Any bytes make a page; nothing is
    raised for bad markup.
    """
    encoding = detect_encoding(body, content_type)
    cuts: set[str] = set()
    markup = tame_markup(html_of_xhtml(utf8_markup(body, encoding), content_type), cuts)
    tree = LexborHTMLParser(markup, options=_OPTIONS)
    root = tree.root
    if root is None:
        raise RuntimeError("Lexbor made no <html>")
    is_full = profile is Profile.FULL
    elements = (FULL_SORTER if is_full else LINKS_SORTER).sort(root)
    base_url = read_base_url(url, elements[Group.BASE])
    meta_tags = read_meta_tags(elements[Group.META])
    canonical = read_canonical(base_url, elements[Group.LINK])
    title = read_title(tree, elements[Group.TITLE])
    headings = read_headings(elements[Group.HEADING], cuts)
    is_marked_up = is_full or extras.product
    scripts = elements[Group.SCRIPT] if is_full else tree.css(_SCRIPTS) if is_marked_up else ()
    json_ld = read_json_ld(scripts, cuts) if is_marked_up else JsonLd()
    microdata = read_microdata(tree, base_url, cuts) if is_marked_up else []
    objects = [*json_ld.objects, *microdata]
    provenance = read_provenance(tree, url, meta_tags, objects) if is_full else Provenance()
    language = read_language(root, meta_tags, content_language)
    found: dict[str, object] = {}
    if extras.product:
        found["product"] = read_product(
            tree if is_full else None,
            url=url,
            base_url=base_url,
            canonical=canonical,
            titles=_titles(title, headings),
            description=meta_tags.description,
            json_ld=json_ld.objects,
            microdata=microdata,
            open_graph=meta_tags.open_graph,
        )
    images = read_images(base_url, elements[Group.IMAGE], cuts) if is_full else []
    anchors = read_anchors(elements[Group.ANCHOR], cuts)
    if tree.body is None:
        add_frames(tree.css("frame"), anchors)
    # The text takes the tree to pieces: everything else before.
    text = read_main_text(tree, elements, cuts) if is_full else ""
    if extras.main_content and is_full:
        text = _add_main_content(found, markup, url, base_url, title, text, cuts)
    return ParsedPage(
        encoding=encoding,
        base_url=base_url,
        language=language,
        author=provenance.author,
        site_name=provenance.site_name,
        published_at=provenance.published_at,
        modified_at=provenance.modified_at,
        title=title,
        description=meta_tags.description,
        canonical=canonical,
        headings=headings,
        anchors=anchors,
        open_graph=meta_tags.open_graph,
        noindex=meta_tags.noindex,
        nofollow=meta_tags.nofollow,
        refresh=http_url(base_url, meta_tags.refresh) if meta_tags.refresh else None,
        images=images,
        json_ld=json_ld.objects if is_full else [],
        json_ld_broken=json_ld.broken,
        microdata=microdata if is_full else [],
        extras=found,
        text=text,
        truncated=frozenset(cuts),
    )


def _titles(title: str | None, headings: list[Heading]) -> list[str]:
    return [title or "", *(heading["text"] for heading in headings if heading["level"] == 1)]


def _add_main_content(
    found: dict[str, object],
    markup: bytes,
    url: str,
    base_url: str,
    title: str | None,
    text: str,
    cuts: set[str],
) -> str:
    """Add the fields of the main content to `found`; the main text, or `text` if none is found."""
    # Here, not above: it brings libraries that other jobs do without.
    from scraper.extraction.main_content import read_main_content

    content = read_main_content(markup, url, base_url, title, text, cuts)
    found |= {
        "markdown": content.markdown,
        "tokenEstimate": content.token_estimate,
        "chunks": content.chunks,
        "tables": content.tables,
    }
    return content.text or text
