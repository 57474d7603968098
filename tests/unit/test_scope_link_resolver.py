"""The link resolver: what it remembers changes its speed and never its answers."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.scope import InvalidUrlError, LinkResolver, ResolvedLinks, Scope, resolve
from scraper.scope.query_encoding import encode_query

PAGE = "https://example.com/a/b?x=1"
SITE = Scope.for_job("https://example.com/", exclude_paths=["*.pdf"], max_depth=3)

Plain = tuple[str, bool, str | None]


def plain(resolved: ResolvedLinks) -> list[Plain]:
    return [(link.url, link.internal, link.reason) for link in resolved.links]


def without_memory(
    scope: Scope, base: str, hrefs: Sequence[str], depth: int, encoding: str
) -> tuple[list[Plain], int]:
    """The same answer from the functions that remember nothing."""
    links: dict[str, Plain] = {}
    dropped = 0
    for href in hrefs:
        try:
            if href.strip(" \t\n").startswith("#"):
                raise InvalidUrlError(href, "scheme", "a fragment")
            url = resolve(base, href, encoding)
        except InvalidUrlError as error:
            if error.reason == "scheme":
                dropped += 1
            else:
                shown = encode_query(href, encoding)
                links.setdefault(shown, (shown, False, error.reason))
        else:
            links.setdefault(url, (url, scope.is_internal(url), scope.decide(url, depth)))
    return list(links.values()), dropped


def test_links_are_canonical_judged_once_and_in_order() -> None:
    resolved = LinkResolver(SITE).resolve_links(
        PAGE,
        [
            "c",
            "/a/c#part",
            "//www.example.com/",
            "/x.pdf",
            "https://other.test",
            "./c",
            "http://[b",
        ],
        1,
    )
    assert plain(resolved) == [
        ("https://example.com/a/c", True, None),
        ("https://www.example.com/", True, None),
        ("https://example.com/x.pdf", True, "excluded"),
        ("https://other.test/", False, "off_scope"),
        ("http://[b", False, "malformed"),
    ]
    assert resolved.dropped == 0


def test_hrefs_to_no_page_are_dropped_and_each_is_counted() -> None:
    resolver = LinkResolver(SITE)
    hrefs = ["#", "#a", " #a", "mailto:a@b.test", "tel:1", "JAVASCRIPT:x()", "data:,x", "ftp://x/"]
    for _ in range(2):
        resolved = resolver.resolve_links(PAGE, [*hrefs, *hrefs, "/a"], 1)
        assert resolved.dropped == 2 * len(hrefs)
        assert plain(resolved) == [("https://example.com/a", True, None)]
        assert resolved.filtered() == {"scheme": 2 * len(hrefs)}


def test_views_split_the_links_by_what_becomes_of_them() -> None:
    resolved = LinkResolver(SITE).resolve_links(
        PAGE, ["/a", "/b.pdf", "http://x.test/", "http://y.test/", "//[", "#"], 1
    )
    assert resolved.belonging() == ["https://example.com/a"]
    assert resolved.internal() == ["https://example.com/a", "https://example.com/b.pdf"]
    assert resolved.external() == ["http://x.test/", "http://y.test/"]
    assert resolved.filtered() == {"excluded": 1, "off_scope": 2, "malformed": 1, "scheme": 1}


def test_depth_is_applied_to_remembered_links() -> None:
    resolver = LinkResolver(SITE)
    for depth, reason in ((1, None), (4, "too_deep"), (3, None)):
        resolved = resolver.resolve_links(PAGE, ["/a", "/", "/b.pdf"], depth)
        assert plain(resolved) == [
            ("https://example.com/a", True, reason),
            ("https://example.com/", True, None),
            ("https://example.com/b.pdf", True, "excluded"),
        ]


@pytest.mark.parametrize(
    ("href", "from_first", "from_second"),
    [
        ("c", "https://example.com/a/c", "https://example.com/z/c"),
        ("?p=2", "https://example.com/a/b?p=2", "https://example.com/z/?p=2"),
        ("\n?p=2", "https://example.com/a/b?p=2", "https://example.com/z/?p=2"),
        ("", "https://example.com/a/b?x=1", "https://example.com/z/?y"),
        (" \t", "https://example.com/a/b?x=1", "https://example.com/z/?y"),
        ("https:?p=2", "https://example.com/a/b?p=2", "https://example.com/z/?p=2"),
        (
            "ht\t\t\t\t\t\t\t\t\t\t\t\t\t\t\ttps:",
            "https://example.com/a/b?x=1",
            "https://example.com/z/?y",
        ),
        ("HTTPS:c", "https://example.com/a/c", "https://example.com/z/c"),
        ("\\c", "https://example.com/c", "https://example.com/c"),
    ],
)
def test_memory_of_one_page_does_not_mislead_another(
    href: str, from_first: str, from_second: str
) -> None:
    resolver = LinkResolver(SITE)
    for base, target in ((PAGE, from_first), ("https://example.com/z/?y", from_second)) * 2:
        assert resolver.resolve_links(base, [href], 1).belonging() == [target]


def test_same_href_means_another_page_under_another_scheme_or_host() -> None:
    resolver = LinkResolver(SITE)
    for origin in ("https://example.com", "http://example.com", "http://example.com:81"):
        resolved = resolver.resolve_links(f"{origin}/x", ["/a", "//h.test/"], 1)
        assert [link.url for link in resolved.links] == [
            f"{origin}/a",
            f"{origin.partition(':')[0]}://h.test/",
        ]


def test_base_may_be_any_url_that_a_base_element_gives() -> None:
    resolver = LinkResolver(SITE)
    hrefs = ["c"]
    resolver.resolve_links("https://example.com/a/", hrefs, 1)
    resolved = resolver.resolve_links("HTTPS://u:p@Example.com.:443/a/../z/?q#f", hrefs, 1)
    assert resolved.belonging() == ["https://example.com/z/c"]
    with pytest.raises(InvalidUrlError):
        resolver.resolve_links("about:blank", hrefs, 1)


def test_query_follows_the_encoding_of_each_page() -> None:
    resolver = LinkResolver(SITE)
    for encoding, query in (("utf-8", "%C3%A9"), ("iso-8859-1", "%E9"), ("utf-8", "%C3%A9")):
        resolved = resolver.resolve_links(PAGE, ["/?é"], 1, encoding=encoding)
        assert resolved.belonging() == [f"https://example.com/?{query}"]


def test_memory_stays_within_its_capacity_and_keeps_what_is_in_use() -> None:
    resolver = LinkResolver(SITE, capacity=1_000)
    first = resolver.resolve_links(PAGE, ["/menu"], 1).links[0]
    heaviest = 0
    for page in range(200):
        hrefs = ["/menu", *(f"/page-{page}/{number}" for number in range(40))]
        assert resolver.resolve_links(PAGE, hrefs, 1).links[0] is first
        heaviest = max(heaviest, resolver.weight)
    assert 500 < heaviest <= 1_010


def test_links_to_the_page_itself_count_towards_the_capacity() -> None:
    resolver = LinkResolver(SITE)
    for page in range(50):
        resolver.resolve_links(f"https://example.com/{page}", [""], 1)
    assert resolver.weight == 50


def test_long_hrefs_weigh_more_and_the_longest_are_not_kept() -> None:
    resolver = LinkResolver(SITE)
    resolver.resolve_links(PAGE, [f"data:{'x' * 1_000_000}", f"/#{'y' * 60_000}"], 1)
    assert resolver.weight < 5
    resolver.resolve_links(PAGE, [f"/{'z' * 1_900}"], 1)
    assert resolver.weight > 10


def test_too_long_and_malformed_links_are_shown_shortened() -> None:
    long = f"/{'z' * 3_000}"
    links = LinkResolver(SITE).resolve_links(PAGE, [long, f"http://[{'z' * 999}"], 1).links
    assert [(len(link.url), link.reason) for link in links] == [
        (201, "too_long"),
        (201, "malformed"),
    ]


def test_page_with_more_links_than_the_capacity_lists_each_url_once() -> None:
    hrefs = [f"/{number % 30}" for number in range(90)]
    resolved = LinkResolver(SITE, capacity=4).resolve_links(PAGE, hrefs, 1)
    assert resolved.belonging() == [f"https://example.com/{number}" for number in range(30)]


def test_capacity_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity"):
        LinkResolver(SITE, capacity=1)


bases = st.sampled_from(
    ["https://example.com/", PAGE, "https://example.com/a/b", "https://example.com/a/",
     "https://example.com/a/?q", "http://www.example.com:80", "http://other.test/a/b/c?d"]
)  # fmt: skip
hrefs_of_a_page = st.lists(
    st.one_of(
        st.sampled_from(
            ["", "/", "c", "../c", "?q", "#f", "//www.example.com/c", "http:c", "b.pdf"]
        ),
        st.text(alphabet="/\\?#.: \tabhHtps%é[@", max_size=10),
    ),
    max_size=12,
)


@given(
    st.integers(2, 20),
    st.lists(
        st.tuples(bases, hrefs_of_a_page, st.integers(0, 5), st.sampled_from(["utf-8", "cp1252"])),
        max_size=8,
    ),
)
@settings(deadline=None, max_examples=200)
def test_answers_are_those_without_memory(
    capacity: int, pages: list[tuple[str, list[str], int, str]]
) -> None:
    resolver = LinkResolver(SITE, capacity)
    for base, hrefs, depth, encoding in pages:
        resolved = resolver.resolve_links(base, hrefs, depth, encoding=encoding)
        links, dropped = without_memory(SITE, base, hrefs, depth, encoding)
        assert plain(resolved) == links
        assert resolved.dropped == dropped
