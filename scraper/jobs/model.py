"""Job model (interim)."""
from __future__ import annotations
import json
from collections.abc import Collection, Mapping
from typing import Any
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from scraper.jobs.errors import JobsError


class InvalidJobError(JobsError):
    pass


class Backoff(BaseModel):
    model_config = ConfigDict(frozen=True)
    type: str = "exponential"
    delay: int = 5000


class JobSpec(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid")
    type: str
    url: str
    customer_id: str = "default"
    max_pages: int | None = None
    include_paths: tuple[str, ...] = ()
    exclude_paths: tuple[str, ...] = ()
    turbo_mode: bool = False
    ecommerce_mode: bool = False
    own_site: bool = False
    use_new_config: bool = False
    new_config_preset: str | None = None
    ai_optimization: bool = False
    metadata: dict[str, Any] = {}
    job_id: str | None = None
    priority: int = 0
    delay: int = 0
    attempts: int = 3
    backoff: Backoff = Backoff()
    max_duration: int | None = None
    max_depth: int | None = None
    result_ttl: float | None = None
    html: bool = False

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)

    @classmethod
    def from_stored(cls, text: str) -> JobSpec:
        return cls.model_validate_json(text)


def parse_job(payload: Any, *, default_type: str = "single-page", job_types: Collection[str], presets: Collection[str] = (), customer_default: str = "default") -> JobSpec:
    if isinstance(payload, bytes):
        payload = payload.decode()
    if isinstance(payload, str):
        payload = {"url": payload} if payload.startswith("http") else json.loads(payload)
    fields = {"type": default_type, **payload}
    if fields["type"] != "single-page":
        fields.setdefault("maxPages", 1000)
    try:
        return JobSpec(**fields)
    except ValidationError as error:
        raise InvalidJobError(str(error)) from error
