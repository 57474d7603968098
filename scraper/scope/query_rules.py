"""Which part of a query names a page: what only tracks visitors is left out, the rest is sorted."""

import re
from collections.abc import Sequence
from typing import Final

_SESSION_IN_PATH = re.compile(r";jsessionid=[^/?;]*", re.IGNORECASE)


class QueryRules:
    """Which parameters of a URL's query count.

    `ignored` are names, in any case; one that ends in '*' stands for all that begin so. With
    'jsessionid' among them ';jsessionid=...' in paths is left out, too. `ignores_all` drops whole
    queries. `sorts` puts the parameters in the order of their names; those of one name keep theirs.
    """

    __slots__ = ("_names", "_prefixes", "_sorts", "ignores_all")

    def __init__(
        self, ignored: Sequence[str] = (), *, ignores_all: bool = False, sorts: bool = False
    ) -> None:
        lowered = [name.lower() for name in ignored]
        self._names = frozenset(name for name in lowered if not name.endswith("*"))
        self._prefixes = tuple(name[:-1] for name in lowered if name.endswith("*"))
        self._sorts = sorts
        self.ignores_all = ignores_all

    def tidy(self, url: str) -> str:
        """A canonical URL without what does not count; canonical again. Idempotent."""
        if ";" in url and "jsessionid" in self._names:
            path, question_mark, query = url.partition("?")
            url = _SESSION_IN_PATH.sub("", path) + question_mark + query
        if "?" not in url:
            return url
        path, _, query = url.partition("?")
        if self.ignores_all:
            return path
        if not self._sorts and not self._names and not self._prefixes:
            return url
        parts = [part for part in query.split("&") if part and not self._is_ignored(part)]
        if self._sorts:
            parts.sort(key=_name_of)
        return f"{path}?{'&'.join(parts)}" if parts else path

    def _is_ignored(self, part: str) -> bool:
        name = _name_of(part).lower()
        return name in self._names or name.startswith(self._prefixes)


KEEP_QUERIES: Final = QueryRules()


def _name_of(part: str) -> str:
    return part.partition("=")[0]
