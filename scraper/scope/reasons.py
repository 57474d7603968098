"""The reasons for which a URL is kept out of a job, as results count them."""

from typing import Literal, TypeAlias

Reason: TypeAlias = Literal[
    "scheme",  # not http or https: mailto:, javascript:, tel:, data:, a bare fragment
    "malformed",  # no host, a bad host or a bad port
    "too_long",  # over MAX_URL_CHARS in canonical form
    "off_scope",  # another host than the job's site
    "excluded",  # an excludePaths rule matches
    "not_included",  # there are includePaths rules and none matches
    "too_deep",  # more links away from the start page than maxDepth
    "nofollow",  # the page or the link asks robots not to follow it
    "trap_path",  # a path that repeats itself or never ends
    "trap_query",  # a query of too many parameters, or too many queries of one form
    "trap_calendar",  # too many dates of one form
    "trap_session",  # one page again and again, under other session ids
]

TrapReason: TypeAlias = Literal["trap_path", "trap_query", "trap_calendar", "trap_session"]
"""Those of the reasons that keep a job from going on for ever."""

UrlFault: TypeAlias = Literal["scheme", "malformed", "too_long"]
"""Those of the reasons that lie in the URL itself, whatever the job."""
