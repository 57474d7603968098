"""The scope of a job from the job itself."""

from typing import Protocol

from scraper.scope.canonical import host_key
from scraper.scope.job_scope import Scope
from scraper.scope.query_rules import QueryRules


class ScopeFields(Protocol):
    """What a job says of its scope; `scraper.jobs.JobSpec` does."""

    @property
    def url(self) -> str: ...
    @property
    def include_paths(self) -> tuple[str, ...]: ...
    @property
    def exclude_paths(self) -> tuple[str, ...]: ...
    @property
    def max_depth(self) -> int | None: ...
    @property
    def include_subdomains(self) -> bool: ...
    @property
    def allowed_hosts(self) -> tuple[str, ...]: ...
    @property
    def ignore_query(self) -> bool: ...
    @property
    def ignore_query_params(self) -> tuple[str, ...]: ...
    @property
    def sort_query(self) -> bool: ...


def scope_of(job: ScopeFields, site: str = "") -> Scope:
    """The bounds of `job`, whose start page ended at the URL `site` ("" while that is not known).

    Raises InvalidUrlError and InvalidPatternError.
    """
    return Scope.for_job(
        job.url,
        include_paths=job.include_paths,
        exclude_paths=job.exclude_paths,
        max_depth=job.max_depth,
        site_hosts=(*job.allowed_hosts, *((host_key(site),) if site else ())),
        include_subdomains=job.include_subdomains,
        query=QueryRules(
            job.ignore_query_params, ignores_all=job.ignore_query, sorts=job.sort_query
        ),
    )
