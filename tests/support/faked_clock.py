"""A server whose clock a test can step: the real one under libfaketime."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.doc_packages import unpacked
from tests.support.redis_server import server_process, short_folder


@dataclass(frozen=True, slots=True)
class SteppedServer:
    """`step` moves its clock from where it is by so many seconds."""

    url: str
    offset_file: Path

    def step(self, seconds: float) -> None:
        offset = float(self.offset_file.read_text()) + seconds
        beside = self.offset_file.with_suffix(".new")
        beside.write_text(f"{offset:+.1f}")
        beside.replace(self.offset_file)


@contextlib.contextmanager
def running_stepped_server() -> Iterator[SteppedServer]:
    """Skips the test where libfaketime cannot be had, fails it in CI."""
    library = next(unpacked("libfaketime").rglob("libfaketime.so.1"))
    with short_folder() as folder:
        server = SteppedServer(f"unix://{folder}/redis.sock", folder / "offset")
        server.offset_file.write_text("+0")
        env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(server.offset_file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        arguments = ["--port", "0", "--unixsocket", f"{folder}/redis.sock"]
        with server_process(folder, arguments, server.url, env=env):
            yield server
