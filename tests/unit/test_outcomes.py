"""What a fetch tells of its host: how much more time it should be given."""

from __future__ import annotations

import pytest

from scraper.job_run import JobRun
from scraper.jobs import parse_job
from scraper.jobs.config import Config
from scraper.jobs.leases import LeasedJob, LeasedPage
from scraper.lineage import PageWork
from scraper.outcomes import PageOutcomes

SPEC = parse_job(
    {"type": "full-crawl", "url": "http://a.test/"}, job_types=("full-crawl",)
).to_json()


class Answers:
    """What one worker makes of the answers that it gets."""

    def __init__(self) -> None:
        self._outcomes = PageOutcomes(Config(host_slow_after_ms=1000, host_delay_max_ms=10_000))

    def strain_ms(
        self, code: str = "", status: int = 0, *,
        attempt: int = 1, latency_ms: int = 20, known_ms: int = 0, host: str = "a.test",
    ) -> int:  # fmt: skip
        """Of a page that failed with `code`, or was recorded."""
        url = f"http://{host}/1"
        lease = LeasedPage("t", "j", url, 1, attempt, "", 0, False, "", host_strain_ms=known_ms)
        work = PageWork(lease, JobRun(LeasedJob("j", SPEC, "", 1, "acme")))
        work.status, work.latency_ms = status, latency_ms
        if code:
            work.fail(code, "")
        return self._outcomes.commit_of(work).host_strain_ms


@pytest.fixture
def answers() -> Answers:
    return Answers()


FAILURES = pytest.mark.parametrize(
    ("code", "status"), [("http_500", 500), ("reset", 0), ("timeout", 0)]
)


@FAILURES
def test_pages_that_fail_in_a_row_double_their_hosts_delay(
    answers: Answers, code: str, status: int
) -> None:
    assert answers.strain_ms(code, status) == 0
    assert answers.strain_ms(code, status) == 1000
    assert answers.strain_ms(code, status, known_ms=1000) == 2000
    assert answers.strain_ms(code, status, known_ms=8000) == 10_000


@FAILURES
def test_a_broken_page_between_good_ones_does_not_raise_its_hosts_delay(
    answers: Answers, code: str, status: int
) -> None:
    for good in ("", "http_404") * 5:
        assert answers.strain_ms(code, status) == 0
        assert answers.strain_ms(code, status, host="b.test") in (0, 1000)
        assert answers.strain_ms(good, 404 if good else 200) == 0


@FAILURES
def test_a_page_that_fails_again_does_not_raise_its_hosts_delay(
    answers: Answers, code: str, status: int
) -> None:
    assert answers.strain_ms(code, status) == 0
    assert answers.strain_ms(code, status, attempt=2, known_ms=2000) == 0
    assert answers.strain_ms(code, status, attempt=3) == 0


def test_slow_answers_raise_the_delay_and_good_ones_lower_it(answers: Answers) -> None:
    assert answers.strain_ms(status=200, latency_ms=4000) == 2000
    assert answers.strain_ms(status=200, latency_ms=4000, attempt=2) == 2000
    assert answers.strain_ms(status=200, known_ms=2000) == -1
    assert answers.strain_ms(status=200) == 0
    assert answers.strain_ms("http_404", 404, known_ms=2000) == 0
