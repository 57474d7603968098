"""`preview` shows what a job would take of a real site, and makes none."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from tests.integration.conftest import QueuePlace
from tests.support.http_api import http_server
from tests.support.processes import run
from tests.support.site import Answer, Site, html, serve


def site_pages(base: str) -> dict[str, Answer]:
    robots = f"User-agent: *\nDisallow: /secret\nSitemap: {base}/map.txt\n"
    start = html("/a", "/blog/1", "/secret/x", "https://other.test/", "/p?utm_source=x", "mailto:x")
    start.body += b"<a rel=nofollow href=/quiet>x</a>"
    return {
        "/": Answer(status=301, headers={"Location": "/home"}),
        "/home": start,
        "/robots.txt": Answer(robots.encode(), content_type="text/plain"),
        "/map.txt": Answer(f"{base}/listed\n{base}/blog/2\n".encode(), content_type="text/plain"),
    }


def preview(place: QueuePlace, url: str, *options: str) -> dict[str, Any]:
    done = run("supervisor", "preview", url, "--json", *options, env=place.env())
    assert done.stdout, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if shown["problem"] else 0)
    return shown


def verdicts(site: Site, found: dict[str, Any]) -> dict[str, str | None]:
    return {item["url"].removeprefix(site.url): item["reason"] for item in found["urls"]}


def test_links_and_sitemaps_are_shown_with_the_reasons(place: QueuePlace) -> None:
    with serve(default=lambda _: html()) as site:
        site.pages.update(site_pages(site.url))
        shown = preview(place, f"{site.url}/", "--exclude", "/blog/**", "--allowed-host", "b.test")
        hits = dict(site.hits)
    assert shown["finalUrl"] == f"{site.url}/home"
    assert verdicts(site, shown["links"]) == {
        "/a": None, "/p": None, "/blog/1": "excluded", "/secret/x": "robots",
        "https://other.test/": "off_scope", "/quiet": "nofollow",
    }  # fmt: skip
    assert shown["links"]["leftOut"] == {
        "excluded": 1, "nofollow": 1, "off_scope": 1, "robots": 1, "scheme": 1
    }  # fmt: skip
    assert verdicts(site, shown["sitemaps"]) == {"/listed": None, "/blog/2": "excluded"}
    assert not shown["sitemaps"]["isUsed"]
    why = {item["url"]: item["why"] for item in shown["links"]["urls"]}
    assert "'/blog/**'" in why[f"{site.url}/blog/1"]
    assert "Disallow: /secret" in why[f"{site.url}/secret/x"]
    assert set(hits) == {"/", "/home", "/robots.txt", "/sitemap.xml", "/map.txt"}
    with redis.Redis.from_url(place.url) as client:
        assert client.keys(f"*{place.name}*") == [], "no job, no key at all"


def test_for_people_it_is_a_list(place: QueuePlace) -> None:
    with serve(default=lambda _: html()) as site:
        site.pages.update(site_pages(site.url))
        done = run("supervisor", "preview", f"{site.url}/", "--sitemaps", "only", env=place.env())
    assert f"+ {site.url}/a" in done.stdout
    assert "- https://other.test/" in done.stdout
    assert "links of the start page: 3 taken" in done.stdout
    assert "(this job does not use them)" in done.stdout
    assert f"sitemap {site.url}/map.txt: 2 entries" in done.stdout


@pytest.mark.parametrize(
    ("path", "problem"), [("/gone", "404"), ("/loop", "redirects"), ("/secret/x", "robots.txt")]
)
def test_a_start_page_that_cannot_be_had_says_why(
    path: str, problem: str, place: QueuePlace
) -> None:
    with serve() as site:
        site.pages.update(site_pages(site.url))
        site.pages["/loop"] = Answer(status=302, headers={"Location": "/loop"})
        assert problem in preview(place, site.url + path)["problem"]


def test_private_addresses_are_guarded_here_too(place: QueuePlace) -> None:
    with serve(default=lambda _: html()) as site:
        env = place.env(ALLOW_PRIVATE_HOSTS="")
        done = run("supervisor", "preview", f"{site.url}/", "--json", env=env)
        assert "not a public address" in json.loads(done.stdout)["problem"]
        assert site.hits.total() == 0


def test_it_is_had_over_http_too(place: QueuePlace) -> None:
    with (
        serve(default=lambda _: html()) as site,
        http_server(place.url, place.name, ALLOW_PRIVATE_HOSTS="127.0.0.0/8") as api,
    ):
        site.pages.update(site_pages(site.url))
        job = {"type": "full-crawl", "url": f"{site.url}/", "sitemaps": "include"}
        answer = api.post("/preview", job)
        assert answer.status == 200, answer.body
        shown = answer.json
        server = f"http://127.0.0.1:{api.port}"
        done = run("supervisor", "preview", f"{site.url}/", "--json", "--sitemaps", "include",
                   "--server", server, env=place.env())  # fmt: skip
        assert json.loads(done.stdout) == shown
        assert (shown["links"]["taken"], shown["sitemaps"]["taken"]) == (3, 2)
        assert shown["sitemaps"]["isUsed"]
        assert api.post("/preview", [job, job]).code == "wrong_count"
        assert api.post("/preview", {"url": "x"}).status == 422
        assert api.get("/jobs").json["jobs"] == []


def test_a_wrong_job_is_refused(place: QueuePlace) -> None:
    done = run("supervisor", "preview", "ftp://x.test/", env=place.env())
    assert done.returncode == 2
    assert "only http and https" in done.stderr
