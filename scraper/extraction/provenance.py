"""Who published a page, and when."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from selectolax.lexbor import LexborHTMLParser

from scraper.extraction import limits
from scraper.extraction.metadata import MetaTags
from scraper.extraction.schema_org import Item, as_list, items_in, leading_items, text_of, types_of
from scraper.extraction.text import collapsed, encodable

# Objects of schema.org whose dates and authors are those of the page.
_WORK_TYPES: Final = """
    AdvertiserContentArticle AnalysisNewsArticle Article BlogPosting CreativeWork
    DiscussionForumPosting HowTo LiveBlogPosting MedicalWebPage NewsArticle OpinionNewsArticle
    QAPage Question Recipe Report ReportageNewsArticle Review ReviewNewsArticle ScholarlyArticle
    SocialMediaPosting TechArticle VideoObject
"""
_WORKS: Final = frozenset(_WORK_TYPES.split())
_PAGES: Final = frozenset(("WebPage", "ItemPage", "AboutPage", "ProfilePage", "FAQPage"))


def _ranks(*names: str) -> dict[str, int]:
    return {name: rank for rank, name in enumerate(names)}


_PUBLISHED: Final = _ranks(
    *("article:published_time", "og:article:published_time", "og:published_time"),
    *("dcterms.issued", "dcterms.created", "dc.date.issued", "dc.date.created", "parsely-pub-date"),
    *("citation_publication_date", "publication_date", "publish_date", "publishdate", "pubdate"),
    *("sailthru.date", "create_date", "created", "creation_date", "date", "dc.date"),
    "dcterms.date",
)
_MODIFIED: Final = _ranks(
    *("article:modified_time", "og:article:modified_time", "og:updated_time"),
    *("dcterms.modified", "dc.date.modified", "last-modified", "modified"),
)
_AUTHORS: Final = _ranks(
    *("author", "article:author", "parsely-author", "sailthru.author", "dc.creator"),
    *("dcterms.creator", "citation_author", "creator", "byl", "cre"),
)
_SITE_NAMES: Final = _ranks("og:site_name", "application-name")
_PUBLISHERS: Final = _ranks("dc.publisher")
_MAX_DATE_CHARS: Final = 40
_EARLIEST_YEAR: Final = 1990
_DATE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_IN_URL = re.compile(r"/((?:19|20)\d\d)[-/](0[1-9]|1[0-2])[-/](0[1-9]|[12]\d|3[01])(?:[/_-]|$)")


@dataclass(frozen=True, slots=True)
class Provenance:
    """`published_at` and `modified_at`: ISO 8601, a date or a time with its offset where given."""

    author: str | None = None
    site_name: str | None = None
    published_at: str | None = None
    modified_at: str | None = None


def read_provenance(
    tree: LexborHTMLParser,
    url: str,
    meta_tags: MetaTags,
    objects: Sequence[Item],
) -> Provenance:
    """What <meta>, JSON-LD and microdata (`objects`) say, or else the page's first <time>, or its
    URL. Of several, what was made for search engines and readers of news comes first.
    """
    items = leading_items(objects)
    works = [item for item in items if not _WORKS.isdisjoint(types_of(item))]
    works += [item for item in items if not _PAGES.isdisjoint(types_of(item))]
    names = _Names(meta_tags)
    return Provenance(
        author=_author(works, names),
        site_name=_site_name(items, names),
        published_at=_first_date(_dates(works, "datePublished"))
        or _first_date(names.all(_PUBLISHED))
        or _date_on_page(tree, url),
        modified_at=_first_date(_dates(works, "dateModified")) or _first_date(names.all(_MODIFIED)),
    )


class _Names:
    """The texts of <meta name> and <meta property> together."""

    def __init__(self, meta_tags: MetaTags) -> None:
        self._texts: dict[str, str | list[str]] = {**meta_tags.named, **meta_tags.open_graph}

    def all(self, ranks: Mapping[str, int]) -> list[str]:
        """The texts of those names that are there, in the order of their ranks."""
        present = sorted((ranks[name], name) for name in self._texts if name in ranks)
        return [text for _, name in present if (text := self._text(name))]

    def _text(self, name: str) -> str:
        value = self._texts[name]
        return value[0] if isinstance(value, list) else value


def iso_date(text: str) -> str | None:
    """A date as pages write it for machines, in ISO 8601; None for what is none, before 1990 or
    later than tomorrow.
    """
    text = text.strip()
    if not text or len(text) > _MAX_DATE_CHARS:
        return None
    parsed = _parsed_date(text)
    if parsed is None:
        return None
    moment, has_time = parsed
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment.year < _EARLIEST_YEAR or aware.timestamp() > time.time() + 86_400:
        return None
    if not has_time:
        return moment.date().isoformat()
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _parsed_date(text: str) -> tuple[datetime, bool] | None:
    try:
        if not text.isascii():
            return None
        if (text[:4].isdigit() and len(text) > 8) or text[4:5] in ("/", "."):
            try:
                return datetime.fromisoformat(text), len(text) > 10
            except ValueError:
                return _leading_date(text)
        if len(text) == 8 and text.isdecimal():
            return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC), False
        if text[:3].isalpha() and ":" in text:
            return parsedate_to_datetime(text), True
    except (ValueError, OverflowError, IndexError, TypeError):
        pass
    return None


def _leading_date(text: str) -> tuple[datetime, bool] | None:
    match = _DATE.match(text)
    if match is None:
        return None
    year, month, day = map(int, match.groups())
    return datetime(year, month, day, tzinfo=UTC), False


def _first_date(texts: Iterable[str]) -> str | None:
    for text in texts:
        if date := iso_date(text):
            return date
    return None


def _dates(items: Iterable[Item], name: str) -> Iterable[str]:
    return (text for item in items for text in as_list(item.get(name)) if isinstance(text, str))


def _date_on_page(tree: LexborHTMLParser, url: str) -> str | None:
    if b"datetime=" in tree.raw_html:
        for node in tree.css("time[datetime]")[:20]:
            attributes = node.attributes
            # Of many <time> elements, all but the first are likely to be those of comments.
            if date := iso_date(attributes.get("datetime") or ""):
                return date
    match = _IN_URL.search(url)
    return iso_date("-".join(match.groups())) if match else None


def _author(works: Iterable[Item], names: _Names) -> str | None:
    for item in works:
        found = [text_of(author) for author in as_list(item.get("author"))[:10]]
        if authors := [name for name in found if name and not _is_url(name)]:
            return encodable(collapsed(", ".join(dict.fromkeys(authors)), limits.MAX_AUTHOR_CHARS))
    for name in names.all(_AUTHORS):
        if not _is_url(name):
            return collapsed(name.removeprefix("By "), limits.MAX_AUTHOR_CHARS) or None
    return None


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://", "@", "/"))


def _site_name(items: Sequence[Item], names: _Names) -> str | None:
    name = next(filter(None, _site_names(items, names)), "")
    return encodable(collapsed(name, limits.MAX_SITE_NAME_CHARS)) or None


def _site_names(items: Sequence[Item], names: _Names) -> Iterator[str | None]:
    yield from names.all(_SITE_NAMES)
    yield from (text_of(item.get("name")) for item in items if "WebSite" in types_of(item))
    yield from (
        text_of(one.get("name")) for item in items for one in items_in(item.get("publisher"))
    )
    yield from names.all(_PUBLISHERS)
