"""Names held by lock files: real files, real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from supervisor.name import SupervisorName, SupervisorNameError

URL, QUEUE = "redis://127.0.0.1:6379/0", "scrape-queue"
HOLD = """
import sys
from pathlib import Path
from supervisor.name import SupervisorName
name = SupervisorName.acquire(sys.argv[1], sys.argv[2], "here", Path(sys.argv[3]))
print(name.text, flush=True)
sys.stdin.read()
"""


def acquire(folder: Path, queue: str = QUEUE) -> SupervisorName:
    return SupervisorName.acquire(URL, queue, "here", folder)


def test_the_second_on_a_machine_gets_another_name(tmp_path: Path) -> None:
    first, second = acquire(tmp_path), acquire(tmp_path)
    other_queue = acquire(tmp_path, "other")
    try:
        assert (first.text, second.text, other_queue.text) == ("here", "here~2", "here")
    finally:
        for name in (first, second, other_queue):
            name.close()


def test_a_freed_name_is_the_next_ones(tmp_path: Path) -> None:
    first, second = acquire(tmp_path), acquire(tmp_path)
    first.close()
    again = acquire(tmp_path)
    assert again.text == "here"
    again.close()
    second.close()


def test_a_name_owns_its_workers_only(tmp_path: Path) -> None:
    name = acquire(tmp_path)
    assert name.owns("here/worker-1#ab")
    assert not name.owns("here~2/worker-1#ab")
    assert not name.owns("there/worker-1#ab")
    name.close()


def test_a_killed_supervisor_leaves_its_name_to_the_next(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, URL, QUEUE, str(tmp_path)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == "here\n"
        meanwhile = acquire(tmp_path)
        assert meanwhile.text == "here~2"
        holder.kill()
        holder.wait()
    meanwhile.close()
    after = acquire(tmp_path)
    assert after.text == "here"
    after.close()


def test_a_freed_name_leaves_no_file(tmp_path: Path) -> None:
    name = acquire(tmp_path)
    assert len(list(tmp_path.glob("*.lock"))) == 1
    name.close()
    assert not list(tmp_path.glob("*.lock"))


def test_names_are_never_given_twice_at_once(tmp_path: Path) -> None:
    def hold_often(_: int) -> list[str]:
        clashes = []
        for _ in range(50):
            name = acquire(tmp_path)
            try:
                (tmp_path / f"holder {name.text}").mkdir()
                (tmp_path / f"holder {name.text}").rmdir()
            except OSError:
                clashes.append(name.text)
            name.close()
        return clashes

    with ThreadPoolExecutor(4) as pool:
        assert not any(pool.map(hold_often, range(4)))


def test_a_fork_does_not_keep_the_name(tmp_path: Path) -> None:
    name = acquire(tmp_path)
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    try:
        name.close()
        again = acquire(tmp_path)
        assert again.text == "here"
        again.close()
    finally:
        os.close(writer)
        os.close(reader)
        os.waitpid(child, 0)


def test_what_has_a_meaning_in_ids_is_taken_out_of_a_name(tmp_path: Path) -> None:
    name = SupervisorName.acquire(URL, QUEUE, "a/b#c~d", tmp_path)
    assert name.text == "a-b-c-d"
    name.close()


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SupervisorNameError):
        acquire(tmp_path / "file")


def test_locks_of_one_folder_are_of_one_machine(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, second, elsewhere = acquire(tmp_path), acquire(tmp_path), acquire(tmp_path / "other")
    assert first.machine == second.machine != elsewhere.machine
    assert (first.number, second.number, elsewhere.number) == (1, 2, 1)
    for name in (first, second, elsewhere):
        name.close()
