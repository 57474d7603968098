"""BullMQ's Python port with aiohttp and selectolax: single-page jobs, 32 at once."""

import hashlib
import subprocess
import sys
from pathlib import Path

from benchmarks.cache import cached
from benchmarks.contenders.bullmq_node import BullmqSlim
from benchmarks.errors import BenchmarkError
from benchmarks.plan import Mode, Plan
from benchmarks.watch import REPOSITORY, Watch

_REQUIREMENTS = REPOSITORY / "benchmarks" / "workers" / "requirements-bullmq.txt"


def _install(folder: Path) -> None:
    python = folder / "venv" / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(folder / "venv")],
        [str(python), "-m", "pip", "install", "--quiet", "-r", str(_REQUIREMENTS)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchmarkError(f"{' '.join(command)} failed: {done.stderr.strip()[-1000:]}")


class BullmqPython(BullmqSlim):
    """Jobs are added by BullMQ's Node client, whose keys and scripts it shares."""

    name = "bullmq-python"
    title = "BullMQ (Python) + aiohttp + selectolax"
    modes = frozenset({Mode.SINGLE_PAGE, Mode.LATENCY})

    def prepare(self) -> None:
        super().prepare()
        digest = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:12]
        self._python = cached(f"bullmq-python/{digest}", _install) / "venv" / "bin" / "python"

    def start_worker(self, plan: Plan, watch: Watch) -> "subprocess.Popen[bytes]":
        command = [str(self._python), "-m", "benchmarks.workers.run_bullmq"]
        return watch.start(command, plan.environment())
