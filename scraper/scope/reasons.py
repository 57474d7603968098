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
]

UrlFault: TypeAlias = Literal["scheme", "malformed", "too_long"]
"""Those of the reasons that lie in the URL itself, whatever the job."""
