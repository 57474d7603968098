"""Writes the page records of a job to a file or to standard output, whole or not at all."""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

import click

from scraper.jobs import JobsError
from scraper.jobs.printable import printable_json
from supervisor.desk import Desk
from supervisor.record_csv import csv_lines

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

        async def counted() -> AsyncIterator[bytes]:
            nonlocal count
            async for line in lines:
                count += 1
                yield line

        async for piece in self._pieces(counted()):
            file.write(piece)
            if self.target == "-":
                file.flush()
        file.flush()
        return count

    def _pieces(self, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        if self.kind == ".csv":
            return csv_lines(lines)
        if self.kind == ".json":
            return _array(lines)
        is_shown = self.target == "-" and sys.stdout.isatty()
        return _shown(lines) if is_shown else _lines(lines)


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


async def _lines(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for line in lines:
        yield line + b"\n"


async def _shown(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """For a terminal, which pages must not command."""
    async for line in lines:
        yield printable_json(line.decode()).encode() + b"\n"


async def _array(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    before = b"[\n"
    async for line in lines:
        yield before + line
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"
