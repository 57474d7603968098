"""What is read of a page: record, metadata, links, main text. Pure functions of bytes and URL."""

from scraper.extraction.anchors import Anchors
from scraper.extraction.content_type import is_html
from scraper.extraction.encoding import detect_encoding
from scraper.extraction.images import Image
from scraper.extraction.metadata import Heading
from scraper.extraction.page import Extras, ParsedPage, Profile, parse_page
from scraper.extraction.record import build_bare_record, build_record, content_hash

__all__ = [
    "Anchors",
    "Extras",
    "Heading",
    "Image",
    "ParsedPage",
    "Profile",
    "build_bare_record",
    "build_record",
    "content_hash",
    "detect_encoding",
    "is_html",
    "parse_page",
]
