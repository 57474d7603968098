"""Writes the page records of a job to a file or to standard output, whole or not at all."""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import click

from scraper.jobs import JobsError
from scraper.jobs.printable import printable_json
from supervisor.desk import Desk
from supervisor.record_csv import CsvTable

FOLLOW_EVERY_S = 0.5


class ExportError(JobsError):
    """The records cannot be written there; of a file nothing is left."""

    def __init__(self, target: str, error: OSError) -> None:
        where = "standard output" if target == "-" else target
        super().__init__(
            f"{where} cannot be written: {error.strerror or error}. The records are still in the "
            "queue: mend that, then `data JOB_ID --output FILE`"
        )


async def followed_lines(desk: Desk, job_id: str) -> AsyncIterator[bytes]:
    """The records of a job, those to come as well, until it ends. Each once."""
    cursor = 0
    while True:
        # Asked for before the records: what is recorded in between belongs to the next round.
        is_over = (await desk.job(job_id)).state.is_final
        async for line in desk.record_lines(job_id, cursor):
            cursor += 1
            yield line
        if is_over:
            return
        await asyncio.sleep(FOLLOW_EVERY_S)


class RecordWriter:
    """Writes records to a file: .jsonl, .json or .csv by its ending, with .gz behind it compressed;
    `-` is stdout as .jsonl."""

    ENDINGS = (".jsonl", ".json", ".csv")

    def __init__(self, target: str) -> None:
        """Raises click.BadParameter for another ending or a folder that is not there."""
        self.target = target
        self._is_packed = target.lower().endswith(".gz")
        name = target[:-3] if self._is_packed else target
        self.kind = ".jsonl" if target == "-" else Path(name).suffix.lower()
        if self.kind not in self.ENDINGS:
            raise click.BadParameter(
                f"--output {target}: it must end in .jsonl, .json or .csv (and .gz, if you like)"
            )
        if target != "-" and not Path(target).resolve().parent.is_dir():
            raise click.BadParameter(f"--output {target}: there is no such folder")

    async def write(self, lines: AsyncIterator[bytes]) -> int:
        """Write all records, at constant memory; how many. The file appears when it is whole.

        Raises ExportError.
        """
        try:
            if self.target == "-":
                return await self._write_to(sys.stdout.buffer, lines)
            return await self._write_file(lines)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ExportError(self.target, error) from error

    async def _write_file(self, lines: AsyncIterator[bytes]) -> int:
        with _whole_file(Path(self.target)) as file:
            return await self._write_packed(file, lines)

    async def _write_packed(self, file: BinaryIO, lines: AsyncIterator[bytes]) -> int:
        if not self._is_packed:
            return await self._write_to(file, lines)
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6) as packed:
            return await self._write_to(cast("BinaryIO", packed), lines)

    async def _write_to(self, file: BinaryIO, lines: AsyncIterator[bytes]) -> int:
        count = 0
        form = self._form()
        try:
            file.write(form.head)
            async for line in lines:
                file.write(form.record(line, count == 0))
                count += 1
                if self.target == "-":
                    file.flush()
            file.write(form.tail if count else form.tail_of_none)
            file.flush()
        finally:
            # A source that is left open in the middle complains when the program ends.
            if isinstance(lines, AsyncGenerator):
                await lines.aclose()
        return count

    def _form(self) -> _Form:
        if self.kind == ".csv":
            table = CsvTable()
            return _Form(lambda line, _: table.row(line), table.header())
        if self.kind == ".json":
            return _Form(
                lambda line, is_first: line if is_first else b",\n" + line,
                b"[\n", b"\n]\n", b"]\n",
            )  # fmt: skip
        if self.target == "-" and sys.stdout.isatty():
            # Pages must not command the terminal.
            return _Form(lambda line, _: printable_json(line.decode()).encode() + b"\n")
        return _Form(lambda line, _: line + b"\n")


class _Form(NamedTuple):
    """What a file is made of; `record` makes a piece of a JSON text and whether it is the first."""

    record: Callable[[bytes, bool], bytes]
    head: bytes = b""
    tail: bytes = b""
    tail_of_none: bytes = b""


@contextmanager
def _whole_file(target: Path) -> Iterator[BinaryIO]:
    """A file that has its name once the block is through; else nothing is left of it."""
    # A name of its own: another export to the same file may be at work.
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
