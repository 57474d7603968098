"""A job's scope: its site, its rules, its depth, and the sentence that explains them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.scope import InvalidPatternError, InvalidUrlError, Scope, canonical_url

START = "https://www.example.com/shop/?ref=a"


@pytest.mark.parametrize(
    ("start", "url", "internal"),
    [
        ("https://example.com/", "https://example.com/a", True),
        ("https://example.com/", "http://www.example.com/a", True),
        ("http://www.example.com/", "https://example.com/", True),
        ("https://example.com/", "https://shop.example.com/", False),
        ("https://example.com/", "https://www.shop.example.com/", False),
        ("https://example.com/", "https://notexample.com/", False),
        ("https://example.com/", "https://example.com.evil.test/", False),
        ("https://example.com/", "https://example.com:8443/", False),
        ("https://example.com:8443/", "http://www.example.com:8443/", True),
        ("https://example.com:8443/", "https://example.com/", False),
        ("http://www.www.example.com/", "http://example.com/", False),
        ("http://www.com/", "http://com/", False),
        ("http://localhost/", "http://www.localhost/", False),
        ("http://[::1]:8080/", "http://[::1]:8080/a", True),
        ("http://münchen.de/", "http://xn--mnchen-3ya.de/a", True),
    ],
)
def test_site_is_the_start_host_with_or_without_www(start: str, url: str, internal: bool) -> None:
    scope = Scope.for_job(start)
    assert scope.is_internal(canonical_url(url)) is internal
    assert scope.decide(canonical_url(url), 1) == (None if internal else "off_scope")


def test_further_site_hosts_count_as_the_site() -> None:
    scope = Scope.for_job("http://old.test/", site_hosts=["WWW.New.test", "shop.test:8080"])
    assert scope.decide("https://new.test/a", 1) is None
    assert scope.decide("http://shop.test:8080/a", 1) is None
    assert scope.decide("http://shop.test/a", 1) == "off_scope"
    assert scope.decide("http://old.test/a", 1) is None


def test_each_reason_is_given_for_its_case() -> None:
    scope = Scope.for_job(
        START, include_paths=["/shop/**", "/blog/**"], exclude_paths=["*.pdf"], max_depth=2
    )
    cases = {
        ("https://www.example.com/shop/a", 2): None,
        ("https://www.example.com/shop/a", 3): "too_deep",
        ("https://www.example.com/shop/a.pdf", 3): "excluded",
        ("https://www.example.com/", 3): "not_included",
        ("https://example.org/shop/a", 3): "off_scope",
        ("mailto:a@example.com", 1): "scheme",
        ("ftp://example.com/", 1): "scheme",
        ("", 1): "malformed",
        ("http:///a", 1): "malformed",
        (f"https://www.example.com/shop/{'a' * 2_100}", 1): "too_long",
    }
    assert {case: scope.decide(*case) for case in cases} == cases


def test_start_url_belongs_whatever_the_rules_and_the_depth() -> None:
    scope = Scope.for_job(
        START, include_paths=["/blog/**"], exclude_paths=["/shop/**"], max_depth=0
    )
    assert scope.decide(canonical_url(START), 5) is None
    assert scope.decide("https://www.example.com/shop/", 0) == "excluded"


def test_depth_limit_zero_is_the_start_page_alone() -> None:
    scope = Scope.for_job(START, max_depth=0)
    assert scope.decide("https://www.example.com/", 0) is None
    assert scope.decide("https://www.example.com/", 1) == "too_deep"
    assert Scope.for_job(START).decide("https://www.example.com/", 10_000) is None


def test_scope_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Scope.for_job(START).max_depth = 3  # type: ignore[misc]


def test_faults_of_a_job_are_raised_at_once() -> None:
    with pytest.raises(InvalidUrlError):
        Scope.for_job("example.com")
    with pytest.raises(InvalidUrlError):
        Scope.for_job(START, site_hosts=["not a host"])
    with pytest.raises(InvalidPatternError, match="excludePaths"):
        Scope.for_job(START, exclude_paths=["re:("])


@pytest.mark.parametrize(
    ("url", "depth", "sentence"),
    [
        (START, 9, "It belongs to the job: it is the start URL."),
        ("https://example.com/blog/a#b", 1, "It belongs to the job: includePaths has '/blog/**'."),
        ("/relative", 1, "It is filtered (malformed): no scheme: it must begin with http://"),
        ("tel:123", 1, "It is filtered (scheme): tel: is neither http nor https."),
        (
            "http://example.org/blog",
            1,
            "It is filtered (off_scope): example.org is not of the job's site (example.com).",
        ),
        (
            "http://example.com/blog/a.pdf",
            1,
            "It is filtered (excluded): excludePaths has '*.pdf'.",
        ),
        (
            "http://example.com/b",
            1,
            "It is filtered (not_included): none of the rules in includePaths matches its path.",
        ),
        (
            "http://example.com/blog/a",
            4,
            "It is filtered (too_deep): it is 4 links away from the start, maxDepth is 3.",
        ),
    ],
)
def test_explanation_names_what_decides(url: str, depth: int, sentence: str) -> None:
    scope = Scope.for_job(START, include_paths=["/blog/**"], exclude_paths=["*.pdf"], max_depth=3)
    assert scope.explain(url, depth).startswith(sentence)


def test_explanation_without_rules_names_the_host() -> None:
    sentence = Scope.for_job(START).explain("http://example.com/a", 1)
    assert sentence == (
        "It belongs to the job: example.com is of its site and no path rule speaks against it."
    )


@given(st.text(max_size=60), st.integers(0, 5))
@settings(deadline=None)
def test_any_text_is_decided_and_explained(text: str, depth: int) -> None:
    scope = Scope.for_job(START, include_paths=["/a/**"], max_depth=3)
    assert scope.decide(text, depth) in {"scheme", "malformed", "off_scope", "not_included", None}
    assert scope.explain(text, depth).endswith(".")


@pytest.mark.parametrize(
    ("url", "belongs"),
    [
        ("https://shop.example.com/", True),
        ("http://a.b.www.example.com/", True),
        ("https://example.com/", True),
        ("https://notexample.com/", False),
        ("https://example.com.evil.test/", False),
        ("https://shop.example.com:8443/", False),
        ("https://a.other.test:8080/", True),
        ("https://a.other.test/", False),
    ],
)
def test_hosts_below_belong_where_the_job_says_so(url: str, belongs: bool) -> None:
    hosts = ["other.test:8080"]
    scope = Scope.for_job("https://www.example.com/", site_hosts=hosts, include_subdomains=True)
    assert scope.decide(url, 1) == (None if belongs else "off_scope")
    assert belongs or "and what is below" in scope.explain(url, 1)
    assert Scope.for_job("https://example.com/").decide("https://a.example.com/", 1) == "off_scope"
