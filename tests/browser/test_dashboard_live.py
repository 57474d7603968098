"""What the dashboard shows while things change: faults, running jobs, clicks, addresses."""

from __future__ import annotations

import os
import signal

import pytest
from playwright.sync_api import Page, expect

from scraper.jobs.connection import connect_sync
from tests.browser.conftest import Service

pytestmark = pytest.mark.timeout(180)


def test_views_keep_what_they_had_while_redis_is_silent_and_go_on_after_it(
    page: Page, service: Service
) -> None:
    service.submit("kept-in-sight", delay=600_000)
    with connect_sync(f"unix://{service.folder / 'redis.sock'}") as client:
        redis_pid = int(client.info("server")["process_id"])
    page.goto(f"{service.url}/#/jobs")
    row = page.get_by_label("Jobs", exact=True).get_by_role("link", name="kept-in-sight")
    expect(row).to_be_visible()
    os.kill(redis_pid, signal.SIGSTOP)
    try:
        expect(page.locator("#fault")).to_contain_text("not newer: Redis at")
        expect(page.locator("#banner")).to_contain_text("Redis does not answer")
        expect(row).to_be_visible()
    finally:
        os.kill(redis_pid, signal.SIGCONT)
    expect(page.locator("#fault")).to_be_empty()
    service.submit("after-the-silence", delay=600_000)
    expect(page.get_by_role("link", name="after-the-silence")).to_be_visible()


def test_the_open_tab_of_a_job_follows_what_happens_to_it(page: Page, service: Service) -> None:
    job = service.submit("followed", delay=600_000)
    page.goto(f"{service.url}/#/jobs/{job}")
    pages = page.get_by_label("Pages", exact=True)
    expect(pages.get_by_text("queued", exact=True)).to_be_visible()
    service.api.post(f"/jobs/{job}/cancel")
    expect(pages.get_by_text("not fetched", exact=True)).to_be_visible()


def test_a_click_is_not_lost_to_a_view_that_is_drawn_anew(page: Page, service: Service) -> None:
    job = service.submit("pressed", delay=600_000)
    page.goto(f"{service.url}/#/jobs/{job}")
    page.get_by_role("button", name="Cancel").hover()
    page.mouse.down()
    with page.expect_response(f"**/jobs/{job}") as answer:
        pass
    answer.value.finished()
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.mouse.up()
    expect(page.get_by_role("heading", name="Cancel this job?")).to_be_visible()
    page.get_by_role("button", name="Leave it").click()
    # And it is drawn anew after that.
    service.api.post(f"/jobs/{job}/cancel")
    expect(page.get_by_role("heading", name="cancelled")).to_be_visible()


def test_tabs_are_turned_by_arrows_and_kept_in_the_address(
    page: Page, service: Service, finished: str
) -> None:
    page.goto(f"{service.url}/#/jobs/{finished}")
    page.get_by_role("tab", name="Pages").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Errors")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    explain = page.get_by_role("tab", name="Explain")
    expect(explain).to_be_focused()
    page.reload()
    expect(explain).to_have_attribute("aria-selected", "true")
    expect(page.get_by_label("URL", exact=True)).to_be_visible()


def test_an_address_that_leads_nowhere_says_so(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/#/jobs/never-was")
    expect(page.get_by_role("heading", name="No such job")).to_be_visible()
    page.get_by_role("link", name="All jobs").click()
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    page.goto(f"{service.url}/#/jobs/%E0%A4%A")
    expect(page.get_by_text("it should match pattern")).to_be_visible()
    page.goto(f"{service.url}/#/nowhere")
    expect(page.get_by_role("heading", name="Overview", exact=True)).to_be_visible()
    expect(page).to_have_title("Overview – Scraper Workers")
