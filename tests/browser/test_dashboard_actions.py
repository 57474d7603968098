"""The dashboard's actions in a real browser: each button does what it says, or asks first."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Service, running_service
from tests.support.processes import wait_until
from tests.support.tokens import new_token

pytestmark = pytest.mark.timeout(180)


def test_a_job_from_the_form_is_accepted_and_a_wrong_one_explained(
    page: Page, service: Service
) -> None:
    page.goto(f"{service.url}/#/jobs")
    page.get_by_role("button", name="New job").click()
    page.get_by_role("button", name="Never mind").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="New job").click()
    page.get_by_label("URL").fill(f"{service.site.url}/1")
    more = page.get_by_label("More fields, as JSON")
    more.fill('{"jobId": "from-form", "priorty": 3}')
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("dialog").get_by_text("priorty").first).to_be_visible()
    more.fill('{"jobId": ')
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("alert")).to_contain_text("is no JSON")
    more.fill('{"jobId": "from-form", "priority": 3}')
    page.get_by_label("Type").last.select_option("full-crawl")
    page.get_by_label("At most so many pages").fill("2")
    page.get_by_label("Preset").select_option("polite")
    page.get_by_label("Turbo").check()
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="from-form")).to_be_visible()
    made = service.api.get("/jobs/from-form").json
    assert (made["priority"], made["maxPages"], made["type"]) == (3, 2, "full-crawl")


def test_a_cancel_is_asked_for_first(page: Page, service: Service) -> None:
    job = service.submit("to-cancel", delay=600_000)
    page.goto(f"{service.url}/#/jobs/{job}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Leave it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert service.state_of(job) == "delayed"
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(page.get_by_role("heading", name="cancelled")).to_be_visible()
    assert service.state_of(job) == "cancelled"


def test_a_job_is_paused_resumed_retried_and_deleted(page: Page, service: Service) -> None:
    job = service.submit("steered", delay=600_000)
    page.goto(f"{service.url}/#/jobs/{job}")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("heading", name="paused")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("heading", name="delayed")).to_be_visible()
    done = service.ended("with-errors")
    page.goto(f"{service.url}/#/jobs/{done}")
    before = service.site.hits["/6"]
    page.get_by_role("button", name="Retry failed pages").click()
    wait_until(lambda: service.site.hits["/6"] > before, 60, "failed pages are fetched again")
    wait_until(lambda: service.state_of(done) == "completed", 60, "it ends again")
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_text("It runs again")).to_be_visible()
    wait_until(lambda: service.state_of(done) == "completed", 60, "and again")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    assert service.api.get(f"/jobs/{done}").status == 404


def test_records_are_downloaded(page: Page, service: Service, finished: str) -> None:
    page.goto(f"{service.url}/#/jobs/{finished}")
    records = service.api.get(f"/jobs/{finished}").json["pages"]["done"]
    for kind, head in (("NDJSON", 0), ("CSV", 1)):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind).click()
        lines = Path(download.value.path()).read_text().splitlines()
        assert len(lines) == records + head


def test_a_webhooks_calls_are_shown_and_one_is_made_again(
    page: Page, service: Service, finished: str
) -> None:
    page.goto(f"{service.url}/#/jobs/{finished}?tab=webhook")
    deliveries = page.get_by_label("Deliveries")
    last = deliveries.get_by_role("row").filter(has_text="workerCompleted")
    expect(last.get_by_text("delivered").first).to_be_visible()
    before, rows = service.site.hits["/hook"], last.count()
    again = last.get_by_role("button", name="Deliver workerCompleted").first
    again.click()
    page.get_by_role("button", name="Leave it").click()
    again.click()
    page.get_by_role("button", name="Deliver it").click()
    wait_until(lambda: service.site.hits["/hook"] > before, what="it is called again")
    expect(last).to_have_count(rows + 1)
    assert service.site.hits["/hook"] == before + 1
    page.goto(f"{service.url}/#/jobs/{service.submit('without', delay=600_000)}?tab=webhook")
    expect(page.get_by_text("This job has no webhook.")).to_be_visible()


def test_workers_are_restarted_and_the_fleet_scaled(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/#/workers")

    def pids() -> list[int | None]:
        workers = service.api.get("/workers").json["workers"]
        return [worker.get("pid") for worker in workers]

    def replaced(before: list[int | None]) -> bool:
        now = pids()
        return len(now) == 1 and now[0] not in (None, *before)

    [worker] = service.api.get("/workers").json["workers"]
    for button, sure in (
        (f"Restart {worker['id']}", "Restart it"),
        ("Restart all", "Restart them"),
    ):
        before = pids()
        page.get_by_role("button", name=button).click()
        page.get_by_role("button", name=sure).click()
        wait_until(lambda: replaced(before), 60, "another process")
    for count in (2, 1):
        page.get_by_label("Workers of").fill(str(count))
        page.get_by_role("button", name="Scale").click()
        wait_until(lambda: len(pids()) == count, 60, f"{count} workers")
    with page.expect_response("**/workers/count") as answer:
        page.get_by_role("button", name="Auto").click()
    assert answer.value.status == 200
    page.get_by_role("button", name="Scale").click()


def test_the_queue_is_paused_and_goes_on_from_the_banner(page: Page, service: Service) -> None:
    page.goto(service.url)
    try:
        page.get_by_role("button", name="Pause the queue").click()
        page.get_by_role("button", name="Pause it").click()
        expect(page.get_by_text("The queue is paused: no page")).to_be_visible()
        assert service.api.get("/health").json["queue"]["paused"] is True
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_text("The queue is paused: no page")).to_have_count(0)
        assert service.api.get("/health").json["queue"]["paused"] is False
    finally:
        service.api.post("/queue/resume")


@pytest.fixture
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of this test's own, which asks for a token."""
    token = "operators-own-long-token"
    with running_service(tmp_path_factory.mktemp("guarded"), API_TOKEN=token) as found:
        yield found


def _answer(page: Page, token: str) -> None:
    """To the question for a token."""
    page.locator("dialog input").fill(token)
    page.get_by_role("button", name="Go on").click()


def test_a_token_is_kept_for_the_tab_and_with_it_a_service_is_drained(
    page: Page, guarded: Service
) -> None:
    page.goto(guarded.url)
    _answer(page, "wrong")
    expect(page.get_by_text("The token was refused")).to_be_visible()
    _answer(page, guarded.api.token or "")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.locator("#live")).to_have_text("live")
    page.reload()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    done = guarded.ended("with-token", maxPages=3)
    page.goto(f"{guarded.url}/#/jobs/{done}")
    with page.expect_download() as download:
        page.get_by_role("button", name="NDJSON").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 3
    page.get_by_role("button", name="Forget token").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    # In a thread of its own: Playwright's is taken by a loop.
    with ThreadPoolExecutor(1) as thread:
        place = {"DATA_DIR": str(guarded.folder)}
        made = thread.submit(new_token, place, "--customer-id", "acme").result()
    _answer(page, made["token"])
    expect(page.get_by_role("heading", name=done)).to_be_visible()
    expect(page.get_by_role("link", name="Workers", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Forget token").click()
    _answer(page, guarded.api.token or "")
    expect(page.get_by_role("link", name="Workers", exact=True)).to_be_visible()
    page.goto(f"{guarded.url}/#/workers")
    page.get_by_role("button", name="Drain").click()
    page.get_by_role("button", name="Drain it").click()
    expect(page.get_by_text("The service does not answer")).to_be_visible()
    expect(page.locator("#live")).to_have_text("no connection")
