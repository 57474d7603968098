"""Reads an HTML page: bytes and URL in, plain data out."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser

from scraper.extraction.anchors import Anchor, read_anchors
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
from scraper.extraction.tame_markup import tame_markup

# Without this, Lexbor copies <option>s into <selectedcontent> while it parses.
_OPTIONS: Final = LexborDocumentOptions.WO_EVENTS.value


class Profile(Enum):
    """How much is read of a page."""

    LINKS = "links-and-metadata"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """What was read of a page; nothing in it refers to the parsed tree.

    Texts have single blanks for all white space, and no NUL or lone surrogates. With
    `Profile.LINKS`, `text`, `images` and `json_ld` are empty.
    `anchors` are as written, relative to `base_url`; `canonical` and image sources are absolute.
    `open_graph` maps properties with their prefix ('og:title') to a text, or to a list of texts
    where the page repeats one. `json_ld_broken` counts blocks that could not be read.
    `noindex` and `nofollow` are those of <meta name=robots>.
    `truncated` names what was cut at a limit: 'anchors', 'headings', 'images', 'json_ld', 'markup',
    'text'.
    """

    encoding: str
    base_url: str
    language: str | None
    title: str | None
    description: str | None
    canonical: str | None
    headings: list[Heading]
    anchors: list[Anchor]
    open_graph: dict[str, str | list[str]]
    noindex: bool
    nofollow: bool
    text: str
    images: list[Image]
    json_ld: list[dict[str, object]]
    json_ld_broken: int
    truncated: frozenset[str]

    @property
    def links_truncated(self) -> bool:
        """Whether the page has more links, or more text in links, than are kept."""
        return "anchors" in self.truncated


def parse_page(body: bytes, url: str, *, content_type: str | None, profile: Profile) -> ParsedPage:
    """Read the HTML page that `url` answered with.

    `content_type` is the header's value. Any bytes make a page; nothing is raised for bad markup.
    """
    encoding = detect_encoding(body, content_type)
    markup, is_cut = tame_markup(utf8_markup(body, encoding))
    tree = LexborHTMLParser(markup, options=_OPTIONS)
    is_full = profile is Profile.FULL
    root = tree.root
    if root is None:
        raise RuntimeError("Lexbor made no <html>")
    elements = (FULL_SORTER if is_full else LINKS_SORTER).sort(root)
    base_url = read_base_url(url, elements[Group.BASE])
    meta_tags = read_meta_tags(elements[Group.META])
    headings, headings_cut = read_headings(elements[Group.HEADING])
    anchors, anchors_cut = read_anchors(elements[Group.ANCHOR])
    title = read_title(tree, elements[Group.TITLE])
    images: list[Image] = []
    images_cut = False
    json_ld = JsonLd()
    text, text_cut = "", False
    if is_full:
        images, images_cut = read_images(base_url, elements[Group.IMAGE])
        json_ld = read_json_ld(elements[Group.SCRIPT])
        # Last: it takes the tree to pieces.
        text, text_cut = read_main_text(tree, elements)
    cuts = {
        "anchors": anchors_cut,
        "headings": headings_cut,
        "images": images_cut,
        "json_ld": json_ld.is_cut,
        "markup": is_cut,
        "text": text_cut,
    }
    return ParsedPage(
        encoding=encoding,
        base_url=base_url,
        language=read_language(root, meta_tags),
        title=title,
        description=meta_tags.description,
        canonical=read_canonical(base_url, elements[Group.LINK]),
        headings=headings,
        anchors=anchors,
        open_graph=meta_tags.open_graph,
        noindex=meta_tags.noindex,
        nofollow=meta_tags.nofollow,
        text=text,
        images=images,
        json_ld=json_ld.objects,
        json_ld_broken=json_ld.broken,
        truncated=frozenset(name for name, is_cut in cuts.items() if is_cut),
    )
