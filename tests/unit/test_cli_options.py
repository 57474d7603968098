"""The flags of jobs: one for each field, with the field's meaning."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from scraper.jobs import JobSpec, parse_job
from supervisor.cli_options import job_fields, job_options

# They come by the command and its arguments, or by --preset.
NO_FLAGS = {"type", "url", "useNewConfig", "newConfigPreset"}


def fields_of(*arguments: str) -> dict[str, object]:
    """What a command with all flags of jobs makes of these."""
    found: dict[str, object] = {}

    @click.command()
    @job_options
    def command(**options: object) -> None:
        found.update(job_fields("full-crawl", "https://example.com/", options))

    done = CliRunner().invoke(command, arguments)
    if done.exit_code:
        raise click.UsageError(done.output)
    return found


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--backoff", "fixed:2000"], "backoff", {"type": "fixed", "delay": 2000}),
        (["--backoff", "exponential"], "backoff", {"type": "exponential"}),
        (["--webhook", "https://a.test/x"], "webhook", {"url": "https://a.test/x"}),
        (["--webhook", '{"url": "https://a.test/"}'], "webhook", {"url": "https://a.test/"}),
        (["--metadata", '{"a": 1}'], "metadata", {"a": 1}),
        (["--turbo"], "turboMode", True),
        (["--exclude", "/a", "--exclude", "/b"], "excludePaths", ["/a", "/b"]),
    ],
)
def test_a_flag_is_its_field(arguments: list[str], field: str, value: object) -> None:
    fields = fields_of(*arguments)
    assert fields[field] == value
    parse_job(fields, job_types=("full-crawl",))


@pytest.mark.parametrize("text", ["fixed:x", "fixed:-1", "fixed:1.5"])
def test_a_backoff_without_milliseconds_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError, match="milliseconds"):
        fields_of("--backoff", text)


def test_every_field_of_a_job_has_a_flag() -> None:
    @click.command()
    @job_options
    def command() -> None: ...

    flags = {
        name: ["x"] if option.multiple else "1:1" if name == "backoff" else "{}"
        for option in command.params
        if isinstance(option, click.Option) and (name := option.name)
    }
    reached = set(job_fields("full-crawl", "https://example.com/", dict(flags)))
    wanted = {field.alias or name for name, field in JobSpec.model_fields.items()}
    assert wanted - reached - NO_FLAGS == set()
