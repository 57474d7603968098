"""Redis runs out of disk or of connections, or is killed again and again: no false word of it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.chaos.lasting_crawl import lasting_crawl
from tests.chaos.scale import by_scale, full_only
from tests.support.figures import tell
from tests.support.mortal_redis import MortalRedis, mortal_redis
from tests.support.processes import wait_until

KILLS = 20
ROUNDS = by_scale(1, 10)
MIB = 2**20


# In short, the test of the full disk ends with such a kill.
@full_only
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fsync", ["everysec", "always"])
def test_nothing_acknowledged_is_lost_when_redis_is_killed(fsync: str, tmp_path: Path) -> None:
    with (
        mortal_redis(tmp_path / "redis", is_debian=True, fsync=fsync) as server,
        lasting_crawl(server.url) as crawl,
    ):
        for _ in range(KILLS):
            crawl.go_on()
            server.kill_and_restart()
        crawl.go_on()
        figures = crawl.judge()
    tell(f"Redis (AOF {fsync}) killed and restarted {KILLS} times", *figures)


class SmallDisk:
    """A file system in memory that can be filled and enlarged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Take all that is left."""
        with (self.folder / "ballast").open("ab", buffering=0) as ballast:
            for size in (MIB, 4096, 1):
                with contextlib.suppress(OSError):
                    while ballast.write(b"x" * size):
                        pass

    def free(self) -> None:
        (self.folder / "ballast").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Needs the right to mount: root, and no container that forbids it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = by_scale(16, 64)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}m", "none", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def refuses(server: MortalRedis) -> bool:
    """Whether a write is refused: by a word, or because nobody is there."""
    try:
        server.client.set("probe", "x")
    except redis.exceptions.RedisError:
        return True
    return False


@pytest.mark.timeout(by_scale(120, 900))
@pytest.mark.parametrize("fsync", ["everysec", "always"])
def test_a_full_disk_acknowledges_nothing_that_is_lost(
    fsync: str, disk: SmallDisk, tmp_path: Path
) -> None:
    """With `everysec` Redis refuses writes, with `always` it ends."""
    with (
        mortal_redis(disk.folder / "redis", is_debian=True, fsync=fsync) as server,
        lasting_crawl(server.url) as crawl,
    ):
        for _ in range(ROUNDS):
            crawl.go_on()
            disk.fill()
            wait_until(lambda: refuses(server), 60, "the disk is full")
            repeated = crawl.submitter.repeated
            wait_until(lambda: crawl.submitter.repeated > repeated, 60, "submits are refused")
            disk.free()
            if not server.is_alive:
                server.restart()
            wait_until(lambda: not refuses(server), 60, "it writes again")
        crawl.go_on()
        # What it holds is on the disk: a restart brings all of it back.
        server.kill_and_restart()
        crawl.go_on()
        figures = crawl.judge()
    tell(f"disk full {ROUNDS} times, AOF {fsync}", *figures)


@pytest.mark.timeout(by_scale(120, 600))
def test_a_server_without_room_for_clients_stops_nobody_for_good(tmp_path: Path) -> None:
    with (
        mortal_redis(tmp_path / "redis", is_debian=True) as server,
        lasting_crawl(server.url) as crawl,
    ):
        for _ in range(ROUNDS):
            crawl.go_on()
            server.client.config_set("maxclients", 1)
            server.client.client_kill_filter(_type="normal", skipme=True)
            repeated = crawl.submitter.repeated
            wait_until(lambda: crawl.submitter.repeated > repeated + 3, 60, "no room for submits")
            server.client.config_set("maxclients", 1000)
        crawl.go_on()
        figures = crawl.judge()
    tell(f"no room for clients, {ROUNDS} times", *figures)
