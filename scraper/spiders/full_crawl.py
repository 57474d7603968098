"""Job type `full-crawl`: a site, link by link, up to `maxPages`."""

from scraper.job_spider import JobSpider


class FullCrawlSpider(JobSpider):
    """Records the job's URL and every page of its site that links lead to."""

    name = "full-crawl"
    follows_links = True
