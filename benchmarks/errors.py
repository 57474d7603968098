"""What can go wrong in a benchmark, said in one line."""


class BenchmarkError(Exception):
    """The root of this package's errors."""


class MissingProgramError(BenchmarkError):
    """A program that a run needs is not installed."""

    def __init__(self, program: str, package: str) -> None:
        super().__init__(f"{program} is not installed; on Debian: apt-get install {package}")


class WrongWorkError(BenchmarkError):
    """A contender did not do the work that was asked: its figures mean nothing."""

    def __init__(self, contender: str, what: str, expected: object, found: object) -> None:
        super().__init__(f"{contender}: {what} should be {expected}, not {found}")


class ContenderFailedError(BenchmarkError):
    """A contender's process ended badly or took too long; `log_tail` is its last output."""

    def __init__(self, contender: str, problem: str, log_tail: str) -> None:
        super().__init__(f"{contender}: {problem}\n{log_tail}")
