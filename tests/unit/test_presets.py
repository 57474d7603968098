"""Presets: the built-in ones fit any job, the user's own are checked when they are loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from scraper.jobs.config import ConfigError
from scraper.jobs.job_types import job_types
from scraper.jobs.model import JobSpec, parse_job
from scraper.jobs.presets import load_presets
from scraper.scope import Scope
from supervisor.cli_run import presets

URL = "https://example.com/"


def job_with(preset: str, **fields: object) -> JobSpec:
    asked = {"url": URL, "useNewConfig": True, "newConfigPreset": preset, **fields}
    return parse_job(asked, job_types=job_types(), presets=load_presets())


def write(folder: Path, text: str) -> Path:
    path = folder / "presets.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_promised_presets_are_built_in() -> None:
    assert {"default", "polite", "fast", "ecommerce", "docs", "articles"} <= load_presets().keys()


@pytest.mark.parametrize("preset", sorted(load_presets()))
@pytest.mark.parametrize("job_type", sorted(job_types()))
def test_built_in_preset_fits_every_job_type(preset: str, job_type: str) -> None:
    assert job_with(preset, type=job_type).new_config_preset == preset


def test_preset_changes_the_job_and_the_job_has_the_last_word() -> None:
    assert job_with("fast").turbo_mode
    assert not job_with("fast", turboMode=False).turbo_mode
    assert job_with("ecommerce").ecommerce_mode
    assert job_with("docs").ai_optimization


def test_presets_leave_out_what_they_say_and_nothing_else() -> None:
    def takes(preset: str, path: str) -> bool:
        spec = job_with(preset, type="full-crawl")
        rules = Scope.for_job(URL, exclude_paths=spec.exclude_paths)
        return rules.decide(f"https://example.com{path}", 1) is None

    assert takes("ecommerce", "/shoes/red-cart-7")
    assert not takes("ecommerce", "/cart/")
    assert not takes("ecommerce", "/shoes?page=2&sort=price")
    assert takes("docs", "/library/json.html")
    assert not takes("docs", "/genindex-A.html")
    assert takes("articles", "/2024/05/foxes")
    assert not takes("articles", "/tag/foxes")


def test_presets_are_listed_with_the_users_own(tmp_path: Path) -> None:
    path = write(tmp_path, "[mine]\nmaxPages = 7\n")
    listed = CliRunner().invoke(presets, ["--json"], env={"PRESETS_FILE": str(path)})
    assert json.loads(listed.output)["mine"] == {"maxPages": 7}
    assert "docs" in CliRunner().invoke(presets, []).output


def test_own_preset_is_added_and_replaces_a_built_in_one_of_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, "[mine]\nmaxPages = 7\n[fast]\nattempts = 1\n")
    presets = load_presets(path)
    assert presets["mine"] == {"maxPages": 7}
    assert presets["fast"] == {"attempts": 1}
    assert "polite" in presets


def test_all_faults_of_the_own_file_are_named_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'loose = 1\n[a]\nmax_pages = 5\n[b]\nturboMode = "yes"\n[c]\nurl = "https://x.y"\n',
    )
    with pytest.raises(ConfigError) as refusal:
        load_presets(path)
    loose, a, b, c = refusal.value.faults
    assert "'loose'" in str(loose)
    assert "'a'" in str(a)
    assert "did you mean maxPages?" in str(a)
    assert "give true or false" in str(b)
    assert "'c'" in str(c)
    assert "url" in str(c)


@pytest.mark.parametrize("text", ["[a", "[a]\nx = ", "\x00"])
def test_file_that_is_no_toml_is_named(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match="PRESETS_FILE"):
        load_presets(path)


def test_missing_file_and_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "presets.toml"
    with pytest.raises(ConfigError, match="No such file"):
        load_presets(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="PRESETS_FILE"):
        load_presets(path)
