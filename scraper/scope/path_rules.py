"""Include and exclude rules on the paths of a job's pages."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, cast

import re2

from scraper.scope.errors import InvalidPatternError
from scraper.scope.globs import glob_to_re2

INCLUDE_FIELD: Final = "includePaths"
EXCLUDE_FIELD: Final = "excludePaths"
_RE2_PREFIX: Final = "re:"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of a URL, and `rule`, the one that decided, as the user wrote it.

    `rule` is None for 'not_included': there it is the lack of a match that decides.
    """

    outcome: Literal["included", "excluded", "not_included"]
    rule: str | None


class _Expression(Protocol):
    def search(self, text: bytes) -> object | None: ...


class PathRules:
    """Globs ('/blog/**') and RE2 expressions ('re:^/p/[0-9]+$'); exclude wins over include.

    Globs are matched against the path, RE2 expressions are searched in path?query, both in
    canonical form. Many rules cost one match, and none can take more than linear time.
    Raises InvalidPatternError.
    """

    __slots__ = ("_exclude", "_include", "exclude", "include")

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self.include = tuple(include)
        self.exclude = tuple(exclude)
        self._include = _Alternation(INCLUDE_FIELD, self.include) if include else None
        self._exclude = _Alternation(EXCLUDE_FIELD, self.exclude) if exclude else None

    def refuse(self, url: str) -> Literal["excluded", "not_included"] | None:
        """Why the rules keep a canonical URL out; None when they let it in."""
        if self._exclude is None and self._include is None:
            return None
        target = _target(url)
        if self._exclude is not None and self._exclude.matches(target):
            return "excluded"
        if self._include is not None and not self._include.matches(target):
            return "not_included"
        return None

    def reason(self, url: str) -> Verdict | None:
        """The verdict on a canonical URL with the rule that decided; None when no rule spoke."""
        target = _target(url)
        if self._exclude is not None and (rule := self._exclude.first_match(target)) is not None:
            return Verdict("excluded", rule)
        if self._include is None:
            return None
        rule = self._include.first_match(target)
        return Verdict("included" if rule is not None else "not_included", rule)


class _Alternation:
    """Rules of one field as a single RE2 expression.

    Not an re2.Set: when its automaton outgrows its memory, a Set matches nothing without a word;
    a single expression falls back to a slower, still linear, automaton.
    """

    __slots__ = ("_combined", "_expressions", "_rules")

    def __init__(self, field: str, rules: tuple[str, ...]) -> None:
        self._rules = rules
        self._expressions = [_to_re2(field, rule) for rule in rules]
        try:
            self._combined = _compile("|".join(self._expressions))
        except re2.error as error:
            problem = f"the {len(rules)} rules together: {_message(error)}"
            raise InvalidPatternError(field, rules[0], problem) from None

    def matches(self, target: bytes) -> bool:
        return self._combined.search(target) is not None

    def first_match(self, target: bytes) -> str | None:
        for rule, expression in zip(self._rules, self._expressions, strict=True):
            if _compile(expression).search(target) is not None:
                return rule
        return None


def _to_re2(field: str, rule: str) -> str:
    """The rule as a checked RE2 expression in parentheses, fit for an alternation."""
    text = rule.strip()
    if not text.startswith(_RE2_PREFIX):
        try:
            return f"(?:{glob_to_re2(text)})"
        except ValueError as error:
            raise InvalidPatternError(field, rule, str(error)) from None
    expression = text.removeprefix(_RE2_PREFIX)
    if not expression:
        raise InvalidPatternError(field, rule, "nothing follows 're:'")
    if not expression.isascii():
        problem = "it is searched in the escaped URL: write 'é' as '%C3%A9'"
        raise InvalidPatternError(field, rule, problem)
    grouped = f"(?:{expression})"
    try:
        _compile(expression)
        _compile(grouped)  # fails where '\Q' without '\E' would swallow the rules behind it
    except re2.error as error:
        raise InvalidPatternError(field, rule, _message(error)) from None
    return grouped


def _compile(expression: str) -> _Expression:
    options = re2.Options()
    options.never_capture = True  # and so two rules may use one group name
    options.log_errors = False
    compiled = re2.compile(expression.encode(), options)  # type: ignore[no-untyped-call]
    return cast("_Expression", compiled)


def _message(error: Exception) -> str:
    fault = error.args[0]
    text = fault.decode(errors="replace") if isinstance(fault, bytes) else str(fault)
    hint = " (RE2 knows no look-around)" if re.search(r"\(\?<?[=!]", text) else ""
    return f"not an RE2 expression: {text}{hint}"


def _target(url: str) -> bytes:
    """path?query of a canonical URL: the first '/' behind 'http://' and a host."""
    return url[url.index("/", 8) :].encode()
