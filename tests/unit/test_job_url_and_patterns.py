"""A job's URL and path patterns: refused at the door, or fit for the scope."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.jobs.errors import InvalidJobError
from scraper.jobs.model import JobSpec, parse_job
from scraper.scope import InvalidPatternError, InvalidUrlError, PathRules, canonical_url

URL = "https://example.com/"


def job(**fields: Any) -> JobSpec:
    return parse_job({"type": "full-crawl", "url": URL, **fields}, job_types={"full-crawl"})


def fault_of(**fields: Any) -> str:
    """The one fault of a job with these fields."""
    with pytest.raises(InvalidJobError) as refusal:
        job(**fields)
    (fault,) = refusal.value.faults
    assert str(fault).isprintable()
    return str(fault)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (None, "url is missing: give"),
        ("", "is empty"),
        ("/blog", "is not an absolute address: begin with http"),
        ("//example.com/", "is not an absolute address"),
        ("example.com/x", "did you mean https://example.com/x?"),
        ("localhost:8000", "did you mean https://localhost:8000?"),
        ("mailto:me@example.com", "is not an absolute address"),
        ("http:example.com", "is not an absolute address"),
        ("ftp://example.com/", "begins with ftp://: only http and https"),
        ("file:///etc/passwd", "begins with file://"),
        ("http://", "has no host"),
        ("https:///path", "has no host"),
        ("https://:80/", "has no host"),
        ("https://?q", "has no host"),
        ("https://example.com/a b", "has a space in it: write %20"),
        ("https://example.com/\u00a0", "has a space"),
        ("https://example.com/\x00", "control character (U+0000)"),
        ("https://exam\nple.com/", "control character (U+000A)"),
        ("https://example.com/\ud800", "lone surrogate"),
        ("https://example.com/" + "a" * 2_048, "is too long (2,068 characters)"),
        ("https://example.com/" + "é" * 1_000, "too long once it is escaped"),
        ("https://example.com:99999/", "has the port '99999'"),
        ("https://example.com:0/", "has the port '0'"),
        ("https://example.com:x/", "has the port 'x'"),
        ("https://a..b/", "has the host 'a..b'"),
        ("https://{{host}}/", "has the host"),
        ("https://[::1/", "has the host"),
        (f"https://{'a' * 64}.com/", "has the host"),
        (["https://example.com/"], "is a list"),
        (b"https://example.com/", "is a list"),
        (7, "is 7"),
        (True, "is true"),
    ],
)
def test_url_that_cannot_be_fetched_is_refused(url: Any, problem: str) -> None:
    assert problem in fault_of(url=url).replace("a bytes", "a list")


@pytest.mark.parametrize("userinfo", ["user:s3cret@", "s3cret@", ":s3cret@", "a@s3cret@"])
def test_url_with_a_password_is_refused_without_showing_it(userinfo: str) -> None:
    message = fault_of(url=f"https://{userinfo}example.com:99999/")
    assert "user name or a password" in message
    assert "s3cret" not in message


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("https://example.com", "https://example.com/"),
        (" https://EXAMPLE.com:443/a#part ", "https://example.com/a"),
        ("https://münchen.de/ü?ä#ö", "https://xn--mnchen-3ya.de/%C3%BC?%C3%A4"),
        ("https://例え.jp/", "https://xn--r8jz45g.jp/"),
        ("http://example.com./a/../b?", "http://example.com/b"),
        ("http://example.com/??", "http://example.com/??"),
        ("http://[::1]:8080/@a?b@c", "http://[::1]:8080/@a?b@c"),
        ("http://example.com/?q=a|b", "http://example.com/?q=a%7Cb"),
        ("http://127.0.0.1:8000/x", "http://127.0.0.1:8000/x"),
    ],
)
def test_url_is_written_as_links_to_it_are(url: str, written: str) -> None:
    assert job(url=url).url == written == canonical_url(url)


@given(
    st.text("aZ0.-_:/?#[]@%|\\é例\u200b ~{}", max_size=40).map("https://".__add__)
    | st.text(max_size=40).map("http://".__add__)
)
def test_every_accepted_url_is_one_for_the_scope(url: str) -> None:
    try:
        spec = job(url=url)
    except InvalidJobError:
        return
    try:
        canonical = canonical_url(spec.url)
    except InvalidUrlError as error:  # pragma: no cover
        pytest.fail(f"accepted, but {error}")
    if "%" not in url:
        assert canonical == spec.url


def test_one_pattern_may_be_given_without_a_list() -> None:
    assert job(includePaths="/blog/**").include_paths == ("/blog/**",)
    assert job(excludePaths=["/a", "re:^/b$"]).exclude_paths == ("/a", "re:^/b$")


@pytest.mark.parametrize(
    ("patterns", "problem"),
    [
        ("", "has an empty pattern"),
        (["/ok", "re:"], "write an RE2 expression"),
        ("re:(a", "no RE2 expression (missing ): (a)"),
        ("re:a)|(b", "no RE2 expression"),
        ("re:(?=a)b", "no look-ahead"),
        (r"re:(a)\1", "no back-references"),
        ("re:a{1001}", "no RE2 expression"),
        ("re:" + r"\pL" * 300, "too complex"),
        ("re:/é", "%C3%A9"),
        ("https://example.com/blog", "begins after the host"),
        ("/a\\*", "no backslash"),
        (["/a"] * 101, "has 101 patterns: give at most 100"),
        ("/" + "a" * 1_000, "too long (1,001 characters)"),
        (["/" + f"?{number}" * 400 for number in range(100)], "too complex together"),
        ([7], "has 7 in it"),
        (7, "is 7: give a list"),
        ({"a": 1}, "is an object"),
    ],
)
@pytest.mark.parametrize("field", ["includePaths", "excludePaths"])
def test_bad_pattern_is_refused_when_the_job_is_submitted(
    field: str, patterns: Any, problem: str, capfd: pytest.CaptureFixture[str]
) -> None:
    message = fault_of(**{field: patterns})
    assert message.startswith(field)
    assert problem in message
    assert capfd.readouterr().err == ""


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text("/a*?.é[]()\\{}|:", max_size=20)
        | st.text("ab/()[]{}?*+|\\^$.19-<=!QE", max_size=15).map("re:".__add__),
        max_size=5,
    )
)
def test_every_accepted_pattern_is_one_for_the_scope(patterns: list[str]) -> None:
    try:
        spec = job(includePaths=patterns)
    except InvalidJobError:
        return
    try:
        PathRules(spec.include_paths)
    except InvalidPatternError as error:  # pragma: no cover
        pytest.fail(f"accepted, but {error}")


@pytest.mark.parametrize(
    "pattern", ["/{n}" + "a" * 900, "/{n}" + "é" * 90, "/{n}" + "*a" * 80, "/{n}" + "?" * 30]
)
def test_longest_accepted_patterns_fit_the_scope(pattern: str) -> None:
    patterns = [pattern.replace("{n}", str(number)) for number in range(100)]
    assert PathRules(job(includePaths=patterns).include_paths).refuse(URL + "x") == "not_included"
