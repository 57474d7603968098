"""scrapyd's pages in the form that ScrapydWeb reads: home, jobs, folders of logs and items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from html import escape
from urllib.parse import quote

from scraper.jobs import JobQueue, JobView
from supervisor.scrapyd.jobs import (
    FINISHED,
    MOST_FINISHED,
    MOST_PENDING,
    MOST_RUNNING,
    PENDING,
    PROJECT,
    RUNNING,
    ended_ms,
    items_url,
    jobs_in,
    local,
    log_url,
    pids,
    started_ms,
)

_HEADERS = (
    "Project", "Spider", "Job", "PID", "Start", "Runtime", "Finish", "Log", "Items", "Cancel"
)  # fmt: skip
_STYLE = """
body { font-family: system-ui, sans-serif; }
table { border-collapse: collapse; }
th, td { border: 1px solid; padding: .5rem; }
tbody > tr:first-child { background-color: #eee; }
td:nth-child(2), td:nth-child(3) { word-break: break-all; }
"""


def _page(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def home(base: str) -> str:
    """`base`: what a proxy has in front of our paths."""
    return _page(
        "Scrapyd",
        f'<h1>Scrapyd</h1>\n<ul>\n<li><a href="{base}/jobs">Jobs</a></li>\n'
        f'<li><a href="{base}/items/">Items</a></li>\n<li><a href="{base}/logs/">Logs</a></li>\n'
        f"</ul>\n<p>Scrapy projects:</p>\n<ul>\n    <li>{PROJECT}</li>\n</ul>\n"
        "<p>Scraper Workers answers as scrapyd does. To schedule crawls, use the API:</p>\n"
        f"<p><code>curl http://localhost:6800/schedule.json -d project={PROJECT} -d "
        "spider=single-page -d url=https://example.com/</code></p>",
    )


async def jobs(queue: JobQueue, base: str) -> str:
    """The table of jobs."""
    pending = await jobs_in(queue, PENDING, MOST_PENDING)
    running = await jobs_in(queue, RUNNING, MOST_RUNNING)
    finished = await jobs_in(queue, FINISHED, MOST_FINISHED)
    by_job = await pids(queue) if running else {}
    seconds, _ = await queue.redis.time()
    now_ms = seconds * 1000
    parts = (
        ("Pending", [_row({**_names(view), "Cancel": _cancel(base, view)}) for view in pending]),
        ("Running", [_running(base, view, now_ms, by_job.get(view.id, 0)) for view in running]),
        ("Finished", [_finished(base, view) for view in finished]),
    )
    heads = "\n".join(f"    <th>{header}</th>" for header in _HEADERS)
    bodies = "\n".join(
        f'<tbody>\n<tr>\n    <th colspan="{len(_HEADERS)}">{title}</th>\n</tr>\n'
        + "\n".join(rows)
        + "\n</tbody>"
        for title, rows in parts
    )
    return _page(
        "Scrapyd",
        f'<h1>Jobs</h1>\n<p><a href="./">Go up</a></p>\n<table id="jobs">\n<thead>\n<tr>\n{heads}\n'
        f"</tr>\n</thead>\n{bodies}\n</table>",
    )


def _names(view: JobView) -> dict[str, str]:
    return {"Project": PROJECT, "Spider": escape(view.type), "Job": escape(view.id)}


def _links(base: str, view: JobView) -> dict[str, str]:
    return {
        "Log": f'<a href="{base}{escape(log_url(view))}">Log</a>',
        "Items": f'<a href="{base}{escape(items_url(view))}">Items</a>',
    }


def _running(base: str, view: JobView, now_ms: int, pid: int) -> str:
    start_ms = started_ms(view)
    return _row(
        {
            **_names(view), "PID": str(pid), "Start": _time(start_ms),
            "Runtime": _span(now_ms - start_ms), **_links(base, view),
            "Cancel": _cancel(base, view),
        }
    )  # fmt: skip


def _finished(base: str, view: JobView) -> str:
    start_ms, end_ms = started_ms(view), ended_ms(view)
    return _row(
        {
            **_names(view), "Start": _time(start_ms), "Runtime": _span(end_ms - start_ms),
            "Finish": _time(end_ms), **_links(base, view),
        }
    )  # fmt: skip


def _time(at_ms: int) -> str:
    return str(local(at_ms).replace(microsecond=0))


def _span(ms: int) -> str:
    return str(timedelta(seconds=max(0, ms // 1000)))


def _row(cells: Mapping[str, str]) -> str:
    columns = "\n".join(f"    <td>{cells.get(header, '')}</td>" for header in _HEADERS)
    return f"<tr>\n{columns}\n</tr>"


def _cancel(base: str, view: JobView) -> str:
    return (
        f'\n<form method="post" action="{base}/cancel.json">\n'
        f'<input type="hidden" name="project" value="{PROJECT}">\n'
        f'<input type="hidden" name="job" value="{escape(view.id)}">\n'
        '<input type="submit" value="Cancel">\n</form>\n'
    )


async def folder(queue: JobQueue, kind: str, parts: Sequence[str]) -> str | None:
    """The listing of a folder below /logs/ or /items/; None where there is none."""
    title = f"Directory listing for /{'/'.join((kind, *parts))}/"
    if not parts:
        return _listing(title, [(f"{PROJECT}/", "", "[Directory]", "")])
    if parts[0] != PROJECT:
        return None
    if len(parts) == 1:
        rows = [(f"{name}/", "", "[Directory]", "") for name in sorted(queue.job_types)]
        return _listing(title, rows)
    if len(parts) > 2 or parts[1] not in queue.job_types:
        return None
    ended = "log" if kind == "logs" else "jl"
    found = await jobs_in(queue, (*RUNNING, *FINISHED), MOST_PENDING, parts[1])
    return _listing(
        title,
        [
            (f"{view.id}.{ended}", _size(kind, view), "[text/plain]",
             f"{local(ended_ms(view)):%Y-%m-%d %H:%M}")
            for view in found
        ],
    )  # fmt: skip


def _size(kind: str, view: JobView) -> str:
    """Of items as they are stored; how large a log is, is known when it is made."""
    return f"{view.record_bytes}B" if kind == "items" else ""


def _listing(title: str, rows: Iterable[tuple[str, str, str, str]]) -> str:
    lines = [
        f'<tr class="{"odd" if number % 2 else "even"}">\n'
        f'    <td><a href="{quote(name)}">{escape(name)}</a></td>\n    <td>{size}</td>\n'
        f"    <td>{modified}</td>\n    <td>{kind}</td>\n    <td></td>\n</tr>"
        for number, (name, size, kind, modified) in enumerate(rows)
    ]
    heads = "".join(
        f"<th>{name}</th>"
        for name in ("Filename", "Size", "Last modified", "Content type", "Content encoding")
    )
    table = "\n".join(lines)
    return _page(
        escape(title),
        f"<h1>{escape(title)}</h1>\n<table>\n<thead>\n<tr>{heads}</tr>\n</thead>\n<tbody>\n{table}\n"
        "</tbody>\n</table>",
    )
