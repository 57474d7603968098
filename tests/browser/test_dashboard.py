"""The dashboard in a real browser: every view, every action, hostile text, small screens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Service, running_service
from tests.support.processes import wait_until

pytestmark = pytest.mark.timeout(180)


def submit(service: Service, job_id: str, **fields: object) -> str:
    made = service.api.post(
        "/jobs",
        {"type": "full-crawl", "url": f"{service.site.url}/0", "customerId": "acme",
         "jobId": job_id, **fields},
    )  # fmt: skip
    assert made.status in (200, 201), made.body
    return job_id


def state_of(service: Service, job_id: str) -> str:
    return str(service.api.get(f"/jobs/{job_id}").json["state"])


def ended(service: Service, job_id: str, **fields: object) -> str:
    submit(service, job_id, **fields)
    wait_until(lambda: state_of(service, job_id) == "completed", 60, f"{job_id} ends")
    return job_id


@pytest.fixture
def finished(service: Service) -> str:
    """A crawl that has ended, with pages, errors and links left out."""
    return ended(service, "finished")


def test_every_view_opens_without_a_fault(page: Page, service: Service, finished: str) -> None:
    page.goto(service.url)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_text("Throughput")).to_be_visible()
    expect(page.locator("#live")).to_have_text("live")
    for name, heading in [
        ("Jobs", "Jobs"), ("Workers", "Workers"), ("Hosts", "Hosts"), ("Events", "Events"),
        ("Refused", "Refused pushes"),
    ]:  # fmt: skip
        page.get_by_label("Views").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()


def test_a_jobs_tabs_show_its_pages_errors_and_records(
    page: Page, service: Service, finished: str
) -> None:
    page.goto(f"{service.url}/#/jobs/{finished}")
    pages = page.get_by_label("Pages", exact=True)
    expect(
        pages.get_by_role("link", name=f"{service.site.url}/0", exact=True).first
    ).to_be_visible()
    page.get_by_role("tab", name="Errors").click()
    expect(page.get_by_label("Errors").get_by_text("http_404").first).to_be_visible()
    page.get_by_role("tab", name="Left out").click()
    expect(page.get_by_text("off_scope").first).to_be_visible()
    page.get_by_role("tab", name="Records").click()
    expect(page.get_by_label("Records", exact=True).get_by_text("taken over").first).to_be_visible()
    page.get_by_role("tab", name="Events").click()
    expect(page.get_by_role("log").get_by_text("workerCompleted")).to_be_visible()
    page.get_by_role("tab", name="Explain").click()
    page.get_by_label("URL", exact=True).fill(f"{service.site.url}/6")
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_text("http_404").first).to_be_visible()


def test_scraped_text_is_shown_and_never_run(page: Page, service: Service, finished: str) -> None:
    page.goto(f"{service.url}/#/jobs/{finished}?tab=data")
    records = page.get_by_label("Records", exact=True)
    expect(records.get_by_text("<script>document.title=").first).to_be_visible()
    records.get_by_text("show", exact=True).first.click()
    expect(records.locator("pre").first).to_contain_text("onerror")
    assert page.title() == "Scraper Workers"
    assert page.locator("main img, main script").count() == 0
    page.get_by_role("tab", name="Left out").click()
    page.wait_for_selector("text=off_scope")
    hrefs = page.locator("a").evaluate_all("links => links.map(link => link.protocol)")
    assert "javascript:" not in hrefs


def test_a_job_from_the_form_is_accepted_and_a_wrong_one_explained(
    page: Page, service: Service
) -> None:
    page.goto(f"{service.url}/#/jobs")
    page.get_by_role("button", name="New job").click()
    page.get_by_label("URL").fill(f"{service.site.url}/1")
    page.get_by_label("More fields, as JSON").fill('{"jobId": "from-form", "priorty": 3}')
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("dialog").get_by_text("priorty").first).to_be_visible()
    page.get_by_label("More fields, as JSON").fill('{"jobId": "from-form", "priority": 3}')
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="from-form")).to_be_visible()
    assert service.api.get("/jobs/from-form").json["priority"] == 3


def test_jobs_are_filtered_by_state_and_customer(
    page: Page, service: Service, finished: str
) -> None:
    ended(service, "of-another", customerId="umbrella", type="single-page")
    page.goto(f"{service.url}/#/jobs")
    page.get_by_label("Customer").fill("umbrella")
    page.get_by_role("button", name="Filter").click()
    jobs = page.get_by_label("Jobs", exact=True)
    expect(jobs.get_by_role("link", name="of-another")).to_be_visible()
    expect(jobs.get_by_role("link", name=finished, exact=True)).to_have_count(0)
    page.get_by_label("State").select_option("failed")
    expect(page.get_by_text("No job is like that.")).to_be_visible()


def test_a_cancel_is_asked_for_first(page: Page, service: Service) -> None:
    job_id = submit(service, "to-cancel", delay=600_000)
    page.goto(f"{service.url}/#/jobs/{job_id}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Leave it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert state_of(service, job_id) == "delayed"
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(page.get_by_role("heading", name="cancelled")).to_be_visible()
    assert state_of(service, job_id) == "cancelled"


def test_a_job_is_paused_resumed_retried_and_deleted(page: Page, service: Service) -> None:
    job_id = submit(service, "steered", delay=600_000)
    page.goto(f"{service.url}/#/jobs/{job_id}")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("heading", name="paused")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("heading", name="delayed")).to_be_visible()
    done = ended(service, "with-errors")
    page.goto(f"{service.url}/#/jobs/{done}")
    before = service.site.hits["/6"]
    page.get_by_role("button", name="Retry failed pages").click()
    wait_until(lambda: service.site.hits["/6"] > before, 60, "failed pages are fetched again")
    wait_until(lambda: state_of(service, done) == "completed", 60, "it ends again")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    assert service.api.get(f"/jobs/{done}").status == 404


def test_records_are_downloaded(page: Page, service: Service, finished: str) -> None:
    page.goto(f"{service.url}/#/jobs/{finished}")
    with page.expect_download() as download:
        page.get_by_role("button", name="NDJSON").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == service.api.get(f"/jobs/{finished}").json["pages"]["done"]


def test_a_worker_is_restarted_and_the_fleet_scaled(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/#/workers")
    worker = service.api.get("/workers").json["workers"][0]
    page.get_by_role("button", name=f"Restart {worker['id']}").click()
    page.get_by_role("button", name="Restart it").click()

    def pid() -> int | None:
        found: int | None = service.api.get("/workers").json["workers"][0]["pid"]
        return found

    wait_until(lambda: pid() not in (None, worker["pid"]), 60, "another process")
    page.get_by_label("Workers of").fill("2")
    page.get_by_role("button", name="Scale").click()
    wait_until(lambda: len(service.api.get("/workers").json["workers"]) == 2, 60, "two workers")
    page.get_by_label("Workers of").fill("1")
    page.get_by_role("button", name="Scale").click()
    wait_until(lambda: len(service.api.get("/workers").json["workers"]) == 1, 60, "one worker")


def test_a_paused_queue_is_announced_and_goes_on_from_the_banner(
    page: Page, service: Service
) -> None:
    service.api.post("/queue/pause")
    try:
        page.goto(service.url)
        expect(page.get_by_text("The queue is paused")).to_be_visible()
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_text("The queue is paused")).to_have_count(0)
        assert service.api.get("/health").json["queue"]["paused"] is False
    finally:
        service.api.post("/queue/resume")


def test_what_is_typed_and_focused_survives_the_redrawing(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/#/workers")
    field = page.get_by_label("Workers of")
    field.fill("7")
    for _ in range(2):
        with page.expect_response("**/workers"):
            pass
    expect(field).to_have_value("7")
    expect(field).to_be_focused()


def test_the_keyboard_is_enough(page: Page, service: Service) -> None:
    page.goto(service.url)
    page.wait_for_selector("h1")
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("State")).to_be_focused()
    page.get_by_role("button", name="New job").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("URL")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("place", ["", "#/jobs", "#/jobs/finished", "#/workers", "#/hosts"])
def test_nothing_is_cut_off_on_a_small_screen(
    page: Page, service: Service, finished: str, place: str
) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{service.url}/{place}")
    page.wait_for_selector("h1")
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_system_s_theme_is_taken_over(page: Page, service: Service, theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.goto(service.url)
    assert page.locator("html").get_attribute("data-theme") == theme


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    token = "operators-own-long-token"
    with running_service(tmp_path_factory.mktemp("guarded"), API_TOKEN=token) as found:
        yield found


def test_a_token_is_asked_for_and_kept_for_the_tab(page: Page, guarded: Service) -> None:
    page.goto(guarded.url)
    page.locator("dialog input").fill("wrong")
    page.get_by_role("button", name="Go on").click()
    page.locator("dialog input").fill(guarded.api.token or "")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.locator("#live")).to_have_text("live")
    page.reload()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
