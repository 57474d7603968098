"""Page records as rows of CSV: the fields that are one value each."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator

import orjson

CSV_FIELDS = (
    "url", "requestedUrl", "status", "depth", "foundOn", "fetchedAt", "contentType", "language",
    "title", "description", "canonical", "bytes", "elapsed", "contentHash", "text",
)  # fmt: skip

# OWASP's list; spreadsheets read the full-width ones like the others.
_FORMULA_STARTS = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")


class CsvTable:
    """Makes the lines of a table, one by one."""

    def __init__(self) -> None:
        self._buffer = io.StringIO()
        self._writer = csv.DictWriter(self._buffer, CSV_FIELDS, extrasaction="ignore")

    def header(self) -> bytes:
        self._writer.writeheader()
        return self._taken()

    def row(self, line: bytes) -> bytes:
        """The row of one record, which comes as JSON text."""
        self._writer.writerow({name: _cell(value) for name, value in orjson.loads(line).items()})
        return self._taken()

    def _taken(self) -> bytes:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text.encode("utf-8", "replace")


def _cell(value: object) -> object:
    """A CSV cell that no spreadsheet runs as a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


async def csv_lines(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A header and a row a record, at constant memory."""
    table = CsvTable()
    yield table.header()
    async for line in lines:
        yield table.row(line)
