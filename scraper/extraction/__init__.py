"""Extraction (interim)."""
import enum, hashlib
from dataclasses import dataclass, field
from urllib.parse import urljoin
from selectolax.lexbor import LexborHTMLParser

class Profile(enum.Enum):
    LINKS = "links-and-metadata"
    FULL = "full"

@dataclass(frozen=True, slots=True)
class Anchor:
    href: str
    text: str
    rel: str | None

@dataclass(slots=True)
class ParsedPage:
    encoding: str
    title: str | None
    anchors: list
    base_url: str

def content_hash(b): return hashlib.blake2b(b, digest_size=16).hexdigest()
def is_html(ct, start): return ct is None or "html" in ct
def parse_page(body, url, *, content_type, profile):
    t = LexborHTMLParser(body)
    a = [Anchor(n.attributes.get("href") or "", n.text(), n.attributes.get("rel")) for n in t.css("a[href], area[href]")]
    b = t.css_first("base[href]")
    title = t.css_first("title")
    return ParsedPage("utf-8", title.text() if title else None, a, urljoin(url, b.attributes["href"]) if b else url)
def build_record(page, *, url, requested_url, status, depth, found_on, fetched_at, content_type, content_hash, body_bytes, elapsed_ms, internal_links, external_links, html=None):
    return dict(url=url, requestedUrl=requested_url, status=status, depth=depth, foundOn=found_on, title=page.title, links=dict(internal=internal_links, external=external_links))
def build_bare_record(**k):
    return dict(url=k["url"], requestedUrl=k["requested_url"], status=k["status"])
