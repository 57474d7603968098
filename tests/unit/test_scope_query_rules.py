"""Queries: what names no page is left out, the order of parameters does not count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.jobs.job_fields import IGNORED_PARAMETERS
from scraper.scope import LinkResolver, QueryRules, Scope

USUAL = QueryRules(IGNORED_PARAMETERS, sorts=True)
A = "https://a.test/p"


@pytest.mark.parametrize(
    ("url", "tidy"),
    [
        (A, A),
        (f"{A}?id=7", f"{A}?id=7"),
        (f"{A}?utm_source=x&id=7&UTM_Medium=y", f"{A}?id=7"),
        (f"{A}?gclid=abc", A),
        (f"{A}?PHPSESSID=0123", A),
        (f"{A};jsessionid=1A2B.node?id=7", f"{A}?id=7"),
        (f"{A};JSESSIONID=1A2B", A),
        (f"{A};v=2", f"{A};v=2"),
        (f"{A}?b=2&a=1", f"{A}?a=1&b=2"),
        (f"{A}?f=2&b=1&f=1", f"{A}?b=1&f=2&f=1"),
        (f"{A}?b&a", f"{A}?a&b"),
        (f"{A}?utm=1", f"{A}?utm=1"),
        (f"{A}?q=a?b", f"{A}?q=a?b"),
    ],
)
def test_only_what_names_the_page_stays(url: str, tidy: str) -> None:
    assert USUAL.tidy(url) == tidy


def test_whole_queries_can_be_ignored() -> None:
    assert QueryRules(ignores_all=True).tidy(f"{A}?id=7") == A


def test_without_rules_a_query_stays_as_it_is() -> None:
    assert QueryRules().tidy(f"{A}?b=2&&a=1&utm_source=x") == f"{A}?b=2&&a=1&utm_source=x"


@given(st.text("ab=&;?utm_gclid1/", max_size=40))
def test_tidying_twice_changes_nothing_more(rest: str) -> None:
    once = USUAL.tidy(f"{A}{rest}")
    assert USUAL.tidy(once) == once


def test_start_url_and_other_sites_keep_their_query() -> None:
    start = f"{A}?b=1&a=2&utm_source=x"
    scope = Scope.for_job(start, query=USUAL)
    assert scope.tidy(start) == start
    assert scope.tidy("https://b.test/?z=1&a=2&gclid=3") == "https://b.test/?z=1&a=2&gclid=3"
    assert scope.tidy("https://a.test/?z=1&a=2&gclid=3") == "https://a.test/?a=2&z=1"


def test_forms_of_one_page_are_one_link() -> None:
    resolver = LinkResolver(Scope.for_job("https://a.test/", query=USUAL))
    links = resolver.resolve_links("https://a.test/", ["/p?a=1&b=2", "p?b=2&a=1&gclid=9"], 1)
    assert [link.url for link in links.links] == [f"{A}?a=1&b=2"]
