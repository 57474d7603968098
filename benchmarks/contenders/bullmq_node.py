"""BullMQ on Node with undici and cheerio: single-page jobs, 32 at once."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

from benchmarks.cache import cached
from benchmarks.contenders.contender import Contender
from benchmarks.errors import BenchmarkError, MissingProgramError
from benchmarks.plan import Mode, Plan, Report
from benchmarks.watch import REPOSITORY, Watch

_SOURCES = REPOSITORY / "benchmarks" / "workers" / "node"


def node_programs() -> Path:
    """A cache folder with the programs of `workers/node` and what package.json names."""
    package = (_SOURCES / "package.json").read_bytes()
    folder = cached(f"node/{hashlib.sha256(package).hexdigest()[:12]}", _install)
    for program in _SOURCES.glob("*.mjs"):
        shutil.copy(program, folder)
    return folder


def _install(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise MissingProgramError("npm", "npm")
    shutil.copy(_SOURCES / "package.json", folder)
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"npm install failed: {done.stderr.strip()[-1000:]}")


def node() -> str:
    """The path of node."""
    program = shutil.which("node")
    if program is None:
        raise MissingProgramError("node", "nodejs")
    return program


class BullmqSlim(Contender):
    """The fair form: cheerio/slim parses with htmlparser2."""

    name: ClassVar[str] = "bullmq-slim"
    title: ClassVar[str] = "BullMQ + undici + cheerio/slim"
    modes: ClassVar[frozenset[Mode]] = frozenset({Mode.SINGLE_PAGE, Mode.LATENCY, Mode.MEMORY})
    needs_redis: ClassVar[bool] = True
    parser: ClassVar[str] = "slim"

    def prepare(self) -> None:
        self._folder = node_programs()
        self._node = node()

    def run(self, plan: Plan, watch: Watch) -> Report:
        match plan.mode:
            case Mode.MEMORY:
                watch.begin()
                self._run("enqueue.mjs", plan, watch)
                watch.end()
                return Report(pages=plan.pages, cpu_s=0, wall_s=0)
            case Mode.LATENCY:
                return self._push_one_by_one(plan, watch)
        self._run("enqueue.mjs", plan, watch)
        watch.begin()
        watch.finish(self.start_worker(plan, watch))
        watch.end()
        return Report.read(plan.report_file)

    def start_worker(self, plan: Plan, watch: Watch) -> "subprocess.Popen[bytes]":
        """A worker that ends after `plan.pages` jobs."""
        command = [self._node, str(self._folder / "worker.mjs"), self.parser]
        return watch.start(command, plan.environment(), folder=self._folder)

    def _run(self, program: str, plan: Plan, watch: Watch, **environment: str) -> None:
        command = [self._node, str(self._folder / program)]
        watch.complete(command, plan.environment() | environment)

    def _push_one_by_one(self, plan: Plan, watch: Watch) -> Report:
        worker = self.start_worker(plan, watch)
        watch.begin()
        latencies = plan.work_folder / "latencies.json"
        self._run("latency.mjs", plan, watch, BENCH_LATENCIES=str(latencies))
        watch.finish(worker)
        watch.end()
        report = Report.read(plan.report_file)
        report.latencies_ms.extend(json.loads(latencies.read_text()))
        return report


class BullmqCheerio(BullmqSlim):
    """Cheerio as its documentation imports it: parses with parse5, as browsers do."""

    name = "bullmq-cheerio"
    title = "BullMQ + undici + cheerio"
    modes = frozenset({Mode.SINGLE_PAGE})
    parser = "cheerio"
