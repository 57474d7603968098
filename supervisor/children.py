"""Bookkeeping of worker slots: what was started, what became of it. No system calls, no clock."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from scraper.board import Board
from scraper.jobs import JobsError
from scraper.jobs.suggest import did_you_mean
from supervisor.exits import WorkerExit


class UnknownWorkerError(JobsError):
    """No worker of this supervisor has that id."""

    def __init__(self, worker_id: str, known: list[str]) -> None:
        hint = did_you_mean(worker_id, known, "there are")
        super().__init__(f"there is no worker {worker_id!r} here; {hint}")


class SlotState(enum.StrEnum):
    """`starting`: its process runs but has not asked for work yet. `dead`: nothing runs and none
    is on its way: not yet started, given up, or retired."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    DEAD = "dead"
    BACKING_OFF = "backing-off"


class StopReason(enum.StrEnum):
    """Why a worker was asked to stop. `overdue`: it handles a page of a job that has ended."""

    SHUTDOWN = "shutdown"
    RETIRE = "retire"
    RESTART = "restart"
    RECYCLE = "recycle"
    OVERDUE = "overdue"


@dataclass(frozen=True, slots=True)
class Doom:
    """Why the supervisor killed a worker that was not asked to stop, and whether the pages that it
    was handling may be to blame."""

    cause: str
    blames_pages: bool


@dataclass(frozen=True, slots=True)
class RestartHistory:
    """Deaths in a row without a healthy time between; when those of the last minutes were."""

    failures: int = 0
    deaths_s: tuple[float, ...] = ()


@dataclass(slots=True, eq=False)
class Slot:
    """A worker's place; it survives restarts. Times are monotonic seconds.

    `instance` is the name of the current or last process (`<supervisor>/worker-1#<incarnation>`).
    `board`: what that process shows of itself, also after its end; None before the first one.
    `trouble`: it died so often that it is left alone for a while; "" when it is not.
    `doom`: set when the supervisor killed it. `memory_peak_bytes`: the most that was seen of it.
    `failure`: why it is not started again. `kill_at_s`: when a stopping worker is killed.
    """

    name: str
    is_wanted: bool = True
    state: SlotState = SlotState.DEAD
    instance: str = ""
    pid: int | None = None
    board: Board | None = None
    trouble: str = ""
    doom: Doom | None = None
    memory_peak_bytes: int = 0
    started_s: float = 0.0
    start_at_s: float = 0.0
    kill_at_s: float | None = None
    stop_reason: StopReason | None = None
    incarnations: int = 0
    last_exit: WorkerExit | None = None
    failure: str | None = None
    history: RestartHistory = field(default_factory=RestartHistory)

    @property
    def is_alive(self) -> bool:
        """Whether a process of it runs."""
        return self.state in (SlotState.STARTING, SlotState.RUNNING, SlotState.STOPPING)

    @property
    def restarts(self) -> int:
        return max(0, self.incarnations - 1)


class Children:
    """The slots of one supervisor: worker-1, worker-2, ..."""

    def __init__(self, supervisor: str) -> None:
        self.supervisor = supervisor
        self._slots: dict[int, Slot] = {}
        self.count = 0

    @property
    def slots(self) -> list[Slot]:
        """By number; retiring ones are among them until they have ended."""
        return [self._slots[number] for number in sorted(self._slots)]

    @property
    def wanted(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.is_wanted]

    @property
    def alive(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.is_alive]

    @property
    def hopeless(self) -> str:
        """Why no wanted worker is started again; "" while one may."""
        failures = [slot.failure for slot in self.wanted]
        return failures[0] or "" if failures and all(failures) else ""

    def in_state(self, state: SlotState) -> list[Slot]:
        return [slot for slot in self.slots if slot.state is state]

    def resize(self, count: int) -> None:
        """Want the slots 1 to `count`; a slot that is wanted again keeps its history."""
        self.count = count
        for number in range(1, count + 1):
            slot = self._slots.setdefault(number, Slot(f"{self.supervisor}/worker-{number}"))
            slot.is_wanted = True
        for number, slot in list(self._slots.items()):
            if number > count:
                slot.is_wanted = False
                self._forget(slot)

    def add_spare(self) -> Slot:
        """Want one more, beside those that `resize` said, until `remove_spares` or `resize`."""
        number = max(self._slots, default=0) + 1
        spare = self._slots[number] = Slot(f"{self.supervisor}/worker-{number}")
        return spare

    def remove_spares(self) -> None:
        """Want as many as `resize` said last."""
        self.resize(self.count)

    def find(self, worker_id: str) -> Slot:
        """By `<supervisor>/worker-1` or `worker-1`. Raises UnknownWorkerError."""
        for slot in self.slots:
            if worker_id in (slot.name, slot.name.removeprefix(f"{self.supervisor}/")):
                return slot
        raise UnknownWorkerError(worker_id, [slot.name for slot in self.slots])

    def started(
        self, slot: Slot, instance: str, pid: int, now_s: float, board: Board | None = None
    ) -> None:
        """A process of the slot runs."""
        slot.state, slot.instance, slot.pid = SlotState.STARTING, instance, pid
        slot.board, slot.doom, slot.memory_peak_bytes = board, None, 0
        slot.started_s = now_s
        slot.incarnations += 1
        slot.kill_at_s = slot.stop_reason = None

    def ready(self, instances: set[str]) -> list[Slot]:
        """Those of the starting workers that have been heard of: they run."""
        slots = [slot for slot in self.in_state(SlotState.STARTING) if slot.instance in instances]
        for slot in slots:
            slot.state, slot.trouble = SlotState.RUNNING, ""
        return slots

    def stopping(self, slot: Slot, reason: StopReason, kill_at_s: float) -> None:
        """It was asked to stop; asked twice, the earlier deadline holds."""
        known_s = slot.kill_at_s if slot.state is SlotState.STOPPING else None
        slot.state, slot.stop_reason = SlotState.STOPPING, reason
        slot.kill_at_s = kill_at_s if known_s is None else min(known_s, kill_at_s)

    def exited(self, slot: Slot, ending: WorkerExit, now_s: float) -> None:
        """Its process is gone. It may start at once until `backing_off` says otherwise."""
        slot.state, slot.pid, slot.last_exit = SlotState.DEAD, None, ending
        slot.kill_at_s, slot.start_at_s = None, now_s
        self._forget(slot)

    def backing_off(self, slot: Slot, until_s: float, history: RestartHistory) -> None:
        slot.state, slot.start_at_s, slot.history = SlotState.BACKING_OFF, until_s, history

    def gave_up(self, slot: Slot, reason: str) -> None:
        """It is not started again."""
        slot.state, slot.failure = SlotState.DEAD, reason

    def renewed(self, slot: Slot) -> None:
        """Somebody asked for a restart: whatever failed before may work now."""
        slot.failure, slot.start_at_s, slot.history = None, 0.0, RestartHistory()
        if slot.state is SlotState.BACKING_OFF:
            slot.state = SlotState.DEAD

    def _forget(self, slot: Slot) -> None:
        if not slot.is_wanted and not slot.is_alive:
            self._slots = {n: known for n, known in self._slots.items() if known is not slot}
