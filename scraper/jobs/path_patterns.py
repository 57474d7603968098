"""Checks includePaths and excludePaths when the job is submitted, not when it first runs.

The patterns mean what `scraper.scope` says; this keeps out what it would refuse. RE2 takes linear
time, but a program of a few bytes can be long: `\\pL` is 1,200 instructions. So the patterns of a
field have a budget, and one field takes at most some tens of milliseconds to check.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import re2

from scraper.jobs.faults import fault_error, shown

MAX_PATTERNS = 100
MAX_PATTERN_CHARS = 1_000
_RE2_PREFIX = "re:"
# In RE2 instructions. The worker joins a field's patterns into one program; RE2 allows it 349,000.
_BUDGET = 200_000
_MAX_MEM_BYTES = 512 * 1024
_COST_OF_STAR, _COST_OF_ANY_CHAR, _COST_OF_NON_ASCII, _COST_OF_PATTERN = 9, 54, 12, 16


def check_patterns(value: object) -> tuple[str, ...]:
    """The patterns of a field: a list, or one text. Raises a fault that names the first bad one."""
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, list | tuple):
        raise fault_error(f"is {shown(value)}", 'give a list of patterns, such as ["/blog/**"]')
    if len(patterns) > MAX_PATTERNS:
        raise fault_error(f"has {len(patterns):,} patterns", f"give at most {MAX_PATTERNS}")
    cost = 0
    for pattern in patterns:
        cost += _checked_cost(pattern)
        if cost > _BUDGET:
            raise fault_error("has patterns that are too complex together", "use fewer wildcards")
    return tuple(cast("Sequence[str]", patterns))


def _checked_cost(pattern: object) -> int:
    if not isinstance(pattern, str):
        problem = f"has {shown(pattern)} in it"
        raise fault_error(problem, "give each pattern as a text in quotes")
    if len(pattern) > MAX_PATTERN_CHARS:
        problem = f"has a pattern that is too long ({len(pattern):,} characters)"
        raise fault_error(problem, f"give at most {MAX_PATTERN_CHARS:,}")
    text = pattern.strip()
    if text.startswith(_RE2_PREFIX):
        return _expression_cost(pattern, text.removeprefix(_RE2_PREFIX))
    return _glob_cost(pattern, text)


def _glob_cost(pattern: str, text: str) -> int:
    problem = f"has the pattern {shown(pattern)}"
    if not text:
        raise fault_error("has an empty pattern", "remove it, or write a path such as /blog/**")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|//", text):
        raise fault_error(problem, "a pattern begins after the host: write /blog/**")
    if "\\" in text:
        raise fault_error(problem, "globs know no backslash: write re: and an RE2 expression")
    non_ascii = 0 if text.isascii() else sum(not char.isascii() for char in text)
    return (
        _COST_OF_PATTERN
        + len(text)
        + _COST_OF_STAR * text.count("*")
        + _COST_OF_ANY_CHAR * text.count("?")
        + _COST_OF_NON_ASCII * non_ascii
    )


def _expression_cost(pattern: str, expression: str) -> int:
    problem = f"has the pattern {shown(pattern)}"
    if not expression:
        raise fault_error(problem, "write an RE2 expression behind re:")
    if not expression.isascii():
        raise fault_error(problem, "it is matched with the escaped URL: write %C3%A9 for é")
    try:
        cost = _program_size(expression)
        # Fails where `\Q` without `\E` would swallow the pattern behind it.
        return max(cost, _program_size(f"(?:{expression})")) + _COST_OF_PATTERN
    except re2.error as error:
        raise fault_error(problem, _reason(error, expression)) from None


# Many jobs have the same patterns.
@lru_cache(maxsize=1_024)
def _program_size(expression: str) -> int:
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    options.max_mem = _MAX_MEM_BYTES
    compiled = re2.compile(expression.encode(), options)  # type: ignore[no-untyped-call]
    return int(compiled.programsize)


def _reason(error: Exception, expression: str) -> str:
    given = error.args[0]
    text = given.decode(errors="replace") if isinstance(given, bytes) else str(given)
    if re.search(r"\(\?<?[=!]", expression):
        return "RE2 has no look-ahead and no look-behind: write it without"
    if re.search(r"\\[1-9]", expression):
        return "RE2 has no back-references: write it without"
    if "too large" in text or "too big" in text:
        return "it is too complex: write it with less repetition"
    return f"it is no RE2 expression ({text})"
