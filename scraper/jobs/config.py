"""All settings: names, units, defaults, limits. `docs/configuration.md` is generated from here."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from scraper.jobs.errors import JobsError
from scraper.jobs.redis_url import RedisUrlError, parse_redis_url, with_options
from scraper.jobs.version import VERSION

MIB = 1024 * 1024
NO_CONTACT = "no contact given"
# Settings that no message shows and no worker is given.
SECRETS = ("api_token", "scrapyd_password")


class ConfigError(JobsError):
    """Some settings are wrong; `faults` names all of them."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("wrong settings: " + "; ".join(faults))


def _names(value: object) -> object:
    """A comma-separated list as a tuple."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


def _setting(default: Any, env: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"env": env}, **limits)


class Config(BaseModel):
    """One validated set of settings. Units are in the names: _ms, _s, _bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    redis_url: str | None = _setting(
        None, "REDIS_URL", "The server; unset: an embedded one in DATA_DIR.", repr=False
    )
    redis_wait_s: float = _setting(
        0, "REDIS_WAIT", "How long `run` waits at its start for a Redis that is out of reach.",
        ge=0, le=86_400,
    )  # fmt: skip
    redis_ca_file: Path | None = _setting(
        None, "REDIS_CA_FILE", "Authorities (PEM) that rediss:// trusts; default the system's."
    )
    redis_cert_file: Path | None = _setting(
        None, "REDIS_CERT_FILE", "Certificate (PEM) to show to Redis; with REDIS_KEY_FILE."
    )
    redis_key_file: Path | None = _setting(None, "REDIS_KEY_FILE", "Its key (PEM), unencrypted.")
    durability: Literal["server", "replicas"] = _setting(
        "server", "DURABILITY",
        "server: as Redis is set; replicas: submits and commits count once replicas have them.",
    )  # fmt: skip
    durability_replicas: int = _setting(
        1, "DURABILITY_REPLICAS", "How many replicas that takes.", ge=1, le=10
    )
    durability_wait_ms: int = _setting(
        1000, "DURABILITY_WAIT", "How long one call waits for them.", ge=10, le=4000
    )
    queue_name: str = _setting(
        "scrape-queue", "QUEUE_NAME", "The queue; also the list that takes raw pushes.",
        pattern=r"^[A-Za-z0-9._:@-]{1,100}$",
    )  # fmt: skip
    data_dir: Path | None = _setting(
        None, "DATA_DIR", "Folder of the embedded server; default by XDG rules."
    )
    worker_count: int | Literal["auto"] = _setting(
        "auto", "WORKER_COUNT",
        "Worker processes; auto: min(cores / 2, memory / 512 MB, 8), at least 1.",
    )  # fmt: skip
    auto_scale: bool = _setting(
        False, "AUTO_SCALE", "Follow the load from the start on, as `scale auto` does."
    )
    worker_count_min: int = _setting(
        1, "WORKER_COUNT_MIN", "Fewest workers while the load is followed.", ge=1, le=1000
    )
    worker_count_max: int = _setting(
        0, "WORKER_COUNT_MAX",
        "Most workers while the load is followed; 0: one a core, as memory allows (512 MB each).",
        ge=0, le=1000,
    )  # fmt: skip
    scale_up_pause_s: float = _setting(
        10, "SCALE_UP_PAUSE", "Least time between two steps up.", ge=0, le=3600
    )
    scale_down_after_s: float = _setting(
        60, "SCALE_DOWN_AFTER", "A worker too many for this long is drained.", ge=0, le=86_400
    )
    worker_concurrency: int = _setting(
        2, "WORKER_CONCURRENCY", "Jobs open at once in each worker.", ge=1, le=1000
    )
    page_concurrency: int = _setting(
        16, "PAGE_CONCURRENCY", "Pages in flight in each worker.", ge=1, le=1000
    )
    supervisor_name: str | None = _setting(
        None, "SUPERVISOR_NAME", "Name of this supervisor in worker ids; default the host's name.",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
    )  # fmt: skip
    enable_health_monitoring: bool = _setting(
        True, "ENABLE_HEALTH_MONITORING", "Health and memory readings and their events."
    )
    health_interval_s: float = _setting(
        5, "HEALTH_INTERVAL", "Time between health readings.", gt=0, le=3600
    )
    memory_threshold: float = _setting(
        0.85, "MEMORY_THRESHOLD",
        "Share of the allowed memory at which highMemoryUsage is raised and relief begins.",
        gt=0, le=1,
    )  # fmt: skip
    worker_memory_limit_bytes: int = _setting(
        1024 * MIB, "WORKER_MEMORY_LIMIT",
        "Memory that one worker may use; above it, it is replaced, half above it, killed.",
        ge=64 * MIB,
    )  # fmt: skip
    recycle_after_pages: int = _setting(
        0, "RECYCLE_AFTER_PAGES", "A worker is replaced after so many pages; 0: never.", ge=0
    )
    recycle_after_s: float = _setting(
        0, "RECYCLE_AFTER", "A worker is replaced after this time; 0: never.", ge=0
    )
    gc_after_job: bool = _setting(
        False, "GC_AFTER_JOB", "Collect garbage in a worker whenever it has finished with a job."
    )
    max_job_duration_ms: int = _setting(
        600_000, "MAX_JOB_DURATION", "A job ends after this time.", ge=1000, le=7 * 86_400_000
    )
    host_concurrency: int = _setting(
        4, "HOST_CONCURRENCY", "Pages in flight a host, over all workers.", ge=1, le=1000
    )
    host_concurrency_turbo: int = _setting(
        16, "HOST_CONCURRENCY_TURBO", "The same for jobs with turboMode.", ge=1, le=1000
    )
    host_concurrency_own_site: int = _setting(
        32, "HOST_CONCURRENCY_OWN_SITE", "The same for jobs with ownSite.", ge=1, le=1000
    )
    host_delay_ms: int = _setting(
        0, "HOST_DELAY", "Least time between two fetches of a host.", ge=0, le=3_600_000
    )
    host_slow_after_ms: int = _setting(
        1000, "HOST_SLOW_AFTER", "A host that takes longer to answer is given a delay that adapts.",
        ge=10, le=3_600_000,
    )  # fmt: skip
    host_delay_max_ms: int = _setting(
        10_000, "HOST_DELAY_MAX", "Longest adaptive delay of a host; 0: none adapts.",
        ge=0, le=3_600_000,
    )  # fmt: skip
    host_backoff_ms: int = _setting(
        1000, "HOST_BACKOFF",
        "First rest of a host after 429 or 503 without Retry-After; doubles each time.",
        ge=1, le=300_000,
    )  # fmt: skip
    request_timeout_s: float = _setting(
        30, "REQUEST_TIMEOUT", "Whole time of one fetch.", gt=0, le=3600
    )
    max_response_bytes: int = _setting(
        16 * MIB, "MAX_RESPONSE_SIZE", "Largest body, decompressed.", ge=1024
    )
    max_redirects: int = _setting(
        10, "MAX_REDIRECTS", "Redirects on the way to one page.", ge=0, le=100
    )
    max_headers: int = _setting(128, "MAX_HEADERS", "Headers of one response.", ge=16, le=10_000)
    max_header_bytes: int = _setting(
        32 * 1024, "MAX_HEADER_SIZE", "Largest header of a response; also its status line.",
        ge=1024, le=MIB,
    )  # fmt: skip
    max_job_cookies: int = _setting(
        500, "MAX_JOB_COOKIES", "Cookies that one worker keeps of a job.", ge=0, le=100_000
    )
    max_job_cookie_bytes: int = _setting(
        128 * 1024, "MAX_JOB_COOKIE_SIZE", "All of them together.", ge=0, le=64 * MIB
    )
    tls_ca_file: Path | None = _setting(
        None, "TLS_CA_FILE", "Authorities (PEM) trusted for sites, besides the system's."
    )  # fmt: skip
    page_attempts: int = _setting(3, "PAGE_ATTEMPTS", "Fetches of a page in all.", ge=1, le=25)
    page_backoff_ms: int = _setting(
        1000, "PAGE_BACKOFF",
        "Wait before a page's second attempt; four times that before the next.",
        ge=0, le=3_600_000,
    )  # fmt: skip
    lease_ms: int = _setting(
        60_000, "LEASE", "A worker not heard of for this long loses its pages.", ge=1000
    )
    stall_timeout_s: float = _setting(
        30, "STALL_TIMEOUT", "A worker whose loop does not tick for this long is dead.", gt=0
    )
    worker_start_timeout_s: float = _setting(
        60, "WORKER_START_TIMEOUT", "A worker that has not come up after this time is dead.", gt=0
    )
    overdue_grace_s: float = _setting(
        10, "OVERDUE_GRACE",
        "A worker that handles a page of an ended job for this much longer is replaced.", gt=0,
    )  # fmt: skip
    restart_limit: int = _setting(
        60, "RESTART_LIMIT", "Workers that may be started again in 10 minutes, over all of them.",
        ge=1,
    )  # fmt: skip
    breaker_deaths: int = _setting(
        5, "BREAKER_DEATHS", "Deaths of one worker in a minute after which it is left for 30 s.",
        ge=1,
    )  # fmt: skip
    parse_limit_s: float = _setting(20, "PARSE_LIMIT", "Longest time of one page's parse.", gt=0)
    drain_timeout_s: float = _setting(
        25, "DRAIN_TIMEOUT", "Time to finish pages in flight after SIGTERM.", ge=0, le=3600
    )
    result_ttl_s: float = _setting(86_400, "RESULT_TTL", "How long results are kept.", ge=0)
    finished_jobs_kept: int = _setting(
        10_000, "FINISHED_JOBS_KEPT", "How many finished jobs are kept at most.", ge=0
    )
    events_kept: int = _setting(100_000, "EVENTS_KEPT", "Length of the event stream.", ge=1000)
    max_page_bytes: int = _setting(
        4 * MIB, "MAX_PAGE_RECORD", "Largest page record, as stored.", ge=1024
    )
    max_commit_bytes: int = _setting(
        16 * MIB, "MAX_COMMIT", "Largest commit of several pages.", ge=1024
    )
    max_job_bytes: int = _setting(
        2048 * MIB, "MAX_JOB_RECORDS", "All records of one job; it ends there.", ge=1024
    )
    user_agent: str = _setting(
        f"ScraperWorkers/{VERSION} ({{contact}})", "USER_AGENT",
        "Name of the crawler; CONTACT takes the place of {contact}.",
        pattern=r"^[\x20-\x7e]{1,300}$",
    )  # fmt: skip
    contact: str = _setting(
        "", "CONTACT", "E-mail address or URL where owners of sites reach you; for USER_AGENT.",
        pattern=r"^[\x20-\x7e]{0,200}$",
    )  # fmt: skip
    robots_obey: bool = _setting(True, "ROBOTS_OBEY", "Obey robots.txt.")
    robots_ttl_s: float = _setting(
        3600, "ROBOTS_TTL", "How long a robots.txt counts before it is read again.",
        ge=1, le=86_400,
    )  # fmt: skip
    crawl_delay_max_s: float = _setting(
        30, "CRAWL_DELAY_MAX", "Longer delays in a robots.txt are cut to this.", ge=0, le=3600
    )
    allow_private_hosts: Names = _setting(
        (), "ALLOW_PRIVATE_HOSTS", "Hosts, host:port or CIDR that may be private; comma-separated."
    )
    presets_file: Path | None = _setting(None, "PRESETS_FILE", "The user's own presets, TOML.")
    http_host: str = _setting(
        "127.0.0.1", "HTTP_HOST", "Address of the HTTP API; one beyond loopback needs API_TOKEN.",
        pattern=r"^[A-Za-z0-9.:_-]{1,255}$",
    )  # fmt: skip
    http_port: int = _setting(
        8000, "HTTP_PORT", "Port of the HTTP API; 0 takes any free one.", ge=0, le=65_535
    )
    api_token: str | None = _setting(
        None, "API_TOKEN", "A token of the operator for the HTTP API, besides those made by "
        "`token create`.", pattern=r"^[!-~]{16,512}$", repr=False,
    )  # fmt: skip
    scrapyd_port: int | None = _setting(
        None, "SCRAPYD_PORT", "Port of scrapyd's API, by custom 6800; unset: none.", ge=0, le=65_535
    )
    scrapyd_host: str = _setting(
        "127.0.0.1", "SCRAPYD_HOST", "Its address; one beyond loopback needs SCRAPYD_PASSWORD.",
        pattern=r"^[A-Za-z0-9.:_-]{1,255}$",
    )  # fmt: skip
    scrapyd_username: str = _setting(
        "scrapyd", "SCRAPYD_USERNAME", "Who may use it, with SCRAPYD_PASSWORD.",
        pattern=r"^[!-9;-~]{1,128}$",
    )  # fmt: skip
    scrapyd_password: str | None = _setting(
        None, "SCRAPYD_PASSWORD", "Basic authentication for scrapyd's API; unset: none.",
        pattern=r"^[!-~]{8,256}$", repr=False,
    )  # fmt: skip
    webhook_timeout_s: float = _setting(
        10, "WEBHOOK_TIMEOUT", "A webhook's receiver must answer within this.", gt=0, le=120
    )
    webhook_backoff_s: float = _setting(
        1, "WEBHOOK_BACKOFF", "Wait before a webhook is tried again; doubles each time.", gt=0
    )
    webhook_backoff_max_s: float = _setting(
        3600, "WEBHOOK_BACKOFF_MAX", "The longest of these waits.", gt=0, le=86_400
    )
    webhook_attempts: int = _setting(
        50, "WEBHOOK_ATTEMPTS", "A delivery is given up after so many attempts.", ge=1, le=1000
    )
    webhook_give_up_s: float = _setting(
        86_400, "WEBHOOK_GIVE_UP", "And at this age of its event.", gt=0, le=30 * 86_400
    )
    webhook_queue: int = _setting(
        10_000, "WEBHOOK_QUEUE", "Deliveries that may wait for one job.", ge=10, le=1_000_000
    )
    webhook_log: int = _setting(
        100, "WEBHOOK_LOG", "Attempts that are kept in a job's delivery log.", ge=1, le=10_000
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "LOG_LEVEL", "debug, info, warning or error."
    )

    @property
    def sent_user_agent(self) -> str:
        """The header that sites get."""
        return self.user_agent.replace("{contact}", self.contact or NO_CONTACT)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_boolean(cls, value: object, info: ValidationInfo) -> object:
        """True would pass as the number 1."""
        is_switch = cls.model_fields[info.field_name or ""].annotation is bool
        if isinstance(value, bool) and not is_switch:
            raise ValueError("is a boolean")
        return value

    @field_validator("tls_ca_file", "redis_ca_file", "redis_cert_file", "redis_key_file")
    @classmethod
    def _is_readable(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        try:
            value.expanduser().open("rb").close()
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror})") from None
        return value.expanduser().absolute()

    @field_validator("tls_ca_file")
    @classmethod
    def _has_authorities(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
            except ssl.SSLError:
                raise ValueError("holds no certificates in PEM") from None
        return value

    @field_validator("data_dir", "presets_file")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """Workers may have another working directory."""
        return value and value.expanduser().absolute()

    @field_validator("log_level", "worker_count", "durability", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator(*SECRETS, mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url(cls, value: str | None) -> str | None:
        if not value:
            return None
        try:
            parse_redis_url(value)
        except RedisUrlError as error:
            raise ValueError(error.problem) from error
        return value

    @field_validator("worker_count")
    @classmethod
    def _is_count(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 1 <= value <= 1000:
            raise ValueError("must be auto, or from 1 to 1000")
        return value

    @property
    def replicas_wanted(self) -> int:
        """How many replicas must acknowledge a submit or a commit; 0: none."""
        return self.durability_replicas if self.durability == "replicas" else 0

    @property
    def server_url(self) -> str | None:
        """`redis_url` with the certificates as options, where the URL itself names none."""
        files = {
            "ssl_ca_certs": self.redis_ca_file,
            "ssl_certfile": self.redis_cert_file,
            "ssl_keyfile": self.redis_key_file,
        }
        if not self.redis_url or not self.redis_url.startswith("rediss"):
            return self.redis_url
        return with_options(self.redis_url, {name: str(it) for name, it in files.items() if it})

    @model_validator(mode="after")
    def _certificate_has_key(self) -> Self:
        if bool(self.redis_cert_file) != bool(self.redis_key_file):
            raise ValueError("REDIS_CERT_FILE and REDIS_KEY_FILE go together: give both")
        files = self.redis_ca_file or self.redis_cert_file
        if files and self.redis_url and not self.redis_url.startswith("rediss"):
            raise ValueError("REDIS_CA_FILE and REDIS_CERT_FILE need a rediss:// URL")
        return self

    @model_validator(mode="after")
    def _times_in_order(self) -> Self:
        if not self.parse_limit_s < self.stall_timeout_s < self.lease_ms / 1000:
            raise ValueError(
                f"PARSE_LIMIT ({self.parse_limit_s:g} s) < STALL_TIMEOUT "
                f"({self.stall_timeout_s:g} s) < LEASE ({self.lease_ms / 1000:g} s) must hold"
            )
        return self
