"""Keeps the wanted workers running: observe, decide, act."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import structlog

from scraper.iso_time import iso_now
from scraper.jobs import JobsError
from scraper.jobs.leases import WorkerDeath
from supervisor.children import Children, Doom, Slot, SlotState, StopReason
from supervisor.events import Event, ForceShutdown, WorkerClosed, WorkerError, WorkerReady
from supervisor.exits import WorkerExit
from supervisor.oom import OomKills
from supervisor.policy import (
    Action,
    Death,
    GiveUp,
    Kill,
    OpenBreaker,
    RestartPolicy,
    Start,
    blames_pages,
    decide,
    fleet_deaths_s,
    next_moment_s,
)
from supervisor.process import WorkerLauncher, WorkerProcess
from supervisor.registry import WorkerRegistry

log = structlog.get_logger(__name__)

# The worker ends by itself when its drain time is over; this is what its last calls may take.
KILL_AFTER_DRAIN_S = 4.0
GREETING_EVERY_S = 0.1


class RestartError(JobsError):
    """A worker was to be replaced, and the new one does not run."""

    def __init__(self, slot: Slot) -> None:
        reason = slot.failure or str(slot.last_exit)
        super().__init__(
            f"the new {slot.name} does not start: it {reason}; the other workers go on as they are"
        )


class FleetLoop:
    """Starts, stops, kills and restarts workers until `children` is as wanted.

    `run` and `greet` are its two duties; whoever changes what is wanted calls `wake`.
    """

    def __init__(
        self,
        children: Children,
        launcher: WorkerLauncher,
        registry: WorkerRegistry,
        *,
        policy: RestartPolicy,
        publish: Callable[[Event], object],
        drain_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.children = children
        self._launcher = launcher
        self._registry = registry
        self._policy = policy
        self._publish = publish
        self._drain_timeout_s = drain_timeout_s
        self._clock = clock
        self.oom_kills = OomKills()
        self._processes: dict[Slot, WorkerProcess] = {}
        self._watchers: set[asyncio.Task[None]] = set()
        self._ended: deque[tuple[Slot, WorkerExit]] = deque()
        self._wakened = asyncio.Event()
        self._changed = asyncio.Event()
        self.is_shutting_down = False
        self._is_forced = False

    # -- what others ask ------------------------------------------------------------------

    def resize(self, count: int) -> None:
        """Want `count` workers from now on; those too many drain."""
        self.children.resize(count)
        self._wake()

    def shut_down(self) -> None:
        """Drain all workers and start none."""
        self.is_shutting_down = True
        self.resize(0)

    def force(self, reason: str = "") -> None:
        """Kill all workers now; their leases go back all the same. `reason` is for the event, ""
        for none."""
        for slot in self.children.alive:
            self.children.stopping(slot, StopReason.SHUTDOWN, self._clock())
        if reason:
            self._announce_force(reason)
        self._wake()

    async def restart(self, worker_id: str) -> None:
        """Drain a worker and start its slot anew; returns when the new one is ready, has died, or
        is no longer wanted. A lone worker is stood in for.

        Raises UnknownWorkerError, RestartError when nobody can stand in: it goes on then.
        """
        slot = self.children.find(worker_id)
        self.children.renewed(slot)
        async with self._stand_in_for(slot):
            await self._replace(slot, StopReason.RESTART)

    async def recycle(self, slot: Slot, *, has_room: bool) -> bool:
        """The same before a worker does harm; whether a new process is ready. `has_room` False:
        a lone worker is not stood in for. Raises RestartError."""
        async with contextlib.AsyncExitStack() as until_ready:
            if has_room:
                await until_ready.enter_async_context(self._stand_in_for(slot))
            await self._replace(slot, StopReason.RECYCLE)
        return slot.state is SlotState.RUNNING

    def kill(self, slot: Slot, reason: str, *, blames_pages: bool = True) -> None:
        """End a worker now. That is a death like one by itself; `reason` is a sentence's end, such
        as "uses too much". `blames_pages`: those that it is handling may have brought it there."""
        process = self._processes.get(slot)
        if process is not None:
            log.error("worker is killed", worker=slot.name, pid=slot.pid, reason=reason)
            slot.doom = Doom(reason, blames_pages)
            process.kill()

    async def restart_all(self) -> None:
        """Restart the workers one after another. Raises RestartError at the first one that does
        not come up again: the rest goes on."""
        for slot in self.children.wanted:
            if slot.is_wanted:
                await self.restart(slot.name)
            if slot.is_wanted and slot.state is not SlotState.RUNNING and not self.is_shutting_down:
                raise RestartError(slot)

    @contextlib.asynccontextmanager
    async def _stand_in_for(self, slot: Slot) -> AsyncIterator[None]:
        """While `slot` has no worker, another one works: a spare where there is none. Raises
        RestartError when that one does not come up."""
        running = [other for other in self.children.in_state(SlotState.RUNNING) if other.is_wanted]
        if running != [slot] or self.is_shutting_down:
            yield
            return
        spare = self.children.add_spare()
        self._wake()
        try:
            await self.until(
                lambda: (
                    not spare.is_wanted
                    or spare.failure is not None
                    or spare.state in (SlotState.RUNNING, SlotState.BACKING_OFF)
                )
            )
            if spare.is_wanted and spare.state is not SlotState.RUNNING:
                raise RestartError(spare)
            yield
        finally:
            self.children.remove_spares()
            self._wake()

    async def _replace(self, slot: Slot, reason: StopReason) -> None:
        before = slot.incarnations
        if slot.is_alive and slot.state is not SlotState.STOPPING:
            self._stop(slot, reason)
        self._wake()
        await self.until(
            lambda: (
                not slot.is_wanted
                or slot.failure is not None
                or slot.state is SlotState.BACKING_OFF
                or (slot.incarnations > before and slot.state is not SlotState.STARTING)
            )
        )

    def replace(self, slot: Slot, reason: StopReason) -> None:
        """Drain a running worker; its slot starts anew when it has ended."""
        self._stop(slot, reason)
        self._wake()

    def dump_stacks(self, slot: Slot) -> None:
        """Have a worker write the stacks of its threads to its log, even when it is stuck."""
        self._processes[slot].dump_stacks()

    def dump_all_stacks(self) -> None:
        """The same of each worker that has come up."""
        for slot in self.children.in_state(SlotState.RUNNING):
            self.dump_stacks(slot)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for a state of `children`."""
        while not is_so():
            await self._changed.wait()

    # -- duties ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Observe, decide, act, until cancelled."""
        while True:
            self._wakened.clear()
            while self._ended:
                self._observe_end(*self._ended.popleft())
            for action in decide(self.children.slots, self._clock()):
                await self._act(action)
            self._pulse()
            await self._wait()

    async def greet(self) -> None:
        """Notice, until cancelled, when a started worker asks for work for the first time."""
        while True:
            await self.until(lambda: bool(self.children.in_state(SlotState.STARTING)))
            known = await self._registry.known_instances()
            for slot in self.children.ready(known or set()):
                log.debug("worker is ready", worker=slot.name)
                self._publish(WorkerReady(worker_id=slot.name))
            self._pulse()
            await asyncio.sleep(GREETING_EVERY_S)

    # -- observe --------------------------------------------------------------------------

    async def _watch(self, slot: Slot, process: WorkerProcess) -> None:
        ending = await process.wait()
        self._ended.append((slot, ending))
        self._wake()

    def _observe_end(self, slot: Slot, ending: WorkerExit) -> None:
        state, now_s = slot.state, self._clock()
        del self._processes[slot]
        ending = self._explained(slot, ending)
        self._bury(slot, ending)
        self.children.exited(slot, ending, now_s)
        if state is SlotState.STOPPING:
            log.info("worker closed", worker=slot.name, reason=slot.stop_reason, end=str(ending))
            self._publish(WorkerClosed(worker_id=slot.name))
        else:
            self._judge(slot, ending, now_s, was_ready=state is SlotState.RUNNING)

    def _explained(self, slot: Slot, ending: WorkerExit) -> WorkerExit:
        """With what is known beside the exit status."""
        if slot.doom is not None:
            return replace(ending, cause=slot.doom.cause)
        if ending.is_strange_kill:
            return replace(ending, is_out_of_memory=self.oom_kills.was_just_now)
        words = slot.board.words if slot.board and ending.code else ""
        return replace(ending, cause=words)

    def _bury(self, slot: Slot, ending: WorkerExit) -> None:
        begun = slot.board.begun() if slot.board else []
        if not begun or not blames_pages(slot.state, ending, slot.doom):
            self._registry.bury([slot.instance])
            return
        evidence = {
            "at": iso_now(),
            "exit": str(ending),
            "code": ending.code,
            "workerId": slot.name,
            "memoryPeakBytes": slot.memory_peak_bytes,
        }
        self._registry.bury_suspects(
            WorkerDeath(slot.instance, json.dumps(evidence), [page.token for page in begun])
        )

    def _judge(self, slot: Slot, ending: WorkerExit, now_s: float, *, was_ready: bool) -> None:
        lived_s = now_s - slot.started_s
        death = Death(now_s, lived_s, was_ready, ending, self._registry.is_reachable)
        fleet_s = fleet_deaths_s(self.children.slots)
        verdict = self._policy.judge(slot.history, death, fleet_s)
        if isinstance(verdict, GiveUp):
            self.children.gave_up(slot, verdict.reason)
            log.error("worker is not started again", worker=slot.name, reason=verdict.reason)
            self._publish(WorkerError(worker_id=slot.name, error=verdict.reason))
            return
        error, pause_s = str(ending), 0.0
        if isinstance(verdict, OpenBreaker):
            slot.trouble = error = f"{ending}; {verdict.why}"
            pause_s = verdict.pause_s
        else:
            pause_s = verdict.delay_s
        self.children.backing_off(slot, now_s + pause_s, verdict.history)
        log.warning(
            "worker died", worker=slot.name, error=error, lived_s=round(lived_s, 1),
            restart_in_s=round(pause_s, 2),
        )  # fmt: skip
        self._publish(WorkerError(worker_id=slot.name, error=error, restart_in_s=pause_s))

    # -- act ------------------------------------------------------------------------------

    async def _act(self, action: Action) -> None:
        if isinstance(action, Start):
            await self._start(action.slot)
        elif isinstance(action, Kill):
            self._kill(action.slot)
        else:
            self._stop(action.slot, action.reason)

    async def _start(self, slot: Slot) -> None:
        if slot not in self.children.wanted:
            # The fleet was made smaller while another worker was started.
            return
        instance, now_s = f"{slot.name}#{secrets.token_hex(4)}", self._clock()
        try:
            process = await self._launcher.spawn(instance)
        except OSError as error:
            slot.started_s = now_s
            ending = WorkerExit(None, problem=str(error))
            self.children.exited(slot, ending, now_s)
            self._judge(slot, ending, now_s, was_ready=False)
            return
        self._processes[slot] = process
        self.children.started(slot, instance, process.pid, now_s, process.board)
        watcher = asyncio.create_task(self._watch(slot, process), name=f"watch {instance}")
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        log.debug("worker started", worker=slot.name, pid=process.pid, incarnation=instance)

    def _stop(self, slot: Slot, reason: StopReason) -> None:
        if self.is_shutting_down:
            reason = StopReason.SHUTDOWN
        kill_at_s = self._clock() + self._drain_timeout_s + KILL_AFTER_DRAIN_S
        self.children.stopping(slot, reason, kill_at_s)
        self._processes[slot].drain()

    def _kill(self, slot: Slot) -> None:
        slot.kill_at_s = None
        if self.is_shutting_down:
            self._announce_force("the drain time is over")
        log.warning("worker is killed", worker=slot.name, pid=slot.pid)
        self._processes[slot].kill()

    def _announce_force(self, reason: str) -> None:
        if not self._is_forced:
            self._is_forced = True
            self._publish(ForceShutdown(reason=reason))

    # -- waiting --------------------------------------------------------------------------

    def _wake(self) -> None:
        self._wakened.set()

    def _pulse(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait(self) -> None:
        moment_s = next_moment_s(self.children.slots)
        delay_s = None if moment_s is None else max(0.0, moment_s - self._clock())
        try:
            async with asyncio.timeout(delay_s):
                await self._wakened.wait()
        except TimeoutError:
            pass
