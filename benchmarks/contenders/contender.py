"""What a contender is to the harness."""

from abc import ABC, abstractmethod
from typing import ClassVar

from benchmarks.plan import Mode, Plan, Report
from benchmarks.watch import Watch


class Contender(ABC):
    """One way to do the work. `run` does it once, in processes of its own."""

    name: ClassVar[str]
    title: ClassVar[str]
    modes: ClassVar[frozenset[Mode]]
    needs_redis: ClassVar[bool]

    def prepare(self) -> None:
        """Install what it needs into the cache; called once, before any run."""

    @abstractmethod
    def run(self, plan: Plan, watch: Watch) -> Report:
        """Do what the plan says; `watch.begin()` and `watch.end()` enclose what counts.

        Processes are started by `watch.start`, so that they end with the run whatever happens.
        """
