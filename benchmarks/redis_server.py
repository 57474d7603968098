"""A Redis server of one run: started empty, with an append-only file, and ended with the run."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from benchmarks.errors import MissingProgramError
from benchmarks.web_server import free_port, wait_for_port

# What this harness itself sends.
_OURS = frozenset({"info", "config", "config|resetstat", "monitor", "client|setinfo", "hello"})


@dataclass(frozen=True, slots=True)
class RedisFigures:
    """What a server has done since its statistics were reset.

    `all_commands` includes those that scripts call; `reads` are reads from client sockets, about
    the number of round trips. `data_bytes` is what all keys take (MEMORY USAGE).
    """

    cpu_s: float
    all_commands: int
    reads: int
    data_bytes: int
    peak_memory_bytes: int
    by_command: dict[str, int]


class RedisServer:
    """A running server, by its URL, and what its INFO says."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = redis.Redis.from_url(url, decode_responses=True)
        self._cpu_before_s = 0.0
        self._reads_before = 0
        self._peak_memory_bytes = 0

    def reset(self) -> None:
        """Count from now on."""
        self._client.config_resetstat()
        self._cpu_before_s = self._cpu_s()
        self._reads_before = int(self._client.info("stats").get("total_reads_processed", 0))
        self._peak_memory_bytes = 0

    def sample_memory(self) -> None:
        """Remember the memory in use if it is the most so far."""
        used = int(self._client.info("memory")["used_memory"])
        self._peak_memory_bytes = max(self._peak_memory_bytes, used)

    def figures(self) -> RedisFigures:
        """The counts since `reset`."""
        cpu_s = self._cpu_s() - self._cpu_before_s
        stats = self._client.info("commandstats")
        calls = {
            name.removeprefix("cmdstat_"): int(figures["calls"]) for name, figures in stats.items()
        }
        by_command = {name: count for name, count in calls.items() if name not in _OURS}
        reads = int(self._client.info("stats").get("total_reads_processed", 0))
        self.sample_memory()
        return RedisFigures(
            cpu_s=cpu_s,
            all_commands=sum(by_command.values()),
            reads=reads - self._reads_before,
            data_bytes=self._data_bytes(),
            peak_memory_bytes=self._peak_memory_bytes,
            by_command=dict(sorted(by_command.items(), key=lambda item: -item[1])),
        )

    def _data_bytes(self) -> int:
        # Not the growth of used_memory: that has scripts, buffers and the allocator's steps in it.
        keys = list(self._client.scan_iter(count=1_000))
        with self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.memory_usage(key, samples=0)
            return sum(size or 0 for size in pipe.execute())

    def _cpu_s(self) -> float:
        cpu = self._client.info("cpu")
        return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """An empty server on a free loopback port while the block runs."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise MissingProgramError("redis-server", "redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as folder:
        options = {"bind": "127.0.0.1", "port": port, "dir": folder, "save": ""}
        options |= {"appendonly": "yes", "appendfsync": "everysec", "loglevel": "warning"}
        command = [program]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for_port(port, process)
            yield RedisServer(f"redis://127.0.0.1:{port}/0")
        finally:
            process.terminate()
            process.wait(timeout=20)
