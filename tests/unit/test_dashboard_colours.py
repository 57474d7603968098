"""The dashboard's colours can be told apart by people who see little contrast (WCAG 2.2, AA)."""

from __future__ import annotations

import re

import pytest

from supervisor.http.app import STATIC

TEXT_ON = [
    ("ink", "back"), ("ink", "card"), ("ink", "soft"), ("muted", "back"), ("muted", "card"),
    ("muted", "soft"), ("accent", "card"), ("accent", "back"), ("accent-ink", "accent"),
    ("good", "card"), ("warn", "card"), ("bad", "card"), ("bad", "soft"), ("ink", "bad-soft"),
    ("ink", "warn-soft"), ("accent", "soft"), ("bad", "bad-soft"), ("warn", "warn-soft"),
    ("good", "soft"), ("warn", "soft"), ("muted", "warn-soft"), ("muted", "bad-soft"),
]  # fmt: skip


def _palette(theme: str) -> dict[str, str]:
    css = (STATIC / "dashboard" / "style.css").read_text()
    selector = r":root \{" if theme == "light" else r':root\[data-theme="dark"\] \{'
    block = re.search(selector + r"(.*?)\}", css, re.DOTALL)
    assert block is not None
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block[1]))


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT_ON)
def test_text_has_a_contrast_of_at_least_4_5(theme: str, text: str, ground: str) -> None:
    palette = _palette(theme)
    lighter, darker = sorted((_luminance(palette[text]), _luminance(palette[ground])))[::-1]
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
