"""The list of licences is that of what is pinned; pins have hashes."""

from __future__ import annotations

import re

from docs import supply_chain


def test_licences_are_those_of_the_pinned_packages() -> None:
    listed = supply_chain.listed()
    for name, version in supply_chain.pinned().items():
        assert name in listed, f"{name} is missing: run `make licences`"
        assert listed[name][0] == version, f"{name} is another version: run `make licences`"
        assert listed[name][1] not in ("", "UNKNOWN"), f"{name} has no licence"
    everywhere = {supply_chain.normal_name(name) for name in supply_chain.packages()}
    assert listed.keys() <= everywhere, "not pinned any more: run `make licences`"


def test_each_pin_has_a_hash() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-scrapydweb.txt"):
        text = (supply_chain.ROOT / name).read_text()
        pins = re.split(r"^(?=[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\]]*\])?==)", text, flags=re.M)[1:]
        assert len(pins) > 20
        assert all("--hash=sha256:" in pin for pin in pins), name
