"""The body of `POST /jobs` for /openapi.json, from the job model itself."""

from __future__ import annotations

from typing import Any

from scraper.jobs import JobSpec
from scraper.jobs.job_types import job_types

_NUMBERS = {"ge": "minimum", "le": "maximum"}
# What the model checks in code, as far as a schema can say it.
_TEXTS = {
    "url": r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s]+$",
    "customerId": r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$",
    "jobId": r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$",
    "newConfigPreset": r"^[A-Za-z0-9_-]{1,64}$",
    "secret": r"^[!-~]{1,256}$",
}
_EXAMPLE = {"type": "full-crawl", "url": "https://example.com/", "maxPages": 50}


def _standard(schema: Any, name: str = "") -> Any:
    """pydantic's own words as those of JSON Schema; without titles that repeat the name."""
    if isinstance(schema, list):
        return [_standard(item, name) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        _NUMBERS.get(key, key): (
            {field: _standard(inner, field) for field, inner in value.items()}
            if key in ("properties", "$defs")
            else _standard(value, name)
        )
        for key, value in schema.items()
        if key != "title" or not isinstance(value, str)
    }
    if found.get("type") == "string" and name in _TEXTS and "enum" not in found:
        found["pattern"] = _TEXTS[name]
    return found


def _job_schema() -> tuple[dict[str, Any], dict[str, Any]]:
    schema = JobSpec.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
    schema = _standard(schema)
    inner = schema.pop("$defs", {})
    schema["properties"]["type"] |= {"enum": sorted(job_types()), "default": "single-page"}
    schema["required"] = ["url"]
    schema["description"] = "A job; docs/jobs.md says more of each field."
    return schema, inner


_JOB, _INNER = _job_schema()
# The application adds them to its components.
COMPONENTS: dict[str, Any] = {**_INNER, "JobSpec": _JOB}

_ONE = {"$ref": "#/components/schemas/JobSpec"}
JOB_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [
                        _ONE,
                        {"type": "array", "items": _ONE, "minItems": 1, "maxItems": 1000},
                    ]
                },
                "example": _EXAMPLE,
            }
        },
    }
}
