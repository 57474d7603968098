"""Path rules: globs and RE2 expressions, exclude over include, errors that help."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.scope import InvalidPatternError, PathRules, ScopeError, Verdict, canonical_url

SITE = "https://example.com"

MATCHING = [
    ("/", ["/", "/?q"], ["/a", "//"]),
    ("/blog", ["/blog", "/blog?page=2"], ["/blog/", "/blogs", "/a/blog"]),
    ("/blog/", ["/blog/"], ["/blog", "/blog/a"]),
    ("/blog/*", ["/blog/a", "/blog/"], ["/blog", "/blog/a/b", "/x?/blog/a"]),
    ("/blog/**", ["/blog", "/blog/", "/blog/a", "/blog/a/b", "/blog?x"], ["/blogs", "/a/blog/b"]),
    ("/blog**", ["/blog", "/blogs/a/b"], ["/a/blog"]),
    ("/**", ["/", "/a", "/a/b?c"], []),
    ("**", ["/", "/a/b"], []),
    ("/a/**/b", ["/a/b", "/a/x/b", "/a/x/y/b"], ["/ab", "/a/xb", "/a/z?q=/b"]),
    ("/*/b", ["/a/b", "//b"], ["/b", "/a/x/b"]),
    ("blog", ["/blog", "/a/blog"], ["/blog/", "/ablog", "/x?/blog"]),
    ("blog/**", ["/blog", "/a/blog/b/c"], ["/ablog/b"]),
    ("**/blog", ["/blog", "/a/b/blog"], ["/ablog"]),
    ("*.pdf", ["/a.pdf", "/a/b.pdf?v=1", "/.pdf"], ["/a.pdf/b", "/a.pdfx", "/a?b.pdf"]),
    ("/p?", ["/p1", "/pé", "/p表", "/p😀", "/p%20", "/p&"], ["/p", "/p/", "/p12", "/p?1"]),
    ("/a.c", ["/a.c"], ["/abc"]),
    ("/a+(b)[c]$", ["/a+(b)[c]$"], ["/aab"]),
    ("/über uns/*", ["/über uns/a", "/%C3%BCber%20uns/"], ["/uber"]),
    ("/%7euser/{id}", ["/~user/{id}", "/~user/%7Bid%7D"], []),
    ("/A", ["/A"], ["/a"]),
    (" /a ", ["/a"], ["/ /a"]),
    (r"re:^/p/\d+$", ["/p/1"], ["/p/1?x", "/p/a", "/a/p/1"]),
    (r"re:page=\d", ["/?page=2", "/a?x&page=3"], ["/page"]),
    (r"re:(?i)/BLOG", ["/blog", "/a/Blog/x"], ["/log"]),
    (r"re:a|b", ["/a", "/b"], ["/c"]),
    (r"re:^/(?:[a-z]{2})/%C3%A9", ["/fr/é"], ["/fr/e"]),
]

BAD = [
    ("", "cannot be empty"),
    ("  ", "cannot be empty"),
    ("re:", "nothing follows"),
    ("https://example.com/blog", "begins after the host"),
    ("//example.com/blog", "begins after the host"),
    ("/a\\*", "backslash"),
    ("re:(a", "missing )"),
    ("re:a)|(b", "unexpected )"),
    ("re:\\Qabc", "missing )"),
    ("re:(?=a)b", "no look-around"),
    (r"re:(a)\1", "invalid escape"),
    ("re:a{1001}", "repetition"),
    ("re:/é", "%C3%A9"),
]


def rules_allow(rules: PathRules, path: str) -> bool:
    return rules.refuse(canonical_url(SITE + path)) is None


@pytest.mark.parametrize(("pattern", "matching", "other"), MATCHING)
def test_pattern_matches_these_paths_and_no_others(
    pattern: str, matching: list[str], other: list[str]
) -> None:
    rules = PathRules([pattern], [])
    assert [path for path in matching if not rules_allow(rules, path)] == []
    assert [path for path in other if rules_allow(rules, path)] == []


@pytest.mark.parametrize(("pattern", "problem"), BAD)
@pytest.mark.parametrize("field", ["includePaths", "excludePaths"])
def test_bad_pattern_is_refused_with_field_pattern_and_reason(
    field: str, pattern: str, problem: str
) -> None:
    patterns = ["/good", pattern]
    with pytest.raises(InvalidPatternError) as refusal:
        PathRules(patterns, []) if field == "includePaths" else PathRules([], patterns)
    assert str(refusal.value).startswith(f"{field}: {pattern!r}: ")
    assert problem in str(refusal.value)
    assert isinstance(refusal.value, ScopeError)


def test_exclude_wins_over_include() -> None:
    rules = PathRules(["/blog/**"], ["*.pdf"])
    assert rules.refuse(f"{SITE}/blog/a") is None
    assert rules.refuse(f"{SITE}/blog/a.pdf") == "excluded"
    assert rules.refuse(f"{SITE}/a.pdf") == "excluded"
    assert rules.refuse(f"{SITE}/a") == "not_included"


def test_without_rules_everything_is_let_in() -> None:
    assert PathRules().refuse(f"{SITE}/a") is None
    assert PathRules().reason(f"{SITE}/a") is None


def test_deciding_rule_is_named_as_the_user_wrote_it() -> None:
    rules = PathRules(["/blog/**", "re:^/shop"], ["/x", " *.pdf"])
    assert rules.reason(f"{SITE}/shop/1") == Verdict("included", "re:^/shop")
    assert rules.reason(f"{SITE}/blog/a.pdf") == Verdict("excluded", " *.pdf")
    assert rules.reason(f"{SITE}/a") == Verdict("not_included", None)
    assert PathRules((), ["/x"]).reason(f"{SITE}/a") is None


def test_rules_with_alternatives_flags_and_equal_group_names_do_not_touch_each_other() -> None:
    rules = PathRules(["re:(?i)^/(?P<n>a)$", "re:^/(?P<n>b)$|^/c$", "/d"], [])
    allowed = [
        path
        for path in ("/A", "/a", "/b", "/B", "/c", "/C", "/d", "/D", "/e")
        if rules_allow(rules, path)
    ]
    assert allowed == ["/A", "/a", "/b", "/c", "/d"]


def test_catastrophic_expression_stays_linear() -> None:
    rules = PathRules([], ["re:(a+)+$"])
    assert rules.refuse(f"{SITE}/{'a' * 2_000}!") is None


def test_hundreds_of_rules_are_accepted_and_told_apart() -> None:
    rules = PathRules([f"/section-{number}/**" for number in range(300)], [])
    assert rules.reason(f"{SITE}/section-299/a") == Verdict("included", "/section-299/**")
    assert rules.refuse(f"{SITE}/section-300/a") == "not_included"


@given(
    st.lists(st.text(max_size=12), max_size=4),
    st.lists(st.text(max_size=12).map(lambda text: f"re:{text}"), max_size=4),
    st.text(max_size=20),
)
@settings(deadline=None)
def test_rules_either_decide_or_are_refused_and_both_ways_agree(
    include: list[str], exclude: list[str], path: str
) -> None:
    try:
        rules = PathRules(include, exclude)
    except InvalidPatternError:
        return
    url = canonical_url(f"{SITE}/{path}")
    verdict = rules.reason(url)
    told = verdict.outcome if verdict and verdict.outcome != "included" else None
    assert rules.refuse(url) == told
