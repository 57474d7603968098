"""Which URLs belong to a job: its site, its path rules, its depth."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from scraper.scope.canonical import MAX_URL_CHARS, canonical_url, host_key
from scraper.scope.errors import InvalidUrlError
from scraper.scope.path_rules import EXCLUDE_FIELD, INCLUDE_FIELD, PathRules
from scraper.scope.query_rules import KEEP_QUERIES, QueryRules
from scraper.scope.reasons import Reason
from scraper.scope.traps import refuse_endless


@dataclass(frozen=True, slots=True)
class Scope:
    """The bounds of one job.

    The site is the start URL's host and port, 'www.' or not and http or https alike, and the
    further hosts of `sites`; with `parents` (each '.' and a host) all hosts below these, too.
    `max_depth` is the number of links that a page may be away from the start page (0: the start
    page alone); None sets no limit. The start URL always belongs.
    """

    start_url: str
    sites: frozenset[str]
    rules: PathRules
    max_depth: int | None
    parents: tuple[str, ...] = ()
    query: QueryRules = KEEP_QUERIES

    @classmethod
    def for_job(
        cls,
        start_url: str,
        *,
        include_paths: Sequence[str] = (),
        exclude_paths: Sequence[str] = (),
        max_depth: int | None = None,
        site_hosts: Collection[str] = (),
        include_subdomains: bool = False,
        query: QueryRules = KEEP_QUERIES,
    ) -> "Scope":
        """The scope of a job as its fields say; `site_hosts` are `host` or `host:port`.

        Raises InvalidUrlError and InvalidPatternError.
        """
        start = canonical_url(start_url)
        hosts = [host_key(start), *(host_key(canonical_url(f"http://{h}/")) for h in site_hosts)]
        sites = frozenset(_without_www(host) for host in hosts)
        return cls(
            start_url=start,
            sites=sites,
            rules=PathRules(include_paths, exclude_paths),
            max_depth=max_depth,
            parents=tuple(f".{site}" for site in sites) if include_subdomains else (),
            query=query,
        )

    def tidy(self, url: str) -> str:
        """The one form in which the job knows a page of its site: see `QueryRules`.

        The start URL, and the URLs of other sites, stay as they are.
        """
        if "?" not in url and ";" not in url:
            return url
        return self.query.tidy(url) if url != self.start_url and self.is_internal(url) else url

    def decide(self, url: str, depth: int) -> Reason | None:
        """Why a canonical URL, found `depth` links from the start, stays out; None: it belongs."""
        reason = self.decide_at_any_depth(url)
        if reason is None and self.is_too_deep(depth) and url != self.start_url:
            return "too_deep"
        return reason

    def decide_at_any_depth(self, url: str) -> Reason | None:
        """As `decide`, but for the depth, which is all that differs between two finds of a URL."""
        if url == self.start_url:
            return None
        if len(url) > MAX_URL_CHARS:
            return "too_long"
        try:
            if not self.is_internal(url):
                return "off_scope"
        except InvalidUrlError as error:
            return error.reason
        return self.rules.refuse(url) or refuse_endless(url)

    def is_too_deep(self, depth: int) -> bool:
        return self.max_depth is not None and depth > self.max_depth

    def is_internal(self, url: str) -> bool:
        """Whether a canonical URL is of the job's site, whatever its path."""
        host = host_key(url)
        return _without_www(host) in self.sites or (
            self.parents != () and host.endswith(self.parents)
        )

    def explain(self, url: str, depth: int) -> str:
        """One sentence on whether any URL belongs to the job at `depth`, naming what decides."""
        try:
            canonical = self.tidy(canonical_url(url))
        except InvalidUrlError as error:
            return f"It is filtered ({error.reason}): {error.problem}."
        reason = self.decide(canonical, depth)
        if reason is None:
            return f"It belongs to the job: {self._why_it_belongs(canonical)}."
        return f"It is filtered ({reason}): {self._why_not(reason, canonical, depth)}."

    def _why_it_belongs(self, url: str) -> str:
        if url == self.start_url:
            return "it is the start URL"
        verdict = self.rules.reason(url)
        if verdict is None:
            return f"{host_key(url)} is of its site and no path rule speaks against it"
        return f"{INCLUDE_FIELD} has {verdict.rule!r}"

    def _why_not(self, reason: Reason, url: str, depth: int) -> str:
        match reason:
            case "off_scope":
                site = ", ".join(sorted(self.sites))
                below = " and what is below" if self.parents else ""
                return f"{host_key(url)} is not of the job's site ({site}{below})"
            case "excluded":
                verdict = self.rules.reason(url)
                return f"{EXCLUDE_FIELD} has {verdict.rule if verdict else None!r}"
            case "not_included":
                return f"none of the rules in {INCLUDE_FIELD} matches its path"
            case "too_deep":
                return f"it is {depth} links away from the start, maxDepth is {self.max_depth}"
            case "trap_path" | "trap_query":
                return "its path or its query is longer, or repeats more, than those of real pages"
            case "nofollow" | "trap_calendar" | "trap_session":
                return "other pages decide on that, not its URL"
            case "scheme" | "malformed" | "too_long":
                return "it is not the URL of a page"


def _without_www(host: str) -> str:
    """The host as it is compared. 'www.com' is a name of its own."""
    bare = host.removeprefix("www.")
    return bare if "." in bare else host
