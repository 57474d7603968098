"""Whatever is pushed raw: refused with a reason and listed, while good pushes beside it run."""

from __future__ import annotations

import json
import os

import pytest

from tests.chaos.fleet import fleet
from tests.chaos.queue_reader import QueueReader
from tests.integration.conftest import QueuePlace
from tests.support.processes import run, wait_until
from tests.support.site import html, serve

PAGE = "http://127.0.0.1:9/"


def job(**fields: object) -> bytes:
    return json.dumps({"type": "single-page", "url": PAGE, **fields}).encode()


# A bad push -> words that its reason must have.
BAD: dict[str, tuple[bytes, str]] = {
    "no JSON": (b'{"type": "single-page", "url":', "JSON"),
    "a JSON list": (b'["http://127.0.0.1:9/"]', ""),
    "a JSON number": (b"42", ""),
    "empty": (b"", ""),
    "blank": (b"  \n", ""),
    "unknown type": (job(type="full-crowl"), "full-crawl"),
    "unknown field": (job(maxPagse=5), "maxPages"),
    "relative URL": (job(url="/docs/"), "url"),
    "relative URL alone": (b"docs/index.html", ""),
    "ftp": (job(url="ftp://127.0.0.1/"), "http"),
    "ftp alone": (b"ftp://127.0.0.1/", "http"),
    "file": (job(url="file:///etc/passwd"), "http"),
    "javascript": (b"javascript:alert(1)", ""),
    "no host": (job(url="http:///x"), "url"),
    "bad port": (job(url="http://127.0.0.1:99999/"), "url"),
    "broken host": (job(url="http://[::1"), "url"),
    "1 MB of metadata": (job(metadata={"x": "y" * 1_000_000}), "too large"),
    "70 KB of metadata": (job(metadata={"x": "y" * 70_000}), "metadata"),
    "metadata is no object": (job(metadata=[1]), "metadata"),
    "negative maxPages": (job(type="full-crawl", maxPages=-5), "maxPages"),
    "maxPages is text": (job(type="full-crawl", maxPages="many"), "maxPages"),
    "maxPages is NaN": (b'{"type":"full-crawl","url":"http://127.0.0.1:9/","maxPages":NaN}', ""),
    "maxPages is huge": (job(type="full-crawl", maxPages=10**30), "maxPages"),
    "bad regex": (job(type="full-crawl", includePaths=["re:(unclosed"]), "includePaths"),
    "regex beyond RE2": (job(type="full-crawl", excludePaths=["re:(a)\\1"]), "excludePaths"),
    "preset without its flag": (job(newConfigPreset="polite"), "useNewConfig"),
    "unknown preset": (job(useNewConfig=True, newConfigPreset="polit"), "polite"),
    "job id with a space": (job(jobId="a b"), "jobId"),
    "job id with a colon": (job(jobId="a:b"), "jobId"),
    "customer with a bar": (job(customerId="a|b"), "customerId"),
    "null URL": (job(url=None), "url"),
    "no URL": (b'{"type":"single-page"}', "url"),
    "deep JSON": (b'{"url":' + b"[" * 60_000 + b"]" * 60_000 + b"}", ""),
    "deep metadata": (b'{"type":"single-page","url":"http://127.0.0.1:9/","metadata":'
                      + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}", ""),
    "binary rubbish": (bytes(range(256)) * 40, ""),
    "random bytes": (os.urandom(5_000), ""),
    "UTF-16": ("http://127.0.0.1:9/".encode("utf-16"), ""),
    "lone surrogate": (b'{"type":"single-page","url":"http://127.0.0.1:9/\\ud800"}', ""),
    "NUL in the URL": (b"http://127.0.0.1:9/\x00x", ""),
}  # fmt: skip


@pytest.mark.timeout(90)
def test_bad_pushes_are_listed_with_their_reason_and_good_ones_run(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve(default=lambda path: html(title="fine")) as site, fleet(place.env()) as running:
        for number, (payload, _) in enumerate(BAD.values()):
            queue.push(payload, f"{site.url}/{number}")
        wait_until(lambda: len(queue.jobs("completed")) == len(BAD), 60, "the good ones complete")
        wait_until(lambda: queue.rejected() == len(BAD), 60, "the bad ones are listed")
        assert running.is_alive
        assert max(site.hits.values()) == 1
        assert queue.redis.llen(place.name) == 0
        assert queue.redis.hlen(f"{queue.prefix}claimed") == 0
        listed = run("supervisor", "rejected", "--json", "--limit", "1000", env=place.env())
    assert listed.returncode == 0, listed.stderr
    rejected = json.loads(listed.stdout)
    assert len(rejected) == len(BAD)
    # Newest first.
    for (name, (payload, words)), entry in zip(BAD.items(), reversed(rejected), strict=True):
        assert entry["bytes"] == len(payload), name
        assert words in entry["reason"], f"{name}: {entry['reason']}"
        assert 5 < len(entry["reason"]) < 1000, f"{name}: {entry['reason']}"
        assert "Traceback" not in entry["reason"]
        assert entry["door"] == place.name
        print(f"{name}: {entry['reason'][:160]}")


@pytest.mark.timeout(60)
def test_the_doors_of_scrapy_redis_refuse_and_accept_alike(
    place: QueuePlace, queue: QueueReader
) -> None:
    with serve(default=lambda path: html(title="fine")) as site, fleet(place.env()):
        queue.redis.lpush("full-crawl:start_urls", "ftp://127.0.0.1/", f"{site.url}/")
        wait_until(lambda: len(queue.jobs("completed")) == 1, 60, "the good one completes")
        wait_until(lambda: queue.rejected() == 1, 60, "the bad one is listed")
        [job_id] = queue.jobs("completed")
        assert queue.fields(job_id, "type") == ["full-crawl"]
        assert queue.redis.hlen("{full-crawl:start_urls}:claimed") == 0
