"""The documentation tells the truth: names, links, commands, settings and events exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args
from urllib.parse import unquote

import click
import pytest

from docs import generate
from scraper.extraction import build_bare_record
from scraper.jobs.config import Config
from scraper.jobs.config_loading import env_name
from scraper.jobs.keys import CATALOGUE
from scraper.jobs.model import FIELDS
from scraper.network.errors import NetworkError
from scraper.scope.reasons import Reason
from supervisor.cli import main
from supervisor.events import EVENTS

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
        *(ROOT / "docs").rglob("*.md"),
    ]
)
PAGE_IDS = [str(page.relative_to(ROOT)) for page in PAGES]

# Words in capitals that are no settings of ours.
NOT_OURS = frozenset(
    {
        "MAX_PAGES",  # of `make crawl`
        "PYTHON_IMAGE",  # of `docker build`
        "JOB_ID",
        "SCRAPER_SERVER",  # of the command line
        "SCRAPER_TOKEN",
        "RANDOM_OPERATIONS",  # of the tests
        "SOAK_S",
        "CHAOS_KILLS",
        "XDG_DATA_HOME",
        # Scrapy's and scrapy-redis's, named where they have no effect here.
        "AUTOTHROTTLE_ENABLED",
        "CLOSESPIDER_ITEMCOUNT",
        "CLOSESPIDER_PAGECOUNT",
        "CLOSESPIDER_TIMEOUT",
        "CONCURRENT_REQUESTS_PER_DOMAIN",
        "DEPTH_LIMIT",
        "DOWNLOAD_DELAY",
        "DUPEFILTER_CLASS",
        "REDIS_START_URLS_KEY",
        "RETRY_TIMES",
        "SCHEDULER_PERSIST",
    }
)
EMIT = re.compile(r"""emit\((?:'(\w+)'|EVENT_OF)""")
EVENT_OF = re.compile(r"EVENT_OF = \{([^}]*)\}")


every_page = pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)


def anchors(page: Path) -> set[str]:
    """The fragments that the headings of a page have."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def link_targets(page: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            yield unquote(target)


def first_cells(page: Path, *headings: str) -> set[str]:
    """The names in code style in the first column of the tables under these headings."""
    cells: set[str] = set()
    for section in re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE):
        if section.partition("\n")[0] in headings:
            for cell in re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE):
                cells |= set(re.findall(r"`([^`]+)`", cell))
    return cells


@pytest.mark.parametrize("name", generate.PAGES)
def test_generated_page_is_current(name: str) -> None:
    assert name not in generate.stale_pages(), f"run `{generate.COMMAND}`"


def test_check_names_the_stale_page_and_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    assert generate.main(["--check"]) == 1
    complaint = capsys.readouterr().err
    assert "keys.md" in complaint
    assert generate.COMMAND in complaint
    assert not list(tmp_path.iterdir())
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_every_setting_and_every_key_has_its_row() -> None:
    configuration = generate.configuration_page()
    for name in Config.model_fields:
        assert f"| `{env_name(name)}` |" in configuration
    keys = generate.keys_page()
    for spec in CATALOGUE:
        assert spec.pattern.replace("|", "\\|") in keys


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in link_targets(page):
        path, _, fragment = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if fragment:
            assert fragment in anchors(found), target


@every_page
def test_every_command_named_exists_with_its_flags(page: Path) -> None:
    assert isinstance(main, click.Group)
    for name, rest in re.findall(
        r"python -m supervisor ([a-z]+)([^\n`#]*)", page.read_text("utf-8")
    ):
        command = main.commands.get(name)
        assert command is not None, f"there is no command {name!r}"
        if isinstance(command, click.Group):
            name, command = rest.split()[0], command.commands.get(rest.split()[0])
            assert command is not None, f"there is no command {name!r} in it"
        known = {flag for option in command.params for flag in option.opts} | {"--help", "--debug"}
        for flag in re.findall(r"(?<!\S)--[a-z-]+", rest):
            assert flag in known, f"{name} has no {flag}"


def test_every_command_is_documented() -> None:
    assert isinstance(main, click.Group)
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert {name for name in main.commands if f"`{name}`" not in changes} == set()


@every_page
def test_every_environment_variable_named_is_a_setting(page: Path) -> None:
    ours = {env_name(name) for name in Config.model_fields}
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", page.read_text("utf-8")))
    assert named - ours - NOT_OURS == set()


@every_page
def test_every_file_and_test_named_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    for name in re.findall(
        r"`((?:scraper|supervisor|tests|docs|benchmarks|deploy)/[\w./-]*)", text
    ):
        if name != "scraper/spiders/book_list.py":  # the reader's own
            assert (ROOT / name).exists(), name
    for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert re.search(rf"def {test}\b", (ROOT / file).read_text("utf-8")), f"{file}::{test}"


def test_events_page_has_the_events_of_the_code() -> None:
    page = ROOT / "docs" / "events.md"
    text = page.read_text("utf-8")
    unsent = re.search(r"nothing sends them in this release:(.*?)\n\n", text, re.DOTALL)
    later = set(re.findall(r"`(\w+)`\s+\{", unsent[1])) if unsent else set()
    documented = {name for name in first_cells(page, "Queue", "Service") if name in EVENTS}
    assert documented | later == set(EVENTS)
    assert not documented & later


def test_queue_events_are_those_that_the_scripts_emit() -> None:
    emitted: set[str] = set()
    for script in (ROOT / "scraper" / "jobs" / "lua").rglob("*.lua"):
        text = script.read_text("utf-8")
        emitted |= {name for name in EMIT.findall(text) if name}
        for table in EVENT_OF.findall(text):
            emitted |= set(re.findall(r"'(\w+)'", table))
    assert first_cells(ROOT / "docs" / "events.md", "Queue") == emitted
    assert emitted <= set(EVENTS)


def test_fields_of_events_are_named() -> None:
    text = (ROOT / "docs" / "events.md").read_text("utf-8")
    for name, record in EVENTS.items():
        for field in fields(record):
            head, *rest = field.name.split("_")
            shown = head + "".join(part.capitalize() for part in rest)
            assert f"`{'at' if shown == 'atMs' else shown}`" in text, f"{name}.{field.name}"


def test_every_field_of_a_job_has_its_row() -> None:
    assert first_cells(ROOT / "docs" / "jobs.md", "Fields of a job") == set(FIELDS[""])


def test_every_field_of_a_page_record_has_its_row() -> None:
    record = build_bare_record(
        url="",
        requested_url="",
        status=200,
        depth=0,
        found_on=None,
        fetched_at="",
        content_type=None,
        content_hash="",
        body_bytes=0,
        elapsed_ms=0,
    )
    documented = first_cells(ROOT / "docs" / "jobs.md", "A page record")
    assert documented == record.keys() | {"html", "items", "product"} | {
        *("markdown", "tokenEstimate", "chunks", "tables"),
    }


def test_every_failure_code_and_reason_is_in_the_tables() -> None:
    text = (ROOT / "docs" / "jobs.md").read_text("utf-8")
    codes = {kind.code for kind in _subclasses(NetworkError)} - {"blocked_address"}
    for code in codes | set(get_args(Reason)):
        assert f"`{code}`" in text, code


def _subclasses(kind: type[NetworkError]) -> Iterator[type[NetworkError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _subclasses(child)


@every_page
def test_python_examples_are_python(page: Path) -> None:
    for number, block in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    ):
        compile(block, f"{page.name} block {number}", "exec", flags=0x2000)  # top-level await
