"""Recognises URLs of the kinds of which a site can have no end: by the URL alone.

Nothing here says that a URL is a trap. A suspicious one belongs to a shape, and a job takes a
bounded number of pages of each shape; paths and queries of a form that no real site has are
refused at once. Paths of usual depth without repetition have no shape, however many there are.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from scraper.scope.reasons import TrapReason

# More than this is refused; from the second figure on, pages of the shape are counted.
MAX_SEGMENTS: Final = 24
_DEEP_SEGMENTS: Final = 12
MAX_REPEATS: Final = 5
_MANY_REPEATS: Final = 3
MAX_PARAMETERS: Final = 24
_MANY_PARAMETERS: Final = 3
# How many pages of one shape, in multiples of the job's limit: a query of one or two parameters
# may well be a shop's or a forum's only way to name its pages.
_PLAIN_QUERY_FACTOR: Final = 10
_MAX_SESSIONS: Final = 3
_MAX_SHAPE_CHARS: Final = 120

_DATE_PATH = re.compile(r"/[12]\d{3}[/-](?:0?[1-9]|1[0-2])(?:[/-](?:[0-2]?\d|3[01]))?/?$")
_DATE_VALUE = re.compile(r"[12]\d{3}-(?:0[1-9]|1[0-2])(?:-(?:[0-2]\d|3[01]))?(?:T.*)?")
_DATE_NAMES: Final = frozenset(
    ("year", "yr", "month", "mon", "day", "date", "week", "start_date", "end_date")
)
_PAGE_NAMES: Final = frozenset(("page", "p", "pg", "paged", "start", "offset", "skip"))
_SESSION_NAME = re.compile(
    r"(?:.*[_-])?s{1,2}id|.*sess(?:ion)?(?:[_-]?id)?|.*(?:nonce|csrf|cachebuster).*|_",
    re.IGNORECASE,
)
# Letters and digits mixed, or long: not the plain number of a story or a shop.
_TOKEN_VALUE = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9._~-]{8,}|[A-Za-z0-9]{20,}")
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A URL is of a shape that may have no end.

    `shape` is the same for all of the kind, without blanks. `factor`: of the job's limit so many
    times; `most`: never more pages than that.
    """

    reason: TrapReason
    shape: str
    factor: int = 1
    most: int | None = None

    def limit(self, max_pages_per_shape: int) -> int:
        """How many pages of this shape a job takes."""
        limit = self.factor * max_pages_per_shape
        return limit if self.most is None else min(limit, self.most)


def refuse_endless(url: str) -> TrapReason | None:
    """Why a canonical URL cannot be a real page: a path or a query of absurd length."""
    path, _, query = url.partition("?")
    if query.count("&") >= MAX_PARAMETERS:
        return "trap_query"
    slashes = path.count("/") - 2
    if slashes <= MAX_REPEATS:
        return None
    segments = _segments(path)
    if len(segments) > MAX_SEGMENTS or _most_repeated(segments) > MAX_REPEATS:
        return "trap_path"
    return None


def suspect(url: str) -> Suspicion | None:
    """The shape of a canonical URL; None for an ordinary one."""
    path, _, query = url.partition("?")
    if path.count("/") - 2 >= _MANY_REPEATS:
        segments = _segments(path)
        if len(segments) > _DEEP_SEGMENTS or _most_repeated(segments) >= _MANY_REPEATS:
            return Suspicion("trap_path", _shape("deep", _host(path), *segments[:1]))
    if not query:
        if _DATE_PATH.search(path):
            return Suspicion("trap_calendar", _shape("date", _DIGITS.sub("0", path)))
        return None
    return _suspect_query(path, [part.partition("=")[::2] for part in query.split("&")])


def _suspect_query(path: str, parameters: list[tuple[str, str]]) -> Suspicion:
    sessions = [name for name, value in parameters if _is_session(name, value)]
    if sessions:
        rest = [f"{name}={value}" for name, value in parameters if name not in sessions]
        shape = _shape("session", path, *sorted(rest))
        return Suspicion("trap_session", shape, most=_MAX_SESSIONS)
    names = sorted({name for name, _ in parameters})
    general = _DIGITS.sub("0", path)
    if _DATE_PATH.search(path) or any(_is_date(name, value) for name, value in parameters):
        return Suspicion("trap_calendar", _shape("date", general, *names))
    if len(parameters) >= _MANY_PARAMETERS:
        return Suspicion("trap_query", _shape("query", general))
    rest = [f"{name}={value}" for name, value in parameters if name.lower() not in _PAGE_NAMES]
    if len(rest) < len(parameters):
        return Suspicion("trap_query", _shape("page", path, *sorted(rest)))
    return Suspicion("trap_query", _shape("query", general, *names), _PLAIN_QUERY_FACTOR)


def _is_session(name: str, value: str) -> bool:
    return bool(_SESSION_NAME.fullmatch(name) and (name == "_" or _TOKEN_VALUE.fullmatch(value)))


def _is_date(name: str, value: str) -> bool:
    return name.lower() in _DATE_NAMES or _DATE_VALUE.fullmatch(value) is not None


def _host(path: str) -> str:
    return path.split("/", 3)[2]


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/")[3:] if segment]


def _most_repeated(segments: list[str]) -> int:
    if len(set(segments)) == len(segments):
        return 0
    return Counter(segments).most_common(1)[0][1]


def _shape(*parts: str) -> str:
    text = "|".join(parts)
    if len(text) <= _MAX_SHAPE_CHARS:
        return text
    return text[:60] + hashlib.sha256(text.encode(), usedforsecurity=False).hexdigest()[:32]
