"""The job: every field with its meaning, and the way in for all doors, `parse_job`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, Self, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from scraper.jobs.errors import Fault, InvalidJobError, UnreadableJobError
from scraper.jobs.faults import faults_of
from scraper.jobs.job_fields import (
    IGNORED_PARAMETERS,
    WEBHOOK_EVENTS,
    CustomerId,
    Hosts,
    JobId,
    JobUrl,
    Metadata,
    ParameterNames,
    Patterns,
    PresetName,
    Secret,
    WebhookEvents,
)
from scraper.jobs.job_rules import SINGLE_PAGE, complete_fields, rule_faults
from scraper.jobs.job_url import stored_job_url
from scraper.jobs.number_types import Real, Whole
from scraper.jobs.payload import read_payload

__all__ = ["Backoff", "Fault", "InvalidJobError", "JobSpec", "Webhook", "parse_job"]

DEFAULT_MAX_PAGES: Final = 1_000
_DAY_MS: Final = 86_400_000
_STORED_VERSION: Final = 1
_SIBLING_URL: Final = "https://example.com/"


class _Model(BaseModel):
    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
    )


class Backoff(_Model):
    """How long a failed job waits for its next attempt.

    `delay` in ms; with `exponential` it doubles with every further attempt.
    """

    type: Literal["fixed", "exponential"] = "exponential"
    delay: Annotated[int, Whole(0, 365 * _DAY_MS, "ms")] = 5_000


class Webhook(_Model):
    """An address that is called at events of the job; `secret` signs the calls."""

    url: JobUrl
    events: WebhookEvents = WEBHOOK_EVENTS
    secret: Secret | None = Field(default=None, repr=False)


class JobSpec(_Model):
    """A job as it was submitted. In JSON the names are camelCase.

    None means "not given": `max_pages` of a single page, `max_duration` (ms) and `result_ttl` (s)
    where the settings rule, `max_depth` without a limit. `delay` in ms. `host_delay` (ms) and
    `host_concurrency` ask for more patience with hosts than the settings, never for less.
    Jobs from outside come through `parse_job`, which checks what needs more than one field, too.
    """

    type: str
    url: JobUrl
    customer_id: CustomerId = "default"
    max_pages: Annotated[int, Whole(1, 10_000_000)] | None = Field(
        default_factory=lambda data: None if data["type"] == SINGLE_PAGE else DEFAULT_MAX_PAGES
    )
    include_paths: Patterns = ()
    exclude_paths: Patterns = ()
    include_subdomains: bool = False
    allowed_hosts: Hosts = ()
    follow_nofollow: bool = False
    ignore_query: bool = False
    ignore_query_params: ParameterNames = IGNORED_PARAMETERS
    sort_query: bool = True
    sitemaps: Literal["skip", "include", "only"] = "skip"
    max_pages_per_shape: Annotated[int, Whole(1, 10_000_000)] = 2_000
    host_delay: Annotated[int, Whole(0, 3_600_000, "ms")] = 0
    host_concurrency: Annotated[int, Whole(1, 1_000)] | None = None
    turbo_mode: bool = False
    ecommerce_mode: bool = False
    own_site: bool = False
    use_new_config: bool = False
    new_config_preset: PresetName | None = None
    ai_optimization: bool = False
    metadata: Metadata = Field(default_factory=dict)
    job_id: JobId | None = None
    priority: Annotated[int, Whole(-1_000, 1_000)] = 0
    delay: Annotated[int, Whole(0, 365 * _DAY_MS, "ms")] = 0
    attempts: Annotated[int, Whole(1, 25)] = 3
    backoff: Backoff = Backoff()
    max_duration: Annotated[int, Whole(1_000, _DAY_MS, "ms")] | None = None
    max_depth: Annotated[int, Whole(0, 1_000)] | None = None
    webhook: Webhook | None = None
    result_ttl: Annotated[float, Real(0.1, 10 * 365 * 86_400, "seconds")] | None = None
    html: bool = False
    verify_tls: bool = True

    def to_json(self) -> str:
        """The job as it is stored: compact, without what has its default."""
        fields = self.model_dump_json(by_alias=True, exclude_defaults=True, exclude_none=True)
        return f'{{"v":{_STORED_VERSION},{fields[1:]}'

    @classmethod
    def from_stored(cls, text: str | bytes) -> Self:
        """The job that `to_json` stored. Raises UnreadableJobError.

        Fields that a newer release has added are left out: while both run, its jobs end in either.
        """
        try:
            fields = orjson.loads(text)
            if not isinstance(fields, dict):
                raise UnreadableJobError("is no JSON object")
            version = fields.pop("v", None)
            if version != _STORED_VERSION:
                raise UnreadableJobError(f"has version {version}, this one reads {_STORED_VERSION}")
            known = FIELDS[""]
            return cls._validated({name: it for name, it in fields.items() if name in known})
        except ValidationError as error:
            faults = "; ".join(map(str, faults_of(error, FIELDS)))
            raise UnreadableJobError(f"does not fit ({faults})") from error
        except orjson.JSONDecodeError as error:
            raise UnreadableJobError("is no JSON") from error

    @classmethod
    def _validated(cls, fields: dict[str, Any]) -> Self:
        url = fields.get("url")
        # A copy would share its metadata, which is the one part that can be changed.
        if cls is JobSpec and isinstance(url, str) and "metadata" not in fields:
            rest = {name: value for name, value in fields.items() if name != "url"}
            with suppress(ValidationError, PydanticCustomError):  # the whole says what is wrong
                sibling = _sibling(orjson.dumps(rest))
                return cast("Self", sibling.model_copy(update={"url": stored_job_url(url)}))
        return cls.model_validate(fields, by_alias=True, by_name=False)


@lru_cache(maxsize=256)
def _sibling(rest: bytes) -> JobSpec:
    """A job with these stored fields (JSON, without the URL): many jobs differ in that only."""
    return JobSpec.model_validate(
        {**orjson.loads(rest), "url": _SIBLING_URL}, by_alias=True, by_name=False
    )


def _names(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


# Path of each object of a job ("" is the job itself) -> its fields.
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "": _names(JobSpec),
    "backoff": _names(Backoff),
    "webhook": _names(Webhook),
}


def parse_job(
    payload: str | bytes | Mapping[str, Any],
    *,
    default_type: str = SINGLE_PAGE,
    job_types: Collection[str],
    presets: Collection[str] = (),
    customer_default: str = "default",
    defaults: Mapping[str, Any] | None = None,
) -> JobSpec:
    """A validated job from a URL, JSON text or a mapping with JSON's names.

    `presets` are the names that may be asked for; a mapping of names to job fields applies them
    as well: the job's own fields win over the preset's, those over `defaults`. A field that is
    null counts as not given. Raises InvalidJobError with all that is wrong.
    """
    given = {name: value for name, value in read_payload(payload).items() if value is not None}
    fields = complete_fields(
        {"type": default_type, "customerId": customer_default, **given}, presets, defaults or {}
    )
    faults = rule_faults(fields, job_types, presets)
    try:
        spec = JobSpec.model_validate(fields, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidJobError([*faults_of(error, FIELDS), *faults]) from None
    except RecursionError:
        fault = Fault("", "the job is nested too deeply", "give a flat object")
        raise InvalidJobError([fault]) from None
    if faults:
        raise InvalidJobError(faults)
    return spec
