"""Rules between a job's fields: type, preset, budget. Fields are JSON's, not yet validated."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from scraper.jobs.errors import Fault
from scraper.jobs.faults import shown
from scraper.jobs.suggest import did_you_mean

SINGLE_PAGE: Final = "single-page"
DEFAULT_PRESET: Final = "default"
# What a preset or a default may say of crawls, and what says nothing of a single page.
_CRAWL_ONLY: Final = frozenset(
    {
        "maxPages", "includePaths", "excludePaths", "ownSite", "maxDepth", "includeSubdomains",
        "allowedHosts", "followNofollow", "ignoreQuery", "ignoreQueryParams", "sortQuery",
        "maxPagesPerShape", "sitemaps",
    }
)  # fmt: skip


def chosen_preset(fields: Mapping[str, Any]) -> str | None:
    """The preset that a job asks for; the flag alone asks for `default`. None: no preset."""
    if fields.get("useNewConfig") is not True:
        return None
    name = fields.get("newConfigPreset", DEFAULT_PRESET)
    return name if isinstance(name, str) else None


def lay_beneath(fields: Mapping[str, Any], lower: Mapping[str, Any]) -> dict[str, Any]:
    """`fields`, and of `lower` what they leave open and what concerns their type."""
    is_single = fields.get("type") == SINGLE_PAGE
    fitting = {
        name: value for name, value in lower.items() if not (is_single and name in _CRAWL_ONLY)
    }
    return {**fitting, **fields}


def complete_fields(
    fields: dict[str, Any], presets: Collection[str], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields with what the preset and the defaults say beneath them."""
    name = chosen_preset(fields)
    if name is not None:
        fields["newConfigPreset"] = name
        if isinstance(presets, Mapping) and name in presets:
            fields = lay_beneath(fields, presets[name])
    return lay_beneath(fields, defaults) if defaults else fields


def rule_faults(
    fields: Mapping[str, Any], job_types: Collection[str], presets: Collection[str]
) -> list[Fault]:
    """What is wrong with fields together. Values of a wrong type are the model's to report."""
    faults = []
    job_type = fields["type"]
    if isinstance(job_type, str) and job_type not in job_types:
        hint = did_you_mean(job_type, job_types, "the types are")
        faults.append(Fault("type", f"is {shown(job_type)}, which is no job type", hint))
    max_pages = fields.get("maxPages")
    if job_type == SINGLE_PAGE and isinstance(max_pages, int | float) and max_pages > 1:
        problem = f"is {shown(max_pages)} for a single page"
        faults.append(Fault("maxPages", problem, 'leave it out, or give "type": "full-crawl"'))
    fault = preset_fault(fields, presets)
    if fault:
        faults.append(fault)
    return faults


def preset_fault(fields: Mapping[str, Any], presets: Collection[str]) -> Fault | None:
    """What is wrong with the job's choice of a preset."""
    if fields.get("useNewConfig", False) is False and "newConfigPreset" in fields:
        hint = 'add "useNewConfig": true, or leave the preset out'
        return Fault("newConfigPreset", "is given without useNewConfig", hint)
    name = chosen_preset(fields)
    if name is None or name in presets:
        return None
    if not presets:
        return Fault("useNewConfig", "is true, but no presets are known here", "leave it out")
    listed = ", ".join(sorted(presets))
    return Fault("newConfigPreset", f"is {shown(name)}, which is no preset", f"there are {listed}")
