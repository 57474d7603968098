"""The dashboard under axe, which knows what keeps people with other eyes and hands out."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Service

pytestmark = pytest.mark.timeout(180)

VIEWS = ("", "jobs", "workers", "hosts", "events", "rejected", "jobs/never-was")


def test_axe_finds_no_fault_in_any_view_or_tab(page: Page, service: Service, finished: str) -> None:
    for view in VIEWS:
        page.goto(f"{service.url}/#/{view}")
        expect(page.locator("h1")).to_be_visible()
        _has_no_fault(page, view)
        page.goto("about:blank")
    page.goto(f"{service.url}/#/jobs/{finished}")
    for tab in page.get_by_role("tab").all():
        tab.click()
        expect(page.get_by_role("tabpanel")).not_to_be_empty()
        _has_no_fault(page, tab.inner_text())
    page.get_by_role("button", name="Delete").click()
    _has_no_fault(page, "the question")
    page.keyboard.press("Escape")
    page.goto(f"{service.url}/#/jobs")
    page.get_by_role("button", name="New job").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    _has_no_fault(page, "the form")


def test_axe_finds_no_fault_on_a_small_dark_screen(
    page: Page, service: Service, finished: str
) -> None:
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    for view in ("jobs", f"jobs/{finished}"):
        page.goto(f"{service.url}/#/{view}")
        expect(page.get_by_role("table")).to_be_visible()
        _has_no_fault(page, view)


def _has_no_fault(page: Page, view: str) -> None:
    found = Axe().run(page).response
    assert len(found["passes"]) > 10, "it looked"
    faults = [(fault["id"], fault["nodes"][0]["html"]) for fault in found["violations"]]
    assert faults == [], view
