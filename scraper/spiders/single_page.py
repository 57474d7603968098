"""Job type `single-page`: one page, no links followed."""

from scraper.job_spider import JobSpider


class SinglePageSpider(JobSpider):
    """Records the job's URL."""

    name = "single-page"
    follows_links = False
