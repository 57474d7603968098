"""Machines of a fleet on one computer: network namespaces on a bridge, each with its own folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.scale import unavailable
from tests.support.processes import ROOT, Process, kill_group


@dataclass
class Machine:
    """One namespace; its processes see the others through the bridge only."""

    namespace: str
    folder: Path
    process: Process | None = None

    def start(self, *arguments: str, env: Mapping[str, str]) -> None:
        """`python -m <arguments>` on this machine; its output goes to `log`."""
        command = ["ip", "netns", "exec", self.namespace, sys.executable, "-m", *arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**env, "TMPDIR": str(self.folder)}, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def lose(self, address: str) -> None:
        """Nothing reaches that address any more, nor comes back."""
        _ip("-n", self.namespace, "route", "add", "blackhole", f"{address}/32")

    def find(self, address: str) -> None:
        _ip("-n", self.namespace, "route", "del", "blackhole", f"{address}/32")

    def power_off(self) -> None:
        """Kill -9 of everything on it at once."""
        if self.process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        kill_group(self.process)


@dataclass(frozen=True, slots=True)
class Network:
    """`site_address` and `redis_address` are on this side of the bridge."""

    site_address: str
    redis_address: str
    machines: list[Machine]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


@contextlib.contextmanager
def network(count: int, folder: Path) -> Iterator[Network]:
    """Machines while the block runs. Skips the test where namespaces cannot be had: that takes
    root and `ip` (Debian's iproute2)."""
    mark = os.getpid() % 10_000
    net = f"10.{200 + mark % 50}.{mark // 50 % 250}"
    bridge = f"sw{mark}"
    if os.geteuid() != 0 or not shutil.which("ip"):
        unavailable("network namespaces need root and iproute2")
    with contextlib.ExitStack() as undo:
        try:
            _ip("link", "add", bridge, "type", "bridge")
        except subprocess.CalledProcessError as error:
            unavailable(f"no network namespaces here: {error.stderr.decode().strip()}")
        undo.callback(_ip, "link", "del", bridge)
        for last in (1, 2):
            _ip("addr", "add", f"{net}.{last}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        machines = []
        for number in range(1, count + 1):
            name, port = f"{bridge}-{number}", f"{bridge}v{number}"
            _ip("netns", "add", name)
            undo.callback(_ip, "netns", "del", name)
            _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", port, "master", bridge, "up")
            _ip("-n", name, "addr", "add", f"{net}.{10 + number}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
            place = folder / f"machine-{number}"
            place.mkdir()
            machine = Machine(name, place)
            undo.callback(machine.power_off)
            machines.append(machine)
        yield Network(f"{net}.1", f"{net}.2", machines)
