"""The supervisor's name: the same after a restart, and nobody else's on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import platform
import stat
import tempfile
import uuid
from pathlib import Path

from scraper.jobs import JobsError
from supervisor import forks


class SupervisorNameError(JobsError):
    """The folder of the lock files cannot be used."""


class SupervisorName:
    """A name held by a lock file; the kernel frees it when this process dies, however it does.

    The second supervisor of a queue on one machine is `<base>~2`: `~` is in no host name, so it
    is not the name of another machine. `close` frees it.
    """

    def __init__(self, text: str, number: int, path: Path, descriptor: int, machine: str) -> None:
        """`machine`: an id of the folder of the locks, so of all that can see each other's."""
        self.text = text
        self.number = number
        self.machine = machine
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(
        cls,
        redis_url: str,
        queue_name: str,
        base: str | None = None,
        folder: Path | None = None,
        *,
        first: int = 1,
    ) -> SupervisorName:
        """The first free one of `base`, `base~2`, ... (from the number `first` on): a supervisor
        that is started again gets the name of its dead predecessor. `base` is by default the
        host's name.

        Raises SupervisorNameError.
        """
        base = _clean(base or platform.node() or "supervisor")
        folder = folder or Path(tempfile.gettempdir()) / f"scraper-workers-{os.geteuid()}"
        place = hashlib.sha256(f"{redis_url}\n{queue_name}\n{base}".encode()).hexdigest()[:16]
        try:
            _prepare(folder)
            machine = _machine_id(folder)
            for number in itertools.count(first):
                path = folder / f"{place}-{number}.lock"
                descriptor = _try_lock(path)
                if descriptor is not None:
                    text = base if number == 1 else f"{base}~{number}"
                    return cls(text, number, path, forks.own(descriptor), machine)
        except OSError as error:
            problem = f"cannot lock a name in {folder}: {error.strerror or error}"
            raise SupervisorNameError(problem) from error
        raise AssertionError("there is always a next number")

    def owns(self, worker_instance: str) -> bool:
        """Whether a worker instance in Redis is of a supervisor of this name."""
        return worker_instance.startswith(f"{self.text}/")

    def close(self) -> None:
        """Free the name."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._path.unlink(missing_ok=True)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            forks.disown_and_close(descriptor)


def _clean(base: str) -> str:
    """Without what has a meaning in worker ids and keys."""
    return "".join("-" if letter in "/#|~ \t\n" else letter for letter in base.strip())


def _prepare(folder: Path) -> None:
    """An owner-only folder of ours: anybody may write to the one above."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise SupervisorNameError(f"{folder} is not a folder of this user: set TMPDIR")


def _machine_id(folder: Path) -> str:
    """The same for every process that locks names in this folder."""
    path = folder / ".machine"
    made = folder / f".machine.{os.getpid()}.{uuid.uuid4().hex}"
    if not path.exists():
        made.write_text(uuid.uuid4().hex)
        with contextlib.suppress(FileExistsError):
            os.link(made, path)  # whole or not at all, and the first one stays
        made.unlink()
    return path.read_text()


def _try_lock(path: Path) -> int | None:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who freed the name in between has deleted this file: a lock on it says nothing.
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False
