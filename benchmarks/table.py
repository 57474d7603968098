"""Prints rows of figures as one plain table."""

from collections.abc import Callable, Sequence

from benchmarks.figures import Row

_Cell = Callable[[Row], str]


def _number(value: float | None, digits: int = 1, unit: str = "") -> str:
    return "" if value is None else f"{value:,.{digits}f}{unit}"


def _ratio(row: Row) -> str:
    if row.ratio is None or row.ratio_low is None or row.ratio_high is None:
        return ""
    return f"{row.ratio:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f})"


def _share(row: Row) -> str:
    share = row.redis_share_of_worker_cpu
    return "" if share is None else f"{share:.1%}"


_COLUMNS: dict[str, _Cell] = {
    "contender": lambda row: row.contender,
    "pages": lambda row: f"{row.pages:,}",
    "ratio (range)": _ratio,
    "pages/CPU-s": lambda row: _number(row.pages_per_cpu_s),
    "pages/s": lambda row: _number(row.pages_per_s),
    "RSS MB": lambda row: _number(row.peak_rss_mb, 0),
    "median ms": lambda row: _number(row.latency_ms),
    "p95 ms": lambda row: _number(row.latency_p95_ms),
    "Redis CPU-s/1000": lambda row: _number(row.redis_cpu_s_per_1000, 3),
    "of worker CPU": _share,
    "client cmds/page": lambda row: _number(row.client_commands_per_page, 2),
    "all cmds/page": lambda row: _number(row.commands_per_page, 2),
    "Redis peak MB": lambda row: _number(row.redis_peak_mb),
    "bytes/URL": lambda row: _number(row.redis_bytes_per_url, 0),
}


def table(rows: Sequence[Row]) -> str:
    """The rows under a head; columns that no row fills are left out."""
    columns = [
        [head, *cells]
        for head, cell in _COLUMNS.items()
        if any(cells := [cell(row) for row in rows])
    ]
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for line in zip(*columns, strict=True):
        first = line[0].ljust(widths[0])
        rest = [text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True)]
        lines.append("  ".join([first, *rest]).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)
