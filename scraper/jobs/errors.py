"""The root of every error that `scraper.jobs` raises."""


class JobsError(Exception):
    """Anything that a caller of `scraper.jobs` may want to catch as one."""
