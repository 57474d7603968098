"""Page records as rows of CSV: the fields that are one value each."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Any, TextIO

import orjson

CSV_FIELDS = (
    "url", "requestedUrl", "status", "depth", "foundOn", "fetchedAt", "contentType", "language",
    "title", "description", "canonical", "bytes", "elapsed", "contentHash", "text",
)  # fmt: skip

# OWASP's list; spreadsheets read the full-width ones like the others.
_FORMULA_STARTS = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")


def table_writer(file: TextIO) -> csv.DictWriter:
    """Writes rows of `csv_row` to a file."""
    return csv.DictWriter(file, CSV_FIELDS, extrasaction="ignore")


def csv_row(line: bytes) -> dict[str, Any]:
    """The cells of one record, which comes as JSON text."""
    return {name: _cell(value) for name, value in orjson.loads(line).items()}


def _cell(value: object) -> object:
    """A CSV cell that no spreadsheet runs as a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


async def csv_lines(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A header and a row a record, at constant memory."""
    buffer = io.StringIO()
    table = table_writer(buffer)
    table.writeheader()
    yield buffer.getvalue().encode()
    async for line in lines:
        buffer.seek(0)
        buffer.truncate()
        table.writerow(csv_row(line))
        yield buffer.getvalue().encode("utf-8", "replace")
