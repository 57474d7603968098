"""What a robots.txt says to this crawler: may a URL be fetched, how slowly, by which line.

Protego parses and judges (RFC 9309: groups, wildcards, the longest match); its matching is linear
in the length of a URL, so that no pattern can hold up the worker.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from protego import Protego
from protego._utils import _quote_path

# RFC 9309 2.5: at least 500 KiB are parsed; what is behind that is ignored.
MAX_ROBOTS_BYTES = 500 * 1024

_TOKEN = re.compile(r"[A-Za-z_-]+")
_COMPATIBLE = re.compile(r"compatible;\s*([A-Za-z_-]+)")


def product_token(user_agent: str) -> str:
    """The name that robots.txt files call this crawler by (RFC 9309 2.2.1).

    `Name/1.0 (+https://…)` is Name; `Mozilla/5.0 (compatible; Name/1.0; …)` is Name, too.
    """
    match = _COMPATIBLE.search(user_agent) if user_agent.startswith("Mozilla/") else None
    if match:
        return match.group(1)
    match = _TOKEN.match(user_agent)
    return match.group() if match else "*"


def _with_whole_groups(text: str) -> str:
    """The file with other lines (Crawl-delay, ...) moved behind the user-agent lines around them.

    RFC 9309 2.2.4: they must not interfere with the groups; Protego ends the list of agents at one.
    """
    lines: list[str] = []
    others: list[str] = []
    for line in text.splitlines():
        name = line.partition(":")[0].strip().lower()
        if name == "user-agent":
            lines.append(line)
        elif name in ("allow", "disallow"):
            lines += [*others, line]
            others.clear()
        else:
            others.append(line)
    return "\n".join(lines + others)


def _crawl_delay_s(text: str, token: str) -> float:
    """Of the file as written: that of the agents named before it, not of those behind it."""
    if "delay" not in text.lower():
        return 0.0
    return Protego.parse(text).crawl_delay(token) or 0.0


class RobotsRules:
    """The parsed form of one file, as it counts for one crawler.

    `crawl_delay_s` is 0 where the file asks for none. `size_bytes` is the length of the text.
    """

    def __init__(self, text: str, token: str) -> None:
        self.size_bytes = len(text)
        self._token = token
        self._parsed = Protego.parse(_with_whole_groups(text))
        self.crawl_delay_s = _crawl_delay_s(text, token)
        # The group that counts. Protego has no public way to it, nor to the rule that decided: the
        # unit tests fail if an upgrade changes these names.
        self._group = self._parsed._get_matching_rule_set(token)
        self._has_rules = self._group is not None and bool(self._group._rules)

    def allows(self, url: str) -> bool:
        """Whether `url`, of this file's origin, may be fetched."""
        return not self._has_rules or self._parsed.can_fetch(url, self._token)

    def forbidding_line(self, url: str) -> str:
        """The line that forbids `url`, such as `Disallow: /private/`; "" when it is allowed."""
        if self._group is None or self.allows(url):
            return ""
        path = _quote_path(url)
        decisive = next(rule for rule in self._group._rules if rule.value.match(path))
        return f"Disallow: {unquote(decisive.value._pattern)}"
