"""Turns the links of a job's pages into canonical URLs and verdicts, remembering the usual ones."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, cast

from scraper.scope.canonical import MAX_URL_CHARS, canonical_url, is_plain_path, resolve
from scraper.scope.errors import InvalidUrlError, shortened
from scraper.scope.job_scope import Scope
from scraper.scope.query_encoding import encode_query, query_codec
from scraper.scope.reasons import Reason
from scraper.scope.traps import Suspicion, suspect


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """Where a link leads. `reason` says why that does not belong to the job; None: it belongs.

    `url` is canonical and, of the job's site, tidy (`Scope.tidy`); for 'malformed' and 'too_long'
    it is the href as written, shortened. `suspicion` of a link that belongs: only a bounded number
    of its kind do. A resolver has one Link object for a URL: they are compared by identity.
    """

    url: str
    internal: bool
    reason: Reason | None
    suspicion: Suspicion | None = None


@dataclass(frozen=True, slots=True)
class ResolvedLinks:
    """The links of one page, each URL once, in the order of their first occurrence.

    `dropped` counts the hrefs that lead to no page (mailto:, javascript:, '#part' and the like).
    """

    links: tuple[Link, ...]
    dropped: int
    # Where each href leads, in their order, repeated ones too; one with url "" leads to no page.
    targets: tuple[Link, ...]

    def belonging(self) -> list[str]:
        """The URLs that belong to the job."""
        return [link.url for link in self.links if link.reason is None]

    def internal(self) -> list[str]:
        """The URLs on the job's site, whether they belong to the job or not."""
        return [link.url for link in self.links if link.internal]

    def external(self) -> list[str]:
        """The URLs on other sites."""
        return [link.url for link in self.links if link.reason == "off_scope"]

    def filtered(self) -> dict[Reason, int]:
        """How many URLs stay out, by reason; under 'scheme' the dropped hrefs."""
        counts = Counter(link.reason for link in self.links if link.reason is not None)
        if self.dropped:
            counts["scheme"] += self.dropped
        return dict(counts)


_NO_PAGE: Final = Link("", internal=False, reason="scheme")
_NO_LINKS: Final[dict[str, Link]] = {}
_MAX_REMEMBERED_CHARS: Final = 2_048
_CHARS_A_LINK: Final = 256

_NO_PAGE_PREFIXES: Final = ("#", "javascript:", "mailto:", "tel:", "data:")
_SAME_FOR_ORIGIN: Final = ("/", "http://", "https://", *_NO_PAGE_PREFIXES)
_HEAD_CHARS: Final = 16
_TAB_OR_NEWLINE = re.compile(r"[\t\n\r]+")
_C0_AND_SPACE: Final = "".join(map(chr, range(33)))


class _Base(NamedTuple):
    """A page's base URL and the parts of it on which its hrefs can depend.

    They name the tables of remembered links. A document's name ends in '?', so that it is never a
    directory's.
    """

    url: str
    origin: str
    directory: str
    document: str

    @classmethod
    def of(cls, url: str) -> "_Base":
        path = url.partition("?")[0]
        origin = path[: path.index("/", 8)]
        return cls(url, origin, path[: path.rindex("/") + 1], path + "?")

    def part_for(self, href: str) -> str | None:
        """On what part of this base the meaning of `href` depends; None: on all of it."""
        head = _head(href)
        if head.startswith(_SAME_FOR_ORIGIN):
            return self.origin
        if not head or head.startswith(("http:", "https:")):  # 'http:?page=2' is relative
            return None
        return self.document if head[0] == "?" else self.directory


def _head(href: str) -> str:
    """How `href` begins, in lower case and without the blanks that do not count."""
    if not href[:1].isalnum() and href[:1] not in ("/", "."):
        href = href.strip(_C0_AND_SPACE)
    return _TAB_OR_NEWLINE.sub("", href)[:_HEAD_CHARS].lower()


@dataclass(slots=True)
class _Generation:
    """Remembered links: by the part of the base and the href, and by canonical URL.

    Each Link in a table is in `links` too, so that a URL has one Link over all tables.
    """

    tables: dict[str, dict[str, Link]] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    weight: int = 0

    def recall(self, part: str, href: str) -> Link | None:
        return self.tables.get(part, _NO_LINKS).get(href)

    def remember(self, part: str, href: str, link: Link) -> None:
        table = self.tables.get(part)
        if table is None:
            table = self.tables[part] = {}
            self.weight += 1
        table[href] = link
        self.weight += 1 + len(href) // _CHARS_A_LINK
        self.keep(link)

    def keep(self, link: Link) -> None:
        if link.url not in self.links:
            self.links[link.url] = link
            self.weight += len(link.url) // _CHARS_A_LINK


class LinkResolver:
    """Resolves the links of one job's pages; a link seen before costs one look-up in a dict.

    Not safe for threads. `capacity` is how many links of usual length it remembers at most, at
    about 330 bytes each: at half of that a new generation begins, and the one before the last is
    forgotten, but for what was used since. Belongs to one scope: a new scope needs a new resolver.
    """

    def __init__(self, scope: Scope, capacity: int = 200_000) -> None:
        if capacity < 2:
            raise ValueError(f"capacity must be at least 2, not {capacity}")
        self._scope = scope
        self._generation_weight = capacity // 2
        self._young = _Generation()
        self._old = _Generation()

    @property
    def weight(self) -> int:
        """What is remembered now, in links of usual length."""
        return self._young.weight + self._old.weight

    def resolve_links(
        self, base_url: str, hrefs: Sequence[str], depth: int, encoding: str = "utf-8"
    ) -> ResolvedLinks:
        """Where the `hrefs` of a page lead. `depth` is that of the links: the page's own and one.

        Else as `targets`.
        """
        young = self._young
        links = self.targets(base_url, hrefs, encoding)
        if self._young is young:
            distinct = dict.fromkeys(links)
        else:  # a Link may have been forgotten and made again half-way
            distinct = dict.fromkeys({link.url: link for link in links}.values())
        dropped = 0
        if _NO_PAGE in distinct:
            del distinct[_NO_PAGE]
            dropped = links.count(_NO_PAGE)
        if self._scope.is_too_deep(depth):
            return ResolvedLinks(tuple(map(self._too_deep, distinct)), dropped, tuple(links))
        return ResolvedLinks(tuple(distinct), dropped, tuple(links))

    def targets(self, base_url: str, hrefs: Sequence[str], encoding: str = "utf-8") -> list[Link]:
        """Where each href leads, in their order, whatever its depth: `ResolvedLinks.targets`.

        `base_url` is what they are relative to, `encoding` the page's. Raises InvalidUrlError
        when the base is not the URL of a page.
        """
        known = self._young.links.get(base_url)
        is_canonical = known is not None and known.internal
        base = _Base.of(base_url if is_canonical else canonical_url(base_url))
        if query_codec(encoding) is not None:
            hrefs = [encode_query(href, encoding) for href in hrefs]
        found = list(map(self._young.tables.get(base.origin, _NO_LINKS).get, hrefs))
        return self._fill(base, hrefs, found) if None in found else cast("list[Link]", found)

    def _fill(self, base: _Base, hrefs: Sequence[str], found: Sequence[Link | None]) -> list[Link]:
        in_directory = self._young.tables.get(base.directory, _NO_LINKS).get
        in_document = self._young.tables.get(base.document, _NO_LINKS).get
        return [
            link or in_directory(href) or in_document(href) or self._find(base, href)
            for link, href in zip(found, hrefs, strict=True)
        ]

    def _find(self, base: _Base, href: str) -> Link:
        part = base.part_for(href) if len(href) <= _MAX_REMEMBERED_CHARS else None
        if part is None:
            self._young_with_room().weight += 1  # for a new Link, which no table counts
            return self._link_to(base, href)
        link = self._young.recall(part, href)
        if link is None:
            link = self._old.recall(part, href) or self._link_to(base, href)
            self._young_with_room().remember(part, href, link)
        return link

    def _link_to(self, base: _Base, href: str) -> Link:
        if is_plain_path(href) and len(base.origin) + len(href) <= MAX_URL_CHARS:
            return self._one_link(self._scope.tidy(base.origin + href), None)
        if _head(href).startswith(_NO_PAGE_PREFIXES):
            return _NO_PAGE
        try:
            url = self._scope.tidy(resolve(base.url, href))
        except InvalidUrlError as error:
            if error.reason == "scheme":
                return _NO_PAGE
            return self._one_link(shortened(href), error.reason)
        return self._one_link(url, None)

    def _one_link(self, url: str, fault: Reason | None) -> Link:
        """The only Link for `url`, made when there is none; `fault` when it is no page's URL."""
        link = self._young.links.get(url) or self._old.links.get(url)
        if link is None and fault is not None:
            link = Link(url, internal=False, reason=fault)
        elif link is None:
            internal = self._scope.is_internal(url)
            reason = self._scope.decide_at_any_depth(url)
            is_free = reason is not None or url == self._scope.start_url
            link = Link(url, internal, reason, None if is_free else suspect(url))
        self._young_with_room().keep(link)
        return link

    def _young_with_room(self) -> _Generation:
        if self._young.weight >= self._generation_weight:
            self._old, self._young = self._young, _Generation()
        return self._young

    def _too_deep(self, link: Link) -> Link:
        if link.reason is not None or link.url == self._scope.start_url:
            return link
        return Link(link.url, link.internal, "too_deep")
