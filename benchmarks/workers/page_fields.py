"""The page record as Scrapy's documentation teaches it: selectors and LinkExtractor."""

import json
from typing import Any
from urllib.parse import urlsplit

from scrapy.http import HtmlResponse
from scrapy.link import Link
from scrapy.linkextractors import LinkExtractor


class DocumentedExtraction:
    """Records with the fields of the asked profile, in the project's own form."""

    def __init__(self, is_full: bool) -> None:
        self._is_full = is_full
        self._links = LinkExtractor()

    def record(self, response: HtmlResponse) -> tuple[dict[str, Any], list[Link]]:
        """The record of a page and its links on the same host."""
        host = urlsplit(response.url).netloc
        internal: list[Link] = []
        external: list[Link] = []
        for link in self._links.extract_links(response):
            (internal if urlsplit(link.url).netloc == host else external).append(link)
        canonical = response.css("link[rel=canonical]::attr(href)").get()
        record = {
            "url": response.url,
            "status": response.status,
            "title": response.css("title::text").get(),
            "description": response.css("meta[name=description]::attr(content)").get(),
            "canonical": response.urljoin(canonical) if canonical else None,
            "language": response.css("html::attr(lang)").get(),
            "headings": [
                {"level": int(heading.root.tag[1]), "text": _text(heading)}
                for heading in response.css("h1, h2, h3, h4, h5, h6")
            ],
            "openGraph": {
                meta.attrib["property"]: meta.attrib.get("content")
                for meta in response.css("meta[property^='og:']")
            },
            "links": {
                "internal": [{"url": link.url, "text": link.text} for link in internal],
                "external": [{"url": link.url, "text": link.text} for link in external],
            },
        }
        if self._is_full:
            record |= _heavy_fields(response)
        return record, internal


def _text(selector: Any) -> str:
    return " ".join("".join(selector.css("::text").getall()).split())


def _heavy_fields(response: HtmlResponse) -> dict[str, Any]:
    words = response.xpath(
        "//body//text()[not(parent::script or parent::style or ancestor::nav or ancestor::footer)]"
    )
    return {
        "text": " ".join(" ".join(words.getall()).split()),
        "images": [
            {"url": response.urljoin(image.attrib["src"]), "alt": image.attrib.get("alt")}
            for image in response.css("img[src]")
        ],
        "jsonLd": [
            json.loads(script)
            for script in response.css("script[type='application/ld+json']::text").getall()
        ],
    }
