"""The page record by Lexbor, as lean as it gets: for peers that bring no extraction."""

import json
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode


def slim_record(body: bytes, url: str, status: int, *, is_full: bool) -> dict[str, Any]:
    """A record with the fields of the asked profile, in the project's own form."""
    tree = LexborHTMLParser(body)
    title = tree.css_first("title")
    html = tree.css_first("html")
    canonical = _attribute(tree, "link[rel=canonical]", "href")
    record: dict[str, Any] = {
        "url": url,
        "status": status,
        "title": title.text(strip=True) if title else None,
        "description": _attribute(tree, "meta[name=description]", "content"),
        "canonical": urljoin(url, canonical) if canonical else None,
        "language": html.attributes.get("lang") if html else None,
        "headings": [
            {"level": int((node.tag or "h0")[1]), "text": _text(node)}
            for node in tree.css("h1, h2, h3, h4, h5, h6")
        ],
        "openGraph": {
            node.attributes["property"]: node.attributes.get("content")
            for node in tree.css("meta[property^='og:']")
        },
        "links": _links(tree, url),
    }
    if is_full:
        record |= _heavy_fields(tree, url)
    return record


def _attribute(tree: LexborHTMLParser, selector: str, name: str) -> str | None:
    node = tree.css_first(selector)
    return node.attributes.get(name) if node else None


def _text(node: LexborNode) -> str:
    return " ".join(node.text().split())


def _links(tree: LexborHTMLParser, url: str) -> dict[str, list[dict[str, str | None]]]:
    host = urlsplit(url).netloc
    found: dict[str, list[dict[str, str | None]]] = {"internal": [], "external": []}
    seen = set()
    for node in tree.css("a[href], area[href]"):
        target = urldefrag(urljoin(url, (node.attributes["href"] or "").strip())).url
        if target in seen or not target.startswith(("http://", "https://")):
            continue
        seen.add(target)
        side = "internal" if urlsplit(target).netloc == host else "external"
        found[side].append({"url": target, "text": _text(node), "rel": node.attributes.get("rel")})
    return found


def _heavy_fields(tree: LexborHTMLParser, url: str) -> dict[str, Any]:
    images = [
        {"url": urljoin(url, node.attributes["src"] or ""), "alt": node.attributes.get("alt")}
        for node in tree.css("img[src]")
    ]
    scripts = [json.loads(node.text()) for node in tree.css("script[type='application/ld+json']")]
    tree.strip_tags(["script", "style", "nav", "footer"])
    body = tree.body
    return {"images": images, "jsonLd": scripts, "text": _text(body) if body else ""}
