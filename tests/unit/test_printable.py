"""Text of pages and servers cannot command a terminal, and stays valid JSON."""

from __future__ import annotations

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.jobs.printable import printable, printable_json, printable_lines
from scraper.logs import configure_logs
from scraper.network.failures import BadResponseError, failure_text

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202etxt.exe\x00\r"


@given(st.text(st.characters(exclude_categories=())))
def test_no_control_character_is_left(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    assert "\n" not in shown


@given(st.text(st.characters(exclude_categories=())))
def test_json_means_the_same(text: str) -> None:
    shown = printable_json(json.dumps({"title": text}, ensure_ascii=False, indent=2))
    assert json.loads(shown) == {"title": text}
    shown.encode()
    assert not any(127 <= ord(char) < 160 for char in shown)


def test_usual_text_stays_as_it_is() -> None:
    for text in ("plain", "Grüße, 日本語 🎉", ""):
        assert printable(text) == text
        assert printable_json(json.dumps(text, ensure_ascii=False)) == f'"{text}"'
    assert printable_lines("one\ntwo\x1b") == "one\ntwo\\x1b"


def test_an_error_that_quotes_a_server_is_printable() -> None:
    assert "\x1b" not in failure_text(BadResponseError(EVIL))
    assert "owned" in failure_text(BadResponseError(EVIL))


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_log_line_cannot_command_the_terminal(is_terminal: bool) -> None:
    stream = _Terminal() if is_terminal else io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    writer = configure_logs("info", stream)
    try:
        logger = logging.getLogger("pages")
        try:
            raise ValueError(EVIL)
        except ValueError:
            logger.exception("a page: %s", EVIL, extra={"url": EVIL})
        assert writer.drain()
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    text = stream.getvalue()
    assert text.count("owned") >= 3
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert "\x9b" not in text
    assert "\u202e" not in text
