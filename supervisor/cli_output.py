"""How commands print: JSON for programs, tables and progress for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scraper.jobs import JobResult, JobView
from scraper.jobs.printable import printable, printable_json, printable_lines
from scraper.jobs.views import iso_time


class Terminal(Console):
    """Prints texts without what would command the terminal: most come from pages and servers."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As the base does."""
        tame = (printable_lines(it) if isinstance(it, str) else it for it in objects)
        super().print(*tame, **options)


out = Terminal(highlight=False, soft_wrap=True)
err = Terminal(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Any, indent: int | None = 2) -> None:
    """One JSON document, readable, or with `indent` None in one line."""
    click.echo(printable_json(json.dumps(value, indent=indent, ensure_ascii=False, default=str)))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A plain table: folded to the terminal's width, in whole lines elsewhere (for grep)."""
    cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    if not out.is_terminal:
        _print_lines(headers, cells)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(headers))
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    out.print(table)


def _print_lines(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [list(headers), *rows] if any(headers) else list(rows)
    if not lines:
        return
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo(text.rstrip())


def readable(value: object) -> str:
    """A value for people: counts as `waiting 3, active 1` instead of a dict."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {readable(item)}" for name, item in value.items() if item)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(map(readable, value))
    return str(value)


def print_facts(facts: dict[str, Any]) -> None:
    """Names and values; what is empty is left out."""
    rows = [
        (name, readable(value)) for name, value in facts.items() if value not in (None, {}, [], "")
    ]
    print_table(("", ""), [row for row in rows if row[1]])


def job_rows(jobs: Iterable[JobView]) -> list[tuple[object, ...]]:
    return [
        (
            job.id, job.state.value, job.type, job.url, job.customer_id, job.pages.done,
            job.pages.failed, iso_time(job.submitted_at),
        )
        for job in jobs
    ]  # fmt: skip


JOB_HEADERS = ("id", "state", "type", "url", "customer", "pages", "failed", "submitted")


WORKER_HEADERS = ("worker", "state", "pages", "memory", "restarts", "age", "last exit")


def worker_rows(workers: Iterable[dict[str, Any]]) -> list[tuple[object, ...]]:
    """Workers as the fleet's reports have them; those without a supervisor tell little."""
    return [
        (
            worker["id"], worker.get("state"), worker.get("pages", worker.get("pagesLeased")),
            _mib(worker.get("memoryBytes")), worker.get("restarts"),
            None if worker.get("ageS") is None else f"{worker['ageS']:.0f} s",
            worker.get("lastExit"),
        )
        for worker in workers
    ]  # fmt: skip


def _mib(count: int | None) -> str:
    return "" if count is None else f"{count / 1024 / 1024:.0f} MiB"


def print_job(job: JobView) -> None:
    """One job for people."""
    print_facts(job.to_json())


def print_result(result: JobResult) -> None:
    """A result for people."""
    shown = result.to_json()
    errors = shown.pop("errors")
    print_facts(shown)
    print_errors(errors)


def print_errors(errors: Iterable[dict[str, Any]]) -> None:
    rows = [
        (item.get("code"), item.get("attempt"), item.get("url"), item.get("message"))
        for item in errors
    ]
    if rows:
        print_table(("error", "attempt", "url", "message"), rows)
