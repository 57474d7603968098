"""Scrapy's settings for workers. What users set is in `scraper.jobs.config`."""

from scraper.jobs.config_loading import load_config

_config = load_config()

BOT_NAME = "scraper-workers"
SPIDER_MODULES = ["scraper.spiders"]
COMMANDS_MODULE = "scraper.commands"

# The leased frontier in place of Scrapy's queues; no dupefilter: the frontier knows its URLs.
SCHEDULER = "scraper.scheduler.LeasedScheduler"
DOWNLOADER = "scraper.network.downloader.PageDownloader"
DOWNLOAD_HANDLERS_BASE = {
    "http": "scraper.network.handler.PageDownloadHandler",
    "https": "scraper.network.handler.PageDownloadHandler",
}

USER_AGENT = _config.sent_user_agent
DEFAULT_REQUEST_HEADERS = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en,*;q=0.5",
}
CONCURRENT_REQUESTS = _config.page_concurrency
DOWNLOAD_TIMEOUT = _config.request_timeout_s
DOWNLOAD_MAXSIZE = _config.max_response_bytes
DOWNLOAD_WARNSIZE = 0
DOWNLOAD_VERIFY_CERTIFICATES = True
TLS_CA_FILE = str(_config.tls_ca_file or "")
MAX_HEADERS = _config.max_headers
MAX_HEADER_BYTES = _config.max_header_bytes
MAX_JOB_COOKIES = _config.max_job_cookies
MAX_JOB_COOKIE_BYTES = _config.max_job_cookie_bytes
# What is not public is fetched only where this names it.
ALLOW_PRIVATE_HOSTS = list(_config.allow_private_hosts)

# Politeness, retries, redirects, scope and depth are decided elsewhere: fewer layers a page.
ROBOTSTXT_OBEY = False
COOKIES_ENABLED = True
ADDONS = {"scraper.network.fast_path.FastPath": 0}
DOWNLOADER_MIDDLEWARES_BASE = {"scraper.network.middlewares.JobCookiesMiddleware": 700}
SPIDER_MIDDLEWARES_BASE: dict[str, int] = {}
EXTENSIONS_BASE = {
    "scrapy.extensions.feedexport.FeedExporter": 0,
    "scraper.extensions.ticking.Ticking": 0,
    "scraper.extensions.heartbeat.Heartbeat": 0,
    "scraper.extensions.drain.Drain": 0,
    "scraper.extensions.quick_loop.QuickLoop": 0,
    "scraper.extensions.relief.Relief": 0,
    "scraper.extensions.measuring.Measuring": 0,
}
TELNETCONSOLE_ENABLED = False
CONCURRENT_ITEMS = 1
# One page's body is enough to keep the parser busy; the default lets 5 MB of them wait.
SCRAPER_SLOT_MAX_ACTIVE_SIZE = 64 * 1024 * 1024
WARN_ON_GENERATOR_RETURN_VALUE = False
LOG_FORMATTER = "scraper.network.fast_path.PageLogFormatter"
STATS_DUMP = False
LOG_LEVEL = _config.log_level.upper()
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
LOG_DATEFORMAT = "%H:%M:%S"
FEED_EXPORT_ENCODING = "utf-8"
