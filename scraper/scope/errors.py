"""Errors of this package: what is wrong with a URL or a path rule, in one sentence."""

from typing import Final

from scraper.scope.reasons import UrlFault

_SHOWN_CHARS: Final = 200


class ScopeError(ValueError):
    """Root of this package's errors."""


class InvalidUrlError(ScopeError):
    """The text is not the URL of a page.

    `url` is the text as given, cut to 200 characters; `reason` the word it is counted under;
    `problem` says what is wrong.
    """

    def __init__(self, url: str, reason: UrlFault, problem: str) -> None:
        self.url = shortened(url)
        self.reason: UrlFault = reason
        self.problem = problem
        super().__init__(f"{self.url!r} is not the URL of a page: {problem}")


class InvalidPatternError(ScopeError):
    """A path rule cannot be used. `field` is the job's field, `pattern` the rule as given."""

    def __init__(self, field: str, pattern: str, problem: str) -> None:
        self.field = field
        self.pattern = shortened(pattern)
        self.problem = problem
        super().__init__(f"{field}: {self.pattern!r}: {problem}")


def shortened(text: str) -> str:
    """The text as it may be shown and kept: at most 200 characters, then an ellipsis."""
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
