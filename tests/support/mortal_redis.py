"""A server with AOF that a test kills, stops, fills and starts again on the same folder."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis

from scraper.jobs.embedded import find_server_binary
from tests.support.processes import wait_until
from tests.support.redis_server import await_answer, debian_redis, free_port, libraries

BACK_WITHIN_S = 30


class MortalRedis:
    """Redis or Valkey on a port of loopback, appending to a file at each write."""

    def __init__(self, binary: Path, folder: Path, fsync: str, more: Sequence[str] = ()) -> None:
        self._binary = binary
        self._folder = folder
        self._arguments = ["--appendfsync", fsync, *more]
        self.port = free_port()
        self.log = folder.parent / f"{folder.name}.log"
        self.url = f"redis://127.0.0.1:{self.port}"
        self.client: redis.Redis = redis.Redis(host="127.0.0.1", port=self.port)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [
                    str(self._binary), "--port", str(self.port), "--bind", "127.0.0.1",
                    "--dir", str(self._folder), "--save", "", "--appendonly", "yes",
                    *self._arguments,
                ],
                stdout=output, stderr=output, env=os.environ | libraries(self._binary),
            )  # fmt: skip
        await_answer(process, self.url, self.log)
        return process

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def restart(self) -> None:
        """Start it on its old files; it must have ended."""
        assert not self.is_alive
        self._process = self._start()
        wait_until(self._has_loaded, BACK_WITHIN_S, "the server has read its files")

    def kill_and_restart(self) -> None:
        """kill -9, as a crash."""
        self._process.kill()
        self._process.wait(10)
        self.restart()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It does not run while the block does, and keeps its connections."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _has_loaded(self) -> bool:
        with contextlib.suppress(redis.exceptions.ConnectionError):
            return bool(self.client.info("persistence")["loading"] == 0)
        return False

    def close(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait(10)


@contextlib.contextmanager
def mortal_redis(
    folder: Path, *more: str, is_debian: bool = False, fsync: str = "everysec"
) -> Iterator[MortalRedis]:
    """Debian's Redis or the embedded Valkey, with its files in `folder`; `more`: its options."""
    folder.mkdir(parents=True, exist_ok=True)
    binary = debian_redis() if is_debian else find_server_binary()
    server = MortalRedis(binary, folder, fsync, more)
    try:
        yield server
    finally:
        server.close()
