"""Reads the settings from the environment, and says all that is wrong with them at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from scraper.jobs.config import SECRETS, Config, ConfigError
from scraper.jobs.faults import shown
from scraper.jobs.redis_url import safe_url
from scraper.jobs.suggest import nearest


def env_name(field: str) -> str:
    """The environment variable of a setting."""
    extra = Config.model_fields[field].json_schema_extra
    return str(extra["env"]) if isinstance(extra, dict) else field.upper()


def load_config(env: Mapping[str, str] | None = None, **overrides: Any) -> Config:
    """Settings of the environment; `overrides` win, None leaves a setting alone.

    An override has the field's name or that of its variable (`max_job_duration`).

    An empty variable counts as unset. Raises ConfigError, which names all faults at once.
    """
    env = os.environ if env is None else env
    values: dict[str, Any] = {}
    for field in Config.model_fields:
        if raw := env.get(env_name(field), "").strip():
            values[field] = raw
    fields = {env_name(field).lower(): field for field in Config.model_fields}
    values |= {
        fields.get(name, name): value for name, value in overrides.items() if value is not None
    }
    try:
        return Config(**values)
    except ValidationError as error:
        # Its cause would show what a URL of Redis has of a password.
        faults = [*_faults(error), *_faults_between(values, error)]
    raise ConfigError(list(dict.fromkeys(faults)))


def likely_typos(env: Mapping[str, str] | None = None) -> list[str]:
    """What stands in the environment under a name that is nearly a setting's, and that it means.

    Only names so near that hardly anything else is meant, of settings that are not set besides.
    """
    env = os.environ if env is None else env
    names = [env_name(field) for field in Config.model_fields]
    unset = [name for name in names if name not in env]
    return [
        f"{name} in the environment is no setting: did you mean {meant[0]}?"
        for name in sorted(env.keys() - set(names))
        if (meant := difflib.get_close_matches(name, unset, n=1, cutoff=0.87))
    ]


def _faults(error: ValidationError) -> Iterator[str]:
    # By field: a union reports each of its members.
    for field, fault in {_field(fault): fault for fault in reversed(error.errors())}.items():
        text = fault["msg"].removeprefix("Value error, ")
        if field in Config.model_fields:
            allowed = text if fault["type"] == "value_error" else _allowed(field)
            yield f"{env_name(field)} is {_given(field, fault['input'])}: {allowed}"
        elif field:
            meant = nearest(field, Config.model_fields)
            yield f"{field} is no setting" + (f": did you mean {meant}?" if meant else "")
        else:
            yield text


def _given(field: str, value: object) -> str:
    """A wrong value as a message may show it."""
    if field in SECRETS:
        return "not one"
    return safe_url(str(value)) if field == "redis_url" else shown(value)


def _faults_between(values: Mapping[str, Any], error: ValidationError) -> Iterator[str]:
    """What is wrong with settings together, which pydantic looks at only when each is right."""
    faulty = {_field(fault) for fault in error.errors()}
    if not faulty & {"parse_limit_s", "stall_timeout_s", "lease_ms"}:
        try:
            Config(**{name: value for name, value in values.items() if name not in faulty})
        except ValidationError as remaining:
            yield from _faults(remaining)


def _field(fault: Mapping[str, Any]) -> str:
    return str(fault["loc"][0]) if fault["loc"] else ""


def _allowed(field: str) -> str:
    """What a setting may be, from its limits."""
    setting = Config.model_fields[field]
    limits = {
        name: value
        for rule in setting.metadata
        for name in ("ge", "gt", "le", "pattern")
        if (value := getattr(rule, name, None)) is not None
    }
    if field == "api_token":
        return "give 16 to 512 visible ASCII characters, such as `openssl rand -hex 32` makes"
    if field == "scrapyd_password":
        return "give 8 to 256 visible ASCII characters"
    if "pattern" in limits:
        return f"give a text that matches {limits['pattern']}"
    if setting.annotation is bool:
        return "give true or false"
    if field == "durability":
        return "give server or replicas"
    if field == "log_level":
        return "give debug, info, warning or error"
    if field == "worker_count":
        return "give auto, or a whole number from 1 to 1,000"
    number = "a number" if setting.annotation is float else "a whole number"
    return " ".join([f"give {number}", *_unit(field), *_bounds(limits)])


def _unit(field: str) -> Iterable[str]:
    units = {"ms": "of ms", "s": "of seconds", "bytes": "of bytes"}
    unit = units.get(field.rpartition("_")[2])
    return [unit] if unit else []


def _bounds(limits: Mapping[str, Any]) -> Iterator[str]:
    if "ge" in limits:
        yield f"from {limits['ge']:,}"
    if "gt" in limits:
        yield f"above {limits['gt']:,}"
    if "le" in limits:
        yield f"up to {limits['le']:,}"
