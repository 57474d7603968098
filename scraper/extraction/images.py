"""The images of a page."""

from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

from selectolax.lexbor import LexborNode

from scraper.extraction import limits
from scraper.extraction.text import collapsed
from scraper.extraction.urls import http_url

# Where lazy loaders keep what `src` will be.
_SOURCES: Final = ("src", "data-src", "data-original", "data-lazy-src")


class Image(TypedDict):
    """An image; `src` is absolute, `alt` '' where the page gives none."""

    src: str
    alt: str


def read_images(base_url: str, nodes: Sequence[LexborNode], cuts: set[str]) -> list[Image]:
    """Each image once, in document order; adds 'images' to `cuts`.

    Where `src` is no http(s) URL (a placeholder), the attributes of
    lazy loaders and `srcset` are looked at.
    """
    images: dict[str, Image] = {}
    for node in nodes:
        attributes = node.attributes
        src = image_source(base_url, attributes)
        if src is None or src in images:
            continue
        if len(images) == limits.MAX_IMAGES:
            cuts.add("images")
            break
        alt = collapsed(attributes.get("alt") or "", limits.MAX_ALT_CHARS)
        images[src] = {"src": src, "alt": alt}
    return list(images.values())


def image_source(base_url: str, attributes: Mapping[str, str | None]) -> str | None:
    """The absolute URL of an image, also of one that is loaded later by a script."""
    for name in _SOURCES:
        value = attributes.get(name)
        if value and value.strip() and (src := http_url(base_url, value)):
            return src
    srcset = (attributes.get("srcset") or attributes.get("data-srcset") or "").split(None, 1)
    return http_url(base_url, srcset[0].rstrip(",")) if srcset else None
