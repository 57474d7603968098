"""Tests that need a real browser: Debian's Chromium, driven by Playwright."""
