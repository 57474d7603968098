"""The process that keeps the embedded server: starts it, restarts it, ends it with its last user.

Run by its file path with the standard library alone, so that it costs 10 MB and 30 ms; the users'
side is `embedded.py`. Four lock files in the data folder say who lives, since the kernel drops a
flock at any death, and a process id in a file may belong to a stranger by now:

- `users.lock`: shared by every user; the keeper takes it exclusively when the last one is gone,
  and holds it until the server has ended, so that a newcomer waits for a clean start.
- `start.lock`: held by the user that starts a keeper.
- `keeper.lock`: held by the keeper for its whole life.
- `server.lock`: inherited on purpose, by the server only. Two servers on one append-only file
  would ruin it, and this lock is free exactly when the server, however orphaned, is gone.
"""

import contextlib
import ctypes
import enum
import fcntl
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

USERS_LOCK = "users.lock"
START_LOCK = "start.lock"
KEEPER_LOCK = "keeper.lock"
SERVER_LOCK = "server.lock"
STATE_FILE = "embedded.json"
LOG_FILE = "valkey.log"

TICK_S = 0.1
KEEPER_LOCK_DEADLINE_S = 2.0
STOP_DEADLINE_S = 10.0
STEADY_AFTER_S = 10.0
LONGEST_BACKOFF_S = 5.0
MOST_FAILED_STARTS = 3

_LOG_LINE = re.compile(r"^\d+:\w \d+ \w+ \d+ [\d:.]+ (?P<level>[.*#-]) (?P<text>.*)$")
_PR_SET_PDEATHSIG = 1
_DARWIN_SOL_LOCAL, _DARWIN_LOCAL_PEERPID = 0, 2


class Answer(enum.Enum):
    """What the server's socket said to a PING."""

    READY = "ready"
    LOADING = "loading"
    SILENT = "silent"


def ask(socket_path: Path, patience_s: float = 0.5) -> Answer:
    """Ping the server without a client library. Any reply but -LOADING means that it serves:
    a full disk (-MISCONF) or a long script (-BUSY) are for the caller's commands to meet."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(patience_s)
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            reply = connection.recv(64)
    except OSError:
        return Answer.SILENT
    if reply.startswith(b"-LOADING"):
        return Answer.LOADING
    return Answer.READY if reply else Answer.SILENT


def open_lock(path: Path) -> int:
    """A descriptor to flock, which no program started by this process inherits."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(descriptor: int, how: int) -> bool:
    """Take the flock (LOCK_SH or LOCK_EX) now, or say that somebody is in the way."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_within(descriptor: int, how: int, deadline_s: float, pause_s: float = 0.01) -> bool:
    """Take the flock, waiting `deadline_s` at most."""
    end_s = time.monotonic() + deadline_s
    while not try_lock(descriptor, how):
        if time.monotonic() >= end_s:
            return False
        time.sleep(pause_s)
    return True


def drop_lock(descriptor: int) -> None:
    """Unlock and close. Closing alone would leave the lock with a child forked meanwhile."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def write_state(data_dir: Path, state: Mapping[str, str]) -> None:
    """Replace the state file in one step; raises OSError where the disk is full."""
    draft = data_dir / f"{STATE_FILE}.{os.getpid()}"
    try:
        draft.write_text(json.dumps(dict(state)), encoding="utf-8")
        os.replace(draft, data_dir / STATE_FILE)
    finally:
        draft.unlink(missing_ok=True)


def read_state(data_dir: Path) -> dict[str, str]:
    """The last state written (`run`, `socket`, `phase`, `reason`), {} where there is none."""
    try:
        state = json.loads((data_dir / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def server_command(binary: Path, data_dir: Path, socket_path: Path) -> list[str]:
    """The server's command line: no port at all, an owner-only socket, append-only file."""
    flags = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "protected-mode": "yes",
        "enable-debug-command": "no",
        "enable-module-command": "no",
        "enable-protected-configs": "no",
        "set-max-intset-entries": "1024",
        "list-compress-depth": "1",
    }
    return [str(binary), *(part for name, value in flags.items() for part in (f"--{name}", value))]


def listener_pid(socket_path: Path) -> int | None:
    """The process that listens on a unix socket, as the kernel knows it; None where none does."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(socket_path))
            if sys.platform == "darwin":
                return connection.getsockopt(_DARWIN_SOL_LOCAL, _DARWIN_LOCAL_PEERPID)
            size = struct.calcsize("3i")
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            return int(struct.unpack("3i", credentials)[0])
    except OSError:
        return None


def claim_server_lock(data_dir: Path, socket_path: Path) -> int:
    """The locked descriptor of `server.lock`, which proves that no server is left on the folder.

    A dead keeper's server is on its way out; one that is not is told to go. Raises TimeoutError.
    """
    server_lock = open_lock(data_dir / SERVER_LOCK)
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        if try_lock(server_lock, fcntl.LOCK_EX):
            return server_lock
        if (pid := listener_pid(socket_path)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal_number)
        if lock_within(server_lock, fcntl.LOCK_EX, STOP_DEADLINE_S):
            return server_lock
    os.close(server_lock)
    raise TimeoutError("a former server on this folder does not end")


def last_words(log: Path, offset: int, exit_code: int) -> str:
    """Why the server ended: its warnings since `offset`, else its exit code."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(offset, os.fstat(file.fileno()).st_size - 65536))
        found = [_warning(line) for line in file.read().decode("utf-8", "replace").splitlines()]
        if words := [text for text in found if text]:
            return "; ".join(words[-3:])
    if exit_code < 0:
        return f"ended by {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"


def _warning(line: str) -> str:
    match = _LOG_LINE.match(line)
    if match is None:
        return line.strip()
    is_advice = match["text"].startswith("WARNING")
    return match["text"] if match["level"] == "#" and not is_advice else ""


@dataclass
class ServerKeeper:
    """Keeps one server on `data_dir` running for as long as `users.lock` has users."""

    binary: Path
    data_dir: Path
    socket_path: Path
    run: str
    _server: subprocess.Popen[bytes] | None = None
    _is_ready: bool = False
    _failed_starts: int = 0
    _short_lives: int = 0
    _started_s: float = 0.0
    _next_start_s: float = 0.0
    _log_offset: int = 0
    _prctl: ctypes.CDLL | None = None
    _pid: int = field(default_factory=os.getpid)

    def serve(self) -> int:
        """Run to the end; 0: no users were left (or another keeper lives), 1: gave up."""
        keeper_lock = open_lock(self.data_dir / KEEPER_LOCK)
        # A user that asks whether a keeper lives holds this lock for an instant: so, patience.
        if not lock_within(keeper_lock, fcntl.LOCK_EX, KEEPER_LOCK_DEADLINE_S):
            return 0
        if sys.platform == "linux":
            self._prctl = ctypes.CDLL(None, use_errno=True)
        users_lock = open_lock(self.data_dir / USERS_LOCK)
        try:
            return self._keep(users_lock, _wake_on_signals())
        except OSError as error:
            return self._give_up(str(error))
        finally:
            self._stop()
            # In this order: whoever gets users.lock next must not take us for alive.
            drop_lock(keeper_lock)
            drop_lock(users_lock)

    def _keep(self, users_lock: int, wakeup: int) -> int:
        while not try_lock(users_lock, fcntl.LOCK_EX):
            if self._server is not None and self._server.poll() is not None:
                reason = self._note_end(self._server)
                if self._failed_starts >= MOST_FAILED_STARTS:
                    return self._give_up(reason)
            if self._server is None:
                if time.monotonic() >= self._next_start_s:
                    self._start()
            elif not self._is_ready and ask(self.socket_path) is Answer.READY:
                self._is_ready, self._failed_starts = True, 0
                self._record("ready")
            select.select([wakeup], [], [], TICK_S)
            _drain(wakeup)
        return 0

    def _start(self) -> None:
        log = self.data_dir / LOG_FILE
        self._is_ready, self._started_s = False, time.monotonic()
        server_lock = claim_server_lock(self.data_dir, self.socket_path)
        try:
            for draft in self.data_dir.glob("temp-rewriteaof-*.aof"):
                draft.unlink()  # of a rewrite that its server's death cut short
            with log.open("ab") as output:
                self._log_offset = os.fstat(output.fileno()).st_size
                self._server = subprocess.Popen(
                    server_command(self.binary, self.data_dir, self.socket_path),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self.data_dir,
                    pass_fds=(server_lock,),
                    # Safe: this process has one thread.
                    preexec_fn=self._tie_to_keeper,  # noqa: PLW1509
                )
        finally:
            os.close(server_lock)

    def _tie_to_keeper(self) -> None:
        """In the child: be told to end when the keeper dies (Linux has this, macOS has not)."""
        if self._prctl is not None:
            self._prctl.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != self._pid:  # it died before we asked
                os._exit(1)

    def _note_end(self, server: subprocess.Popen[bytes]) -> str:
        """Book the server's end and when to start the next one; the reason in words."""
        self._server = None
        reason = last_words(self.data_dir / LOG_FILE, self._log_offset, server.returncode)
        self._failed_starts = 0 if self._is_ready else self._failed_starts + 1
        is_steady = time.monotonic() - self._started_s >= STEADY_AFTER_S
        self._short_lives = 0 if is_steady else self._short_lives + 1
        # 0, 0.1, 0.2, 0.4 ... seconds: the first death is made good at once.
        delay_s = 0.1 * 2 ** min(self._short_lives - 2, 10) if self._short_lives > 1 else 0.0
        self._next_start_s = time.monotonic() + min(delay_s, LONGEST_BACKOFF_S)
        _log(f"the server ended while in use: {reason}")
        return reason

    def _give_up(self, reason: str) -> int:
        _log(f"giving up: {reason}")
        self._record("failed", reason)
        return 1

    def _record(self, phase: str, reason: str = "") -> None:
        state = {
            "run": self.run,
            "socket": str(self.socket_path),
            "phase": phase,
            "reason": reason,
        }
        # A full disk must not cost the users their server.
        with contextlib.suppress(OSError):
            write_state(self.data_dir, state)

    def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.terminate()  # Valkey writes and syncs its append-only file on SIGTERM
            try:
                server.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        if self.socket_path.parent != self.data_dir:
            with contextlib.suppress(OSError):
                self.socket_path.parent.rmdir()


def _wake_on_signals() -> int:
    """A descriptor that turns readable when the server ends. SIGTERM, SIGINT and SIGHUP end
    nothing here: a stop sent to a whole group must leave the users a server to drain with."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A handler, not SIG_IGN: the server would inherit that.
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _drain(wakeup: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(wakeup, 4096)


def _log(text: str) -> None:
    stamp = time.strftime("%d %b %Y %H:%M:%S")
    with contextlib.suppress(OSError):
        os.write(2, f"{os.getpid()}:K {stamp} # {text}\n".encode())


def main(arguments: list[str]) -> int:
    """`embedded_keeper.py BINARY DATA_DIR SOCKET RUN`: detach, then keep the server."""
    binary, data_dir, socket_path, run = arguments
    # The user waits for this process only: the keeper is nobody's child to reap.
    if os.fork():
        os._exit(0)
    os.umask(0o077)
    return ServerKeeper(Path(binary), Path(data_dir), Path(socket_path), run).serve()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
