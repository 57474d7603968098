"""Which URLs belong to a job: canonical form, site, path rules, depth. Needs no Scrapy."""

from scraper.scope.canonical import MAX_URL_CHARS, canonical_url, host_key, resolve
from scraper.scope.errors import InvalidPatternError, InvalidUrlError, ScopeError
from scraper.scope.job_bounds import scope_of
from scraper.scope.job_scope import Scope
from scraper.scope.link_resolver import Link, LinkResolver, ResolvedLinks
from scraper.scope.path_rules import PathRules, Verdict
from scraper.scope.query_rules import QueryRules
from scraper.scope.reasons import Reason
from scraper.scope.traps import Suspicion, suspect

__all__ = [
    "MAX_URL_CHARS",
    "InvalidPatternError",
    "InvalidUrlError",
    "Link",
    "LinkResolver",
    "PathRules",
    "QueryRules",
    "Reason",
    "ResolvedLinks",
    "Scope",
    "ScopeError",
    "Suspicion",
    "Verdict",
    "canonical_url",
    "host_key",
    "resolve",
    "scope_of",
    "suspect",
]
