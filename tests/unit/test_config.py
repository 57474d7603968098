"""Settings: promised names and defaults, every fault at once, secrets never shown."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from scraper.jobs.config import Config, ConfigError
from scraper.jobs.config_loading import env_name, likely_typos, load_config


def faults_of(env: dict[str, str] | None = None, **overrides: object) -> list[str]:
    with pytest.raises(ConfigError) as refusal:
        load_config(env or {}, **overrides)
    return [str(fault) for fault in refusal.value.faults]


def test_promised_variables_have_their_promised_defaults() -> None:
    by_variable = {
        env_name(field): getattr(load_config({}), field) for field in Config.model_fields
    }
    assert by_variable["WORKER_CONCURRENCY"] == 2
    assert by_variable["WORKER_COUNT"] == "auto"
    assert by_variable["QUEUE_NAME"] == "scrape-queue"
    assert by_variable["ENABLE_HEALTH_MONITORING"] is True
    assert by_variable["MEMORY_THRESHOLD"] == 0.85
    assert by_variable["MAX_JOB_DURATION"] == 600_000
    assert by_variable["REDIS_URL"] is None
    assert by_variable["LOG_LEVEL"] == "info"
    assert by_variable["ALLOW_PRIVATE_HOSTS"] == ()
    assert by_variable["ROBOTS_OBEY"] is True
    assert "{contact}" in by_variable["USER_AGENT"]


def test_contact_goes_into_the_user_agent() -> None:
    assert load_config({}).sent_user_agent.endswith("(no contact given)")
    ours = load_config({"CONTACT": "bot@example.com"}).sent_user_agent
    assert ours.startswith("ScraperWorkers/")
    assert ours.endswith("(bot@example.com)")
    assert load_config({"USER_AGENT": "MyBot/1"}).sent_user_agent == "MyBot/1"


def test_defaults_are_those_of_the_design() -> None:
    config = load_config({})
    assert config.page_concurrency == 16
    assert (config.host_concurrency, config.host_concurrency_turbo) == (4, 16)
    assert config.host_concurrency_own_site == 32
    assert (config.request_timeout_s, config.max_response_bytes) == (30, 16 * 1024 * 1024)
    assert (config.parse_limit_s, config.stall_timeout_s, config.lease_ms) == (20, 30, 60_000)
    assert (config.page_attempts, config.page_backoff_ms) == (3, 1_000)
    assert (config.result_ttl_s, config.finished_jobs_kept) == (86_400, 10_000)
    assert (config.events_kept, config.drain_timeout_s) == (100_000, 25)
    assert config.worker_memory_limit_bytes == 1024 * 1024 * 1024


def test_every_setting_has_a_variable_of_its_own_and_a_description() -> None:
    variables = [env_name(field) for field in Config.model_fields]
    assert len(set(variables)) == len(variables)
    assert all(field.description for field in Config.model_fields.values())


def test_variables_are_read_and_arguments_win_over_them() -> None:
    env = {
        "WORKER_COUNT": "4", "MAX_JOB_DURATION": "900000", "ROBOTS_OBEY": "false",
        "ALLOW_PRIVATE_HOSTS": "localhost, 10.0.0.0/8,", "MEMORY_THRESHOLD": " 0.8 ",
        "LOG_LEVEL": "DEBUG", "UNRELATED": "x",
    }  # fmt: skip
    config = load_config(env, worker_count=6, queue_name=None)
    assert config.worker_count == 6
    assert config.max_job_duration_ms == 900_000
    assert config.robots_obey is False
    assert config.allow_private_hosts == ("localhost", "10.0.0.0/8")
    assert config.memory_threshold == 0.8
    assert config.log_level == "debug"
    assert config.queue_name == "scrape-queue"


def test_empty_variable_counts_as_unset() -> None:
    assert load_config({"REDIS_URL": "", "QUEUE_NAME": " ", "WORKER_COUNT": ""}) == load_config({})


def test_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_NAME", "another")
    assert load_config().queue_name == "another"


def test_settings_cannot_be_changed_afterwards() -> None:
    config = load_config({})
    with pytest.raises(ValidationError):
        config.queue_name = "another"


def test_all_faults_are_reported_at_once_each_with_its_variable_and_value() -> None:
    faults = faults_of(
        {"WORKER_COUNT": "many", "MAX_JOB_DURATION": "5", "ROBOTS_OBEY": "maybe", "LEASE": "x"}
    )
    assert len(faults) == 4
    for variable, value in [
        ("WORKER_COUNT", "many"), ("MAX_JOB_DURATION", "5"), ("ROBOTS_OBEY", "maybe"),
        ("LEASE", "x"),
    ]:  # fmt: skip
        assert any(fault.startswith(variable) and value in fault for fault in faults)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("QUEUE_NAME", "{tag}"), ("QUEUE_NAME", "a b"), ("QUEUE_NAME", "ä"),
        ("QUEUE_NAME", "a" * 101), ("WORKER_COUNT", "0"), ("WORKER_COUNT", "2.5"),
        ("WORKER_CONCURRENCY", "-1"), ("MEMORY_THRESHOLD", "0"), ("MEMORY_THRESHOLD", "1.1"),
        ("MEMORY_THRESHOLD", "nan"), ("REQUEST_TIMEOUT", "inf"), ("LOG_LEVEL", "loud"),
        ("REDIS_URL", "localhost:6379"), ("REDIS_URL", "http://localhost"),
        ("USER_AGENT", "line\nbreak"), ("USER_AGENT", "ä"),
    ],
)  # fmt: skip
def test_value_out_of_its_range_is_refused(variable: str, value: str) -> None:
    (fault,) = faults_of({variable: value})
    assert fault.startswith(variable)


@pytest.mark.parametrize(
    "env",
    [{"PARSE_LIMIT": "30"}, {"STALL_TIMEOUT": "60"}, {"STALL_TIMEOUT": "10"}, {"LEASE": "30000"}],
)
def test_parse_limit_stall_timeout_and_lease_stay_in_order(env: dict[str, str]) -> None:
    (fault,) = faults_of(env)
    assert all(name in fault for name in ("PARSE_LIMIT", "STALL_TIMEOUT", "LEASE"))


def test_unknown_argument_is_refused() -> None:
    (fault,) = faults_of(worker_cnt=3)
    assert "worker_cnt" in fault


def test_empty_argument_is_no_name_of_a_queue_and_no_server() -> None:
    (fault,) = faults_of(queue_name="")
    assert fault.startswith("QUEUE_NAME")
    assert load_config({"REDIS_URL": "redis://localhost"}, redis_url="").redis_url is None


def test_data_dir_is_a_path_or_left_to_the_embedded_server() -> None:
    assert load_config({}).data_dir is None
    assert load_config({"DATA_DIR": "/srv/data"}).data_dir == Path("/srv/data")


@pytest.mark.parametrize("url", ["redis://:s3cret@host:bad/0", "http://u:s3cret@host/"])
def test_password_of_redis_is_shown_nowhere(url: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_config({"REDIS_URL": url})
    assert "REDIS_URL is " in str(refusal.value)
    shown = "".join(traceback.format_exception(refusal.value))
    assert "s3cret" not in shown
    assert "s3cret" not in repr(load_config({"REDIS_URL": "redis://:s3cret@host:1/0"}))


def test_fault_says_what_is_allowed_with_its_unit() -> None:
    assert faults_of({"MAX_JOB_DURATION": "x"}) == [
        "MAX_JOB_DURATION is 'x': give a whole number of ms from 1,000 up to 604,800,000"
    ]
    assert faults_of({"REQUEST_TIMEOUT": "0"}) == [
        "REQUEST_TIMEOUT is '0': give a number of seconds above 0 up to 3,600"
    ]
    assert faults_of({"WORKER_COUNT": "x"}) == [
        "WORKER_COUNT is 'x': give auto, or a whole number from 1 to 1,000"
    ]


def test_order_of_the_times_is_checked_beside_other_faults() -> None:
    faults = faults_of({"WORKER_COUNT": "x", "PARSE_LIMIT": "40"})
    assert len(faults) == 2
    assert faults[1].startswith("PARSE_LIMIT (40 s)")


def test_argument_may_have_the_name_of_its_variable() -> None:
    assert load_config({}, max_job_duration=5_000).max_job_duration_ms == 5_000


def test_mistyped_argument_suggests_the_right_one() -> None:
    assert faults_of(worker_cnt=3) == ["worker_cnt is no setting: did you mean worker_count?"]


@pytest.mark.parametrize("field", ["worker_count", "worker_concurrency", "memory_threshold"])
def test_boolean_is_no_number(field: str) -> None:
    (fault,) = faults_of({}, **{field: True})
    assert "is a boolean" in fault


def test_paths_are_absolute_for_workers_in_other_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert load_config({"DATA_DIR": "~/data"}).data_dir == Path("/home/someone/data")
    assert load_config({"DATA_DIR": "data"}).data_dir == Path.cwd() / "data"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HOST_CONCURENCY", "HOST_CONCURRENCY"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("REDIS_URI", "REDIS_URL"),
        ("RESULTS_TTL", "RESULT_TTL"),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_told(name: str, meant: str) -> None:
    [told] = likely_typos({name: "3", "PATH": "/bin"})
    assert told == f"{name} in the environment is no setting: did you mean {meant}?"


def test_other_variables_and_settings_that_are_set_are_no_typos() -> None:
    others = (
        "HTTP_PROXY HTTPS_PROXY NO_PROXY REDIS_HOST REDIS_PORT LOG_FILE USER_ID HOSTNAME API_KEY"
        " WORKER_ID WEB_CONCURRENCY DATABASE_URL CONCURRENCY MEMORY_LIMIT REDIS_SERVICE_HOST"
    )
    assert likely_typos(dict.fromkeys(others.split(), "x")) == []
    assert likely_typos({"REDIS_URI": "redis://a", "REDIS_URL": "redis://b"}) == []
