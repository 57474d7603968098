"""Traps: what is refused by its form, what is counted by its shape, and what is left in peace."""

from __future__ import annotations

import pytest

from scraper.scope import Scope, suspect
from scraper.scope.traps import MAX_PARAMETERS, MAX_SEGMENTS, refuse_endless

HOST = "https://a.test"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs/15/sql-createtable.html",
        "/docs/15/functions-aggregate.html",
        "/en/mod/mod_rewrite.html",
        "/2024/05/12/what-happened-today.html",
        "/blog/2024-05-12-what-happened",
        "/item/123456789",
        "/a/b/c/d/e/f/g/h/i/j",
        "/docs/v1/docs/index.html",
        "/~user/a;b/c",
    ],
)
def test_ordinary_paths_have_no_shape(path: str) -> None:
    assert suspect(HOST + path) is None
    assert refuse_endless(HOST + path) is None


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("/calendar/2024/05/", "/calendar/1931/11/", "trap_calendar"),
        ("/calendar/2024-05-12", "/calendar/2093-1-2", "trap_calendar"),
        ("/events?year=2024&month=5", "/events?month=11&year=2093", "trap_calendar"),
        ("/events?from=2024-05-12", "/events?from=2093-01-01", "trap_calendar"),
        ("/list?color=red&size=4&sort=up", "/list?brand=x&page=2&q=5&sort=no", "trap_query"),
        ("/list?page=1", "/list?page=99", "trap_query"),
        ("/list?cat=5&page=1", "/list?cat=5&page=99", "trap_query"),
        ("/view.php?t=1", "/view.php?t=77", "trap_query"),
        ("/p?sid=1f2e3d4c5b", "/p?sid=9a8b7c6d5e", "trap_session"),
        ("/p?id=7&session=1f2e3d4c5b", "/p?id=7&session=9a8b7c6d5e", "trap_session"),
        ("/x/a/b/a/b/a", "/x/b/c/b/b", "trap_path"),
        ("/x/" + "/".join("abcdefghijklm"), "/x/" + "/".join("ABCDEFGHIJKLMN"), "trap_path"),
    ],
)
def test_pages_of_one_trap_share_a_shape(one: str, other: str, reason: str) -> None:
    first, second = suspect(HOST + one), suspect(HOST + other)
    assert first is not None
    assert first == second
    assert first.reason == reason
    assert " " not in first.shape


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/calendar/2024/05/", "/archive/2024/05/"),
        ("/list?cat=5&page=1", "/list?cat=6&page=1"),
        ("/p?id=7&sid=1f2e3d4c5b", "/p?id=8&sid=9a8b7c6d5e"),
        ("/view.php?t=1", "/view.php?u=1"),
        ("/shoes?a=1&b=2&c=3", "/hats?a=1&b=2&c=3"),
    ],
)
def test_different_pages_have_different_shapes(one: str, other: str) -> None:
    assert suspect(HOST + one) != suspect(HOST + other)


def test_ids_of_things_are_no_session_ids() -> None:
    for query in ("?id=3f2504e0-4f89-11d3", "?sid=123456789", "?page_token=1f2e3d4c5b6a"):
        found = suspect(f"{HOST}/p{query}")
        assert found is not None
        assert found.reason == "trap_query"


def test_limits_follow_the_job_and_sessions_have_their_own() -> None:
    def limit(path: str) -> int:
        found = suspect(HOST + path)
        assert found is not None
        return found.limit(100)

    assert limit("/calendar/2024/05/") == 100
    assert limit("/view.php?t=1") == 1_000
    assert limit("/p?sid=1f2e3d4c5b") == 3


def test_absurd_urls_are_refused_at_once() -> None:
    scope = Scope.for_job(f"{HOST}/")
    cases = {
        "/a" * 6: "trap_path",
        "/a/b" * 6: "trap_path",
        "/" + "/".join(map(str, range(MAX_SEGMENTS + 1))): "trap_path",
        "/?" + "&".join(f"p{n}=1" for n in range(MAX_PARAMETERS + 1)): "trap_query",
        "/a" * 5: None,
        "/" + "/".join(map(str, range(MAX_SEGMENTS))): None,
        "/?" + "&".join(f"p{n}=1" for n in range(MAX_PARAMETERS)): None,
    }
    assert {path: scope.decide(HOST + path, 1) for path in cases} == cases
    assert "repeats" in scope.explain(HOST + "/a" * 6, 1)


def test_a_long_shape_is_cut_and_still_its_own() -> None:
    long = f"{HOST}/{'x' * 500}"
    first, second = suspect(f"{long}1?a=1"), suspect(f"{long}y?a=1")
    assert first is not None
    assert len(first.shape) <= 120
    assert first != second
