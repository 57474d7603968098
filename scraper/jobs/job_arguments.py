"""Jobs from named texts: `scrapy crawl -a maxPages=50`, and what scrapyd's clients send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

# Fields that stay text even where they look like JSON (a numeric customerId).
TEXT_FIELDS = frozenset({"url", "customerId", "jobId", "newConfigPreset"})


def job_arguments(job_type: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A job from named texts: values are JSON where they can be (50, true, ["/a/**"])."""
    fields: dict[str, Any] = {"type": job_type}
    for name, value in arguments.items():
        fields[name] = value
        if isinstance(value, str) and name not in TEXT_FIELDS:
            with suppress(ValueError, RecursionError):
                fields[name] = json.loads(value)
    return fields
