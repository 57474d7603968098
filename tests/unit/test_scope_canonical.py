"""Canonical URLs: one name for a page, the WHATWG Standard's but for the listed differences."""

from contextlib import suppress

import pytest
from ada_url import join_url
from hypothesis import given, settings
from hypothesis import strategies as st
from w3lib.url import safe_url_string

from scraper.scope import MAX_URL_CHARS, InvalidUrlError, canonical_url, host_key, resolve

BASE = "https://example.com/a/b?x=1#part"

CANONICAL = [
    ("http://example.com", "http://example.com/"),
    ("HTTP://EXAMPLE.com:80", "http://example.com/"),
    ("https://example.com:443/", "https://example.com/"),
    ("https://example.com:0443/", "https://example.com/"),
    ("http://example.com:443/", "http://example.com:443/"),
    ("http://example.com:8080", "http://example.com:8080/"),
    ("http://example.com:/", "http://example.com/"),
    ("http://example.com./a", "http://example.com/a"),
    ("http://example.com.:8080/", "http://example.com:8080/"),
    ("http://user:p%40ss@example.com/@x", "http://example.com/@x"),
    ("http://example.com?a@b", "http://example.com/?a@b"),
    ("http://example.com/#", "http://example.com/"),
    ("http://example.com/#?q", "http://example.com/"),
    ("http://example.com/?", "http://example.com/"),
    ("http://example.com/??", "http://example.com/??"),
    ("http://example.com/?b=2&a=1&b=", "http://example.com/?b=2&a=1&b="),
    ("http://example.com/index.html", "http://example.com/index.html"),
    ("http://example.com//a//", "http://example.com//a//"),
    ("http://example.com/a/./b/../c/%2e%2E/d", "http://example.com/a/d"),
    ("http://example.com/..", "http://example.com/"),
    ("http://example.com/%7euser/%41%2fb%e9", "http://example.com/~user/A%2Fb%E9"),
    ("http://example.com/?a=%7e&b=%2f%26", "http://example.com/?a=~&b=%2F%26"),
    ("http://example.com/a b?c d", "http://example.com/a%20b?c%20d"),
    ("http://example.com/é?ü=ж", "http://example.com/%C3%A9?%C3%BC=%D0%B6"),
    ("http://example.com/\U0001f600", "http://example.com/%F0%9F%98%80"),
    ("http://example.com/a\tb\nc\r", "http://example.com/abc"),
    ("ht\ntp://exa\tmple.com/", "http://example.com/"),
    (" \x00 http://example.com/ \x1f", "http://example.com/"),
    ("http:\\\\example.com\\a\\b?\\", "http://example.com/a/b?%5C"),
    ("http:/example.com", "http://example.com/"),
    ("http:example.com", "http://example.com/"),
    ("http:///example.com", "http://example.com/"),
    ("http://münchen.de", "http://xn--mnchen-3ya.de/"),
    ("http://faß.de", "http://xn--fa-hia.de/"),
    ("http://例え.jp/", "http://xn--r8jz45g.jp/"),
    ("http://ＥＸＡＭＰＬＥ。com/", "http://example.com/"),
    ("http://ex%41mple.com/", "http://example.com/"),
    ("http://a_b.example.com/", "http://a_b.example.com/"),
    ("http://0x7f.1/", "http://127.0.0.1/"),
    ("http://2130706433/", "http://127.0.0.1/"),
    ("http://127.0.0.1./", "http://127.0.0.1/"),
    ("http://[::1]:8080/", "http://[::1]:8080/"),
    ("http://[0:0:0:0:0:0:0:1]", "http://[::1]/"),
    ("http://example.com/x%zz", "http://example.com/x%zz"),
    ("http://example.com/?50%&%7e%c3", "http://example.com/?50%&%7E%C3"),
    ("http://example.com/%%34%31", "http://example.com/%%34%31"),
    (
        "http://example.com/|[]^`{}'\"<>?|[]^`{}'\"<>",
        "http://example.com/%7C%5B%5D%5E%60%7B%7D'%22%3C%3E?%7C%5B%5D%5E%60%7B%7D%27%22%3C%3E",
    ),
    ("http://example.com/\ud83d\ude00\ud800", "http://example.com/%F0%9F%98%80%EF%BF%BD"),
]

RESOLVED = [
    ("", "https://example.com/a/b?x=1"),
    ("#part", "https://example.com/a/b?x=1"),
    ("?q", "https://example.com/a/b?q"),
    ("?", "https://example.com/a/b"),
    ("c", "https://example.com/a/c"),
    ("./c", "https://example.com/a/c"),
    ("..", "https://example.com/"),
    ("../../..", "https://example.com/"),
    ("/", "https://example.com/"),
    (" /x ", "https://example.com/x"),
    ("\n\t/x\n", "https://example.com/x"),
    ("//host/x", "https://host/x"),
    ("//host.:443", "https://host/"),
    ("\\x", "https://example.com/x"),
    ("\\\\host\\x", "https://host/x"),
    ("https:relative", "https://example.com/a/relative"),
    ("https:?q", "https://example.com/a/b?q"),
    ("http:relative", "http://relative/"),
    ("HTTP://EXAMPLE.com:80", "http://example.com/"),
    ("http://[::1]:8080/", "http://[::1]:8080/"),
    (";params", "https://example.com/a/;params"),
    ("a b.html", "https://example.com/a/a%20b.html"),
    ("x%zz", "https://example.com/a/x%zz"),
    ("/x\ty\nz", "https://example.com/xyz"),
    ("ü/é?ж", "https://example.com/a/%C3%BC/%C3%A9?%D0%B6"),
    ("[bad ipv6", "https://example.com/a/%5Bbad%20ipv6"),
    ("www.example.org", "https://example.com/a/www.example.org"),
    ("1:2", "https://example.com/a/1:2"),
    ("/\ud800", "https://example.com/%EF%BF%BD"),
]

REFUSED = [
    ("", "malformed", "no scheme"),
    ("example.com/a", "malformed", "no scheme"),
    ("//example.com/", "malformed", "no scheme"),
    ("http://", "malformed", "no host"),
    ("http://#a", "malformed", "no host"),
    ("http://user@/", "malformed", "no host"),
    ("http://example.com:x/", "malformed", "bad port 'x'"),
    ("http://example.com:65536/", "malformed", "bad port '65536'"),
    ("http://example.com:0/", "malformed", "bad port '0'"),
    ("http://example.com:٣/", "malformed", "bad port"),
    ("http://[::1/", "malformed", "bad host"),
    ("http://exa mple.com/", "malformed", "bad host"),
    ("http://a..b/", "malformed", "bad host"),
    ("http://a.com../", "malformed", "bad host"),
    ("http://.a.com/", "malformed", "bad host"),
    ("http://./", "malformed", "bad host"),
    ("http://{{host}}/", "malformed", "bad host"),
    ("http://%00.com/", "malformed", "bad host"),
    ("http://256.256.256.256/", "malformed", "bad host"),
    (f"http://{'a' * 64}.com/", "malformed", "bad host"),
    (f"http://{'a.' * 127}com/", "malformed", "bad host"),
    ("ftp://example.com/", "scheme", "ftp:"),
    ("javascript:void(0)", "scheme", "javascript:"),
    ("data:text/html,x", "scheme", "data:"),
    ("mailto:a@example.com", "scheme", "mailto:"),
    ("tel:+123", "scheme", "tel:"),
    ("file:///etc/passwd", "scheme", "file:"),
    (f"data:{'x' * 100_000}", "scheme", "data:"),
    (f"http://example.com/{'x' * 100_000}", "too_long", "2,048"),
]

url_text = st.text(
    alphabet=st.one_of(st.sampled_from("/\\?#%@:.[]&=|{}^ \t\n'\"aA0é2eE"), st.characters()),
    max_size=40,
)
near_urls = st.builds(
    lambda scheme, host, rest: scheme + host + rest,
    st.sampled_from(["http://", "https://", "HTTPS:\\\\", "http:", "//", "", "data:", " "]),
    st.one_of(st.sampled_from(["example.com", "ex.com.:80", "[::1]", "u:p@h", "ü.de"]), url_text),
    url_text.map(lambda text: f"/{text}"),
)


@pytest.mark.parametrize(("url", "canonical"), CANONICAL)
def test_url_has_its_canonical_form(url: str, canonical: str) -> None:
    assert canonical_url(url) == canonical
    assert canonical_url(canonical) == canonical


@pytest.mark.parametrize(("href", "target"), RESOLVED)
def test_href_resolves_as_in_a_browser(href: str, target: str) -> None:
    assert resolve(BASE, href) == target


@pytest.mark.parametrize(("url", "reason", "problem"), REFUSED)
def test_what_cannot_be_a_page_is_refused_with_the_reason(
    url: str, reason: str, problem: str
) -> None:
    with pytest.raises(InvalidUrlError) as refusal:
        canonical_url(url)
    assert refusal.value.reason == reason
    assert problem in refusal.value.problem
    assert len(str(refusal.value)) < 600


@pytest.mark.parametrize(
    ("href", "reason"),
    [
        ("//[bad", "malformed"),
        ("http://", "malformed"),
        ("//h:x/", "malformed"),
        ("//a..b/", "malformed"),
        ("javascript:", "scheme"),
        ("mailto:", "scheme"),
        ("data:", "scheme"),
        ("tel:", "scheme"),
        (" JavaScript:alert(1)", "scheme"),
        ("x" * 2_048, "too_long"),
    ],
)
def test_href_that_leads_to_no_page_is_refused_with_the_reason(href: str, reason: str) -> None:
    with pytest.raises(InvalidUrlError) as refusal:
        resolve(BASE, href)
    assert refusal.value.reason == reason


def test_bad_base_is_named_as_the_culprit() -> None:
    with pytest.raises(InvalidUrlError, match="'http://\\[bad'"):
        resolve("http://[bad", "a")


def test_length_limit_counts_the_canonical_form() -> None:
    longest = "http://example.com/".ljust(MAX_URL_CHARS, "a")
    assert canonical_url(longest) == longest
    assert canonical_url(f"{longest}#{'f' * 5_000}") == longest
    with pytest.raises(InvalidUrlError):
        canonical_url(f"{longest}a")
    with pytest.raises(InvalidUrlError):
        canonical_url("http://example.com/" + "é" * 400)


@pytest.mark.parametrize(
    ("encoding", "query"),
    [
        ("utf-8", "q=%C3%A9%D0%B6&e"),
        ("UTF-16LE", "q=%C3%A9%D0%B6&e"),
        ("no such encoding", "q=%C3%A9%D0%B6&e"),
        ("rot13", "q=%C3%A9%D0%B6&e"),
        ("\x00", "q=%C3%A9%D0%B6&e"),
        ("iso-8859-1", "q=%E9%26%231078%3B&e"),
        ("windows-1251", "q=%26%23233%3B%E6&e"),
        ("koi8-r", "q=%26%23233%3B%D6&e"),
    ],
)
def test_query_is_encoded_as_the_page_is_and_the_path_is_not(encoding: str, query: str) -> None:
    assert resolve(BASE, "/ж?q=éж&e#ж", encoding) == f"https://example.com/%D0%B6?{query}"
    given_whole = canonical_url("https://example.com/ж?q=éж&e", encoding)
    assert given_whole == f"https://example.com/%D0%B6?{query}"


def test_query_in_shift_jis_keeps_its_bytes() -> None:
    assert resolve(BASE, "/?q=表", "shift_jis") == "https://example.com/?q=%95%5C"


@given(url=near_urls)
@settings(deadline=None)
def test_canonical_form_is_idempotent_ascii_and_bounded(url: str) -> None:
    try:
        canonical = canonical_url(url)
    except InvalidUrlError:
        return
    assert canonical_url(canonical) == canonical
    assert resolve(canonical, "") == canonical
    assert canonical.isascii()
    assert len(canonical) <= MAX_URL_CHARS
    assert "#" not in canonical


@given(url=near_urls)
@settings(deadline=None)
def test_scrapy_sends_the_canonical_form_as_it_is(url: str) -> None:
    try:
        canonical = canonical_url(url)
    except InvalidUrlError:
        return
    assert safe_url_string(canonical) == canonical


@given(base=near_urls, href=st.one_of(url_text, near_urls), encoding=st.text(max_size=8))
@settings(deadline=None)
def test_resolve_raises_nothing_but_invalid_url(base: str, href: str, encoding: str) -> None:
    with suppress(InvalidUrlError):
        resolve(base, href, encoding)


@given(href=st.one_of(url_text, near_urls))
@settings(deadline=None)
def test_resolving_equals_joining_by_the_standard_first(href: str) -> None:
    href = href.encode("utf-8", "ignore").decode()
    try:
        joined: str | None = canonical_url(join_url(BASE, href))
    except ValueError:
        joined = None
    try:
        resolved: str | None = resolve(BASE, href)
    except InvalidUrlError:
        resolved = None
    assert resolved == joined


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://example.com/", "example.com"),
        ("https://example.com/a/b?c=http://x/", "example.com"),
        ("https://www.example.com:8443/", "www.example.com:8443"),
        ("http://example.com:443/", "example.com:443"),
        ("http://[::1]:8080/", "[::1]:8080"),
    ],
)
def test_host_key_is_host_and_unusual_port(url: str, key: str) -> None:
    assert host_key(url) == key


@pytest.mark.parametrize(
    "text", ["", "example.com", "mailto:a", "ftp://x/", "http:///", "http:/a/b/c"]
)
def test_host_key_refuses_what_has_no_host(text: str) -> None:
    with pytest.raises(InvalidUrlError):
        host_key(text)
