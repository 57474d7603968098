"""Presets: named sets of job fields, ours and the user's own, validated when they are loaded."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from scraper.jobs.config import ConfigError
from scraper.jobs.errors import InvalidJobError
from scraper.jobs.model import parse_job

BUILT_IN = files("scraper.jobs").joinpath("presets.toml")
# A preset describes how to crawl, never what, for whom or when.
_NOT_IN_PRESETS = {"type", "url", "jobId", "customerId", "useNewConfig", "newConfigPreset"}

Presets = dict[str, dict[str, Any]]


def load_presets(own_file: Path | None = None) -> Presets:
    """All presets by name; one of the user's own replaces a built-in of that name.

    Raises ConfigError, which names every faulty preset.
    """
    presets = _read(BUILT_IN)
    if own_file is not None:
        presets |= _read(own_file)
    return presets


def _read(path: Path | Traversable) -> Presets:
    try:
        presets = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError([f"PRESETS_FILE {path}: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigError([f"PRESETS_FILE {path}: {error}"]) from error
    faults = [text for name, fields in presets.items() for text in _faults(path, name, fields)]
    if faults:
        raise ConfigError(faults)
    return presets


def _faults(path: Path | Traversable, name: str, fields: object) -> list[str]:
    where = f"preset {name!r} in {path.name}"
    if not isinstance(fields, dict):
        return [f"{where} is no table of job fields"]
    if wrong := sorted(_NOT_IN_PRESETS & fields.keys()):
        return [f"{where}: {', '.join(wrong)} cannot be preset"]
    try:
        parse_job(
            {"type": "full-crawl", "url": "http://preset.invalid/", **fields},
            job_types=("full-crawl",),
        )
    except InvalidJobError as error:
        return [f"{where}: {error}"]
    return []
