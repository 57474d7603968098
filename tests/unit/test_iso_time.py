"""The time of day, as text."""

from datetime import UTC, datetime

from scraper.iso_time import iso_now


def test_it_is_the_present_moment_in_milliseconds() -> None:
    before = datetime.now(UTC)
    for _ in range(2_000):
        text = iso_now()
        assert len(text) == len("2026-03-01T12:00:00.250Z")
        assert text.endswith("Z")
    late_ms = (datetime.fromisoformat(text) - before).total_seconds() * 1000
    after_ms = (datetime.now(UTC) - before).total_seconds() * 1000
    assert -1 <= late_ms <= after_ms
