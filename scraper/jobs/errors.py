"""The root of every error that `scraper.jobs` raises, and the ones for jobs that do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class JobsError(Exception):
    """Anything that a caller of `scraper.jobs` may want to catch as one."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one field, and what to do. `field` "" means the whole job."""

    field: str
    problem: str
    hint: str

    def __str__(self) -> str:
        subject = f"{self.field} " if self.field else ""
        return f"{subject}{self.problem}: {self.hint}"


class InvalidJobError(JobsError):
    """The job does not validate; `faults` names all that is wrong with it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, faults)))


class UnreadableJobError(JobsError):
    """A job in Redis that this version cannot read."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"the stored job {problem}: was it written by a newer version?")
