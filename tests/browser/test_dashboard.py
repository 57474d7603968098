"""The dashboard's views in a real browser: their content, hostile text, keyboard, small screens."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from scraper.jobs.connection import connect_sync
from tests.browser.conftest import Service
from tests.support.processes import wait_until
from tests.support.site import Answer

pytestmark = pytest.mark.timeout(180)

HEADINGS = {
    "Overview": "Overview", "Jobs": "Jobs", "Workers": "Workers", "Hosts": "Hosts",
    "Events": "Events", "Refused": "Refused pushes",
}  # fmt: skip


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()


def test_every_view_opens_by_link_and_by_key_and_fits_a_small_screen(
    page: Page, service: Service, finished: str
) -> None:
    page.goto(service.url)
    expect(page.get_by_text("Throughput")).to_be_visible()
    expect(page.locator("#live")).to_have_text("live")
    for name, title in HEADINGS.items():
        page.get_by_label("Views").get_by_role("link", name=name).click()
        heading(page, title)
    page.set_viewport_size({"width": 360, "height": 740})
    for key, title in zip("ojwher", HEADINGS.values(), strict=True):
        page.keyboard.press("g")
        page.keyboard.press(key)
        heading(page, title)
        _fits(page)
    page.goto(f"{service.url}/#/jobs/{finished}")
    for tab in page.get_by_role("tab").all():
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        _fits(page)


def _fits(page: Page) -> None:
    """Neither the page nor a table in it goes on to the right, where nobody looks."""
    wider = "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.outerHTML)"
    assert page.locator("html, #nav, .scroll").evaluate_all(wider) == []


def test_a_jobs_tabs_show_its_pages_errors_and_records(
    page: Page, service: Service, finished: str
) -> None:
    page.goto(f"{service.url}/#/jobs/{finished}")
    pages = page.get_by_label("Pages", exact=True)
    start = pages.get_by_role("link", name=f"{service.site.url}/0", exact=True)
    expect(start.first).to_be_visible()
    page.get_by_label("State of the pages").select_option("failed")
    expect(pages.get_by_text("http_404").first).to_be_visible()
    expect(pages.get_by_text("done")).to_have_count(0)
    page.get_by_label("State of the pages").select_option("")
    expect(pages.get_by_role("row")).to_have_count(51)
    page.get_by_role("button", name="More").click()
    known = service.api.get(f"/jobs/{finished}").json["pages"]["known"]
    expect(pages.get_by_role("row")).to_have_count(known - 50 + 1)
    page.get_by_role("tab", name="Errors").click()
    expect(page.get_by_label("Errors").get_by_text("http_404").first).to_be_visible()
    page.get_by_role("tab", name="Left out").click()
    expect(page.get_by_text("off_scope").first).to_be_visible()
    page.get_by_role("tab", name="Records").click()
    records = page.get_by_label("Records", exact=True)
    expect(records.get_by_text("taken over").first).to_be_visible()
    shown = records.get_by_text("show", exact=True)
    expect(shown).to_have_count(50)
    page.get_by_role("button", name="More").click()
    recorded = service.api.get(f"/jobs/{finished}").json["pages"]["done"]
    expect(shown).to_have_count(recorded - 50)
    page.get_by_role("button", name="Back").click()
    expect(shown).to_have_count(50)
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
    assert page.title() == f"{finished} – Scraper Workers"
    assert page.locator("main img, main script").count() == 0
    page.get_by_role("tab", name="Left out").click()
    page.wait_for_selector("text=off_scope")
    hrefs = page.locator("a").evaluate_all("links => links.map(link => link.protocol)")
    assert "javascript:" not in hrefs


def test_a_running_job_is_seen_on_the_views_of_jobs_workers_and_hosts(
    page: Page, service: Service
) -> None:
    service.site.pages["/slow"] = Answer(b"slow", delay_s=15)
    job = service.submit("running", "/slow", type="single-page")
    wait_until(lambda: service.site.hits["/slow"], what="it is fetched")
    page.goto(service.url)
    expect(page.get_by_label("Running jobs").get_by_role("link", name=job)).to_be_visible()
    page.goto(f"{service.url}/#/hosts")
    row = page.get_by_label("Hosts", exact=True).get_by_role("row").filter(has_text="127.0.0.1")
    expect(row.get_by_role("cell").nth(1)).to_have_text("1")
    page.goto(f"{service.url}/#/workers")
    expect(page.get_by_label("Workers", exact=True).get_by_role("link", name=job)).to_be_visible()
    page.goto(f"{service.url}/#/jobs/{job}")
    expect(page.get_by_text("1 in hand")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel it").click()
    heading(page, f"{job} cancelled")


def test_jobs_are_filtered_by_state_and_customer_and_come_by_pages(
    page: Page, service: Service, finished: str
) -> None:
    later = {"type": "single-page", "url": f"{service.site.url}/1", "delay": 600_000}
    service.api.post("/jobs", [{**later, "customerId": "umbrella"} for _ in range(60)])
    service.submit("of-another", type="single-page", customerId="umbrella", delay=600_000)
    page.goto(f"{service.url}/#/jobs")
    page.get_by_label("Customer").fill("umbrella")
    page.get_by_role("button", name="Filter").click()
    jobs = page.get_by_label("Jobs", exact=True)
    expect(jobs.get_by_role("link", name="of-another")).to_be_visible()
    expect(jobs.get_by_role("link", name=finished, exact=True)).to_have_count(0)
    expect(jobs.get_by_role("row")).to_have_count(51)
    page.get_by_role("button", name="Older").click()
    expect(jobs.get_by_role("row")).to_have_count(12)
    page.get_by_role("button", name="Newer").click()
    expect(page.get_by_text("page 1")).to_be_visible()
    page.get_by_label("State").select_option("failed")
    expect(page.get_by_text("No job is like that.")).to_be_visible()


def test_events_come_as_they_happen_are_chosen_and_held(page: Page, service: Service) -> None:
    service.submit("just-before", delay=600_000)
    service.api.post("/jobs/just-before/cancel")
    page.goto(f"{service.url}/#/events")
    log = page.get_by_role("log")
    with page.expect_response("**/events?*"):
        page.get_by_label("Which events").select_option("jobs that end")
    expect(log.get_by_role("link", name="just-before")).to_be_visible()
    service.submit("heard", delay=600_000)
    service.api.post("/jobs/heard/cancel")
    expect(log.get_by_role("link", name="heard")).to_be_visible()
    expect(log.get_by_text("jobWaiting")).to_have_count(0)
    page.get_by_role("button", name="Hold").click()
    service.submit("held", delay=600_000)
    service.api.post("/jobs/held/cancel")
    expect(page.get_by_text("held; the newest 1 wait")).to_be_visible()
    expect(log.get_by_role("link", name="held")).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(log.get_by_role("link", name="held")).to_be_visible()


def test_a_refused_push_is_listed_with_its_reason(page: Page, service: Service) -> None:
    with connect_sync(f"unix://{service.folder / 'redis.sock'}") as client:
        client.lpush("scrape-queue", "<img src=x onerror=alert(3)>")
    page.goto(f"{service.url}/#/rejected")
    refused = page.get_by_label("Refused pushes")
    expect(refused.get_by_text("<img src=x onerror=alert(3)>", exact=True)).to_be_visible()
    page.goto(service.url)
    page.get_by_role("link", name="show").click()
    heading(page, "Refused pushes")


def test_the_history_is_shown_for_the_time_that_is_chosen(page: Page, service: Service) -> None:
    page.goto(service.url)
    with page.expect_response("**/history?minutes=360"):
        page.get_by_role("button", name="6 h").click()
    expect(page.get_by_role("button", name="6 h")).to_have_attribute("aria-pressed", "true")
    for chart in ("Pages a second", "Jobs", "Workers", "Memory of all machines"):
        expect(page.get_by_role("heading", name=chart, exact=True)).to_be_visible()


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
    page.goto(f"{service.url}/#/jobs")
    page.wait_for_selector("h1")
    page.keyboard.press("/")
    expect(page.get_by_label("State")).to_be_focused()
    page.get_by_role("button", name="New job").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("URL")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_theme_is_the_systems_until_another_is_chosen(page: Page, service: Service) -> None:
    page.goto(service.url)
    root = page.locator("html")
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        expect(root).to_have_attribute("data-theme", theme)
    page.get_by_role("button", name="Theme: system").click()
    page.get_by_role("button", name="Theme: light").click()
    expect(root).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(root).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Theme: dark").click()
    expect(root).to_have_attribute("data-theme", "light")
