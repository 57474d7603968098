"""Bookkeeping of slots: pure."""

from __future__ import annotations

import pytest

from supervisor.children import Children, SlotState, StopReason, UnknownWorkerError
from supervisor.exits import WorkerExit


def fleet(count: int) -> Children:
    children = Children("here")
    children.resize(count)
    for number, slot in enumerate(children.slots, 1):
        children.started(slot, f"{slot.name}#{number}", 100 + number, 0.0)
    return children


def names(children: Children) -> list[str]:
    return [slot.name for slot in children.slots]


def test_slots_are_numbered_from_one_within_the_supervisor() -> None:
    assert names(fleet(3)) == ["here/worker-1", "here/worker-2", "here/worker-3"]


def test_a_worker_is_found_by_both_its_names_and_a_typo_is_answered() -> None:
    children = fleet(2)
    assert children.find("worker-2") is children.find("here/worker-2")
    with pytest.raises(UnknownWorkerError, match=r"did you mean here/worker-2"):
        children.find("here/wroker-2")
    with pytest.raises(UnknownWorkerError):
        children.find("there/worker-1")


def test_a_worker_is_running_once_it_was_heard_of_under_its_incarnation() -> None:
    children = fleet(2)
    assert children.ready({"here/worker-1#old", "here/worker-2#2"}) == [children.find("worker-2")]
    assert children.find("worker-1").state is SlotState.STARTING
    assert children.ready({"here/worker-2#2"}) == []


def test_retiring_workers_stay_until_they_have_ended() -> None:
    children = fleet(3)
    children.resize(1)
    assert len(children.wanted) == 1
    assert len(children.slots) == 3
    children.exited(children.find("worker-3"), WorkerExit(0), 1.0)
    assert names(children) == ["here/worker-1", "here/worker-2"]


def test_a_slot_that_does_not_run_is_forgotten_at_once() -> None:
    children = Children("here")
    children.resize(4)
    children.resize(1)
    assert names(children) == ["here/worker-1"]


def test_a_retiring_worker_that_is_wanted_again_keeps_its_place() -> None:
    children = fleet(2)
    second = children.find("worker-2")
    children.resize(1)
    children.stopping(second, StopReason.RETIRE, 25.0)
    children.resize(2)
    children.exited(second, WorkerExit(0), 3.0)
    assert children.find("worker-2") is second
    assert (second.state, second.start_at_s) == (SlotState.DEAD, 3.0)


def test_a_second_stop_does_not_put_the_deadline_off() -> None:
    children = fleet(1)
    [slot] = children.slots
    children.stopping(slot, StopReason.RESTART, 25.0)
    children.stopping(slot, StopReason.SHUTDOWN, 40.0)
    assert slot.kill_at_s == 25.0
    children.stopping(slot, StopReason.SHUTDOWN, 3.0)
    assert slot.kill_at_s == 3.0


def test_restarts_count_from_the_second_process_on() -> None:
    children = fleet(1)
    [slot] = children.slots
    assert slot.restarts == 0
    children.exited(slot, WorkerExit(-9), 1.0)
    children.started(slot, "here/worker-1#b", 200, 2.0)
    assert (slot.restarts, slot.pid, str(slot.last_exit)) == (
        1, 200, "killed by SIGKILL (out of memory?)",
    )  # fmt: skip


def test_a_fleet_is_hopeless_only_when_every_wanted_slot_gave_up() -> None:
    children = fleet(2)
    first, second = children.slots
    children.gave_up(first, "wrong settings")
    assert children.hopeless == ""
    children.gave_up(second, "wrong settings")
    assert children.hopeless == "wrong settings"
    children.renewed(first)
    assert children.hopeless == ""


def test_a_spare_is_wanted_until_it_is_removed_and_counts_for_nothing_else() -> None:
    children = Children("s")
    children.resize(1)
    [first] = children.slots
    children.started(first, "s/worker-1#a", 1, 0.0)
    spare = children.add_spare()
    children.started(spare, f"{spare.name}#a", 2, 0.0)
    assert (spare.name, [slot.name for slot in children.wanted]) == (
        "s/worker-2", ["s/worker-1", "s/worker-2"],
    )  # fmt: skip
    assert children.count == 1
    children.remove_spares()
    assert [slot.name for slot in children.wanted] == ["s/worker-1"]
    # It is among the slots until it has drained.
    assert spare in children.slots


def test_a_spare_that_the_fleet_grew_over_stays() -> None:
    children = Children("s")
    children.resize(1)
    spare = children.add_spare()
    children.resize(2)
    children.remove_spares()
    assert children.wanted[1] is spare
