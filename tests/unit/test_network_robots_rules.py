"""What robots.txt files say to this crawler, and which line decides."""

from __future__ import annotations

import time

import pytest

from scraper.network.robots_rules import RobotsRules, product_token

OURS = "ScraperWorkers"


@pytest.mark.parametrize(
    ("user_agent", "token"),
    [
        ("ScraperWorkers/0.1 (+https://example.com/bot)", "ScraperWorkers"),
        ("Mozilla/5.0 (compatible; MyBot/2.0; +https://example.com/)", "MyBot"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla"),
        ("my-bot", "my-bot"),
        ("/5", "*"),
    ],
)
def test_product_token_is_the_name_that_files_call_a_crawler_by(
    user_agent: str, token: str
) -> None:
    assert product_token(user_agent) == token


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("User-agent: *\nDisallow: /private/", "/private/a", "Disallow: /private/"),
        ("User-agent: *\nDisallow: /private/", "/public", ""),
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", ""),
        ("User-agent: *\nDisallow: /a\nDisallow: /a/b", "/a/b/c", "Disallow: /a/b"),
        ("User-agent: *\nDisallow: /*?x=", "/list?x=1", "Disallow: /*?x="),
        ("User-agent: *\nDisallow: /*.pdf$", "/a.pdf", "Disallow: /*.pdf$"),
        ("User-agent: *\nDisallow: /*.pdf$", "/a.pdf?x", ""),
        ("User-agent: other\nDisallow: /", "/a", ""),
        ("User-agent: other\nDisallow: /\nUser-agent: *\nDisallow: /b", "/b", "Disallow: /b"),
        ("User-agent: *\nAllow: /\nUser-agent: scraperworkers\nDisallow: /", "/a", "Disallow: /"),
        ("User-agent: *\nDisallow: /", "/robots.txt", ""),
        ("User-agent: *\nDisallow:", "/a", ""),
        ("<html><body>no such page</body></html>", "/a", ""),
        ("", "/a", ""),
    ],
)
def test_the_decisive_line_is_named(text: str, path: str, line: str) -> None:
    rules = RobotsRules(text, OURS)
    url = f"https://site.test{path}"
    assert rules.allows(url) is (line == "")
    assert rules.forbidding_line(url) == line


@pytest.mark.parametrize(
    ("text", "delay_s"),
    [
        ("User-agent: *\nCrawl-delay: 2.5", 2.5),
        ("User-agent: other\nCrawl-delay: 9", 0.0),
        ("User-agent: *\nCrawl-delay: soon", 0.0),
        ("User-agent: *\nDisallow: /", 0.0),
    ],
)
def test_crawl_delay_of_our_group_counts(text: str, delay_s: float) -> None:
    assert RobotsRules(text, OURS).crawl_delay_s == delay_s


def test_hostile_patterns_are_judged_at_once() -> None:
    rules = RobotsRules("User-agent: *\nDisallow: /" + "*a" * 200 + "b$", OURS)
    began_s = time.process_time()
    assert rules.allows("https://site.test/" + "a" * 2000)
    assert time.process_time() - began_s < 0.5


def test_other_lines_end_no_list_of_agents() -> None:
    text = (
        "User-agent: *\nCrawl-delay: 2\n# for all\nUser-agent: Other\nDisallow: /search/\n\n"
        "User-agent: Third\nDisallow: /\n"
    )
    rules = RobotsRules(text, OURS)
    assert not rules.allows("https://site.test/search/more")
    assert rules.allows("https://site.test/about")
    assert rules.crawl_delay_s == 2


def test_a_delay_counts_for_the_agents_before_it_only() -> None:
    text = "User-agent: Other\nCrawl-delay: 9\nUser-agent: *\nDisallow: /private\n"
    rules = RobotsRules(text, OURS)
    assert not rules.allows("https://site.test/private/a")
    assert rules.crawl_delay_s == 0
