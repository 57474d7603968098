"""Job and page states, and which job may go where."""

from __future__ import annotations

import enum


class JobState(enum.StrEnum):
    """waiting -> active -> completed | failed | cancelled, with delayed and paused.

    WAITING: accepted, no page leased in this attempt. DELAYED: starts later, by its own delay or
    as a retry. PAUSED: by the user, keeps what it had. The last three are final.
    """

    WAITING = "waiting"
    DELAYED = "delayed"
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})

_END = {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}
# Filled in by the scripts in lua/; the conformance suite checks that no other step happens.
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    # Failed without having been active: a foreground job whose owner died, past its duration.
    JobState.WAITING: frozenset(
        {JobState.ACTIVE, JobState.PAUSED, JobState.CANCELLED, JobState.FAILED}
    ),
    JobState.DELAYED: frozenset(
        {JobState.WAITING, JobState.PAUSED, JobState.CANCELLED, JobState.FAILED}
    ),
    JobState.ACTIVE: frozenset({JobState.DELAYED, JobState.PAUSED} | _END),
    JobState.PAUSED: frozenset({JobState.WAITING, JobState.DELAYED, JobState.ACTIVE} | _END),
    JobState.COMPLETED: frozenset({JobState.WAITING}),
    JobState.FAILED: frozenset({JobState.WAITING}),
    JobState.CANCELLED: frozenset({JobState.WAITING}),
}


class PageState(enum.StrEnum):
    """The letter that stands first in a page's packed value."""

    QUEUED = "q"
    DELAYED = "w"
    LEASED = "l"
    DONE = "d"
    FAILED = "f"
    SKIPPED = "s"
    ALIAS = "a"
    LEFT = "o"
