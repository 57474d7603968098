"""The job model: what is accepted, what is refused and how, what survives storage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.jobs.errors import Fault, InvalidJobError, UnreadableJobError
from scraper.jobs.job_fields import IGNORED_PARAMETERS
from scraper.jobs.job_types import job_types
from scraper.jobs.model import FIELDS, JobSpec, parse_job

URL = "https://example.com/"
TYPES = frozenset({"single-page", "full-crawl", "news-archive"})
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "polite": {"attempts": 7, "maxPages": 50, "excludePaths": ["/cart/**"]},
    "fast": {"turboMode": True},
}


def parse(payload: Any, **options: Any) -> JobSpec:
    return parse_job(payload, **{"job_types": TYPES, "presets": PRESETS, **options})


def job(**fields: Any) -> JobSpec:
    return parse({"type": "full-crawl", "url": URL, **fields})


def faults_of(payload: Any, **options: Any) -> tuple[Fault, ...]:
    with pytest.raises(InvalidJobError) as refusal:
        parse(payload, **options)
    assert refusal.value.faults
    for line in map(str, refusal.value.faults):
        assert line.isprintable(), line
    assert str(refusal.value) == "; ".join(map(str, refusal.value.faults))
    return refusal.value.faults


def fault_of(**fields: Any) -> str:
    """The one fault of a job with these fields."""
    (fault,) = faults_of({"type": "full-crawl", "url": URL, **fields})
    return str(fault)


@pytest.mark.parametrize(
    "payload", [URL, f" {URL}\n", URL.encode(), f"\ufeff{URL}", "HTTPS" + URL[5:]]
)
def test_bare_url_is_a_job_of_the_default_type(payload: str | bytes) -> None:
    assert parse(payload) == JobSpec(type="single-page", url=URL)
    assert parse(payload, default_type="full-crawl").type == "full-crawl"


@pytest.mark.parametrize("form", [json.dumps, lambda fields: json.dumps(fields).encode(), dict])
def test_url_text_bytes_and_mapping_give_the_same_job(form: Any) -> None:
    fields = {"type": "full-crawl", "url": URL, "customerId": "acme", "maxPages": 5}
    assert parse(form(fields)) == JobSpec(
        type="full-crawl", url=URL, customer_id="acme", max_pages=5
    )


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ("", "is empty"),
        (b"\xff\xfe\x00", "no UTF-8 text (byte 0xff at 1)"),
        (b"\x80\x04\x95pickle", "no UTF-8 text"),
        ("\x00\x01", "'\\x00\\x01'"),
        ("www.example.com", "'www.example.com'"),
        ('["https://example.com/"]', "https://example.com/"),
        ('"https://example.com/"', "https://example.com/"),
        ("7", "is '7'"),
        ("{", "no valid JSON"),
        ("{'url': 'https://example.com/'}", "double ones"),
        ('{"url": NaN}', "NaN"),
        ('{"priority": -Infinity}', "Infinity"),
        ('{"priority": ' + "9" * 5_000 + "}", "far too long"),
        ('{"a":' * 20_000 + "1" + "}" * 20_000, "nested too deeply"),
        ("{" + " " * 131_072, "too large"),
        (URL + "é" * 70_000, "too large"),
        (None, "is null"),
        (7, "is 7"),
        ([URL], "is a list"),
    ],
)
def test_payload_of_no_known_form_is_refused_with_a_way_out(payload: Any, problem: str) -> None:
    (fault,) = faults_of(payload)
    assert fault.field == ""
    assert problem in str(fault)
    assert len(str(fault)) < 400


def test_all_faults_are_reported_at_once_each_on_a_line_of_its_own() -> None:
    faults = faults_of(
        {
            "type": "fullcrawl", "url": "/blog", "max_pages": 5, "turboMode": "true",
            "attempts": 0, "backoff": {"type": "linear", "delay": -1},
            "webhook": {"events": ["workerComplete"]}, "newConfigPreset": "fast",
        }
    )  # fmt: skip
    assert {fault.field for fault in faults} == {
        "type", "url", "max_pages", "turboMode", "attempts", "backoff.type", "backoff.delay",
        "webhook.url", "webhook.events", "newConfigPreset",
    }  # fmt: skip
    assert len(faults) == 10


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("max_pages", "maxPages"),
        ("maxpages", "maxPages"),
        ("MAX-PAGES", "maxPages"),
        ("customer_id", "customerId"),
        ("meta", "metadata"),
        ("excludePath", "excludePaths"),
        ("turbo", "turboMode"),
    ],
)
def test_unknown_field_suggests_the_nearest_right_one(name: str, meant: str) -> None:
    assert fault_of(**{name: 1}) == f"{name} is not a field of a job: did you mean {meant}?"


def test_unknown_field_that_is_near_to_none_lists_the_fields() -> None:
    assert "the fields are aiOptimization, allowedHosts, attempts" in fault_of(zzzz=1)
    assert fault_of(backoff={"dely": 1}) == (
        "backoff.dely is not a field of backoff: did you mean delay?"
    )


def test_field_name_that_is_no_text_is_refused() -> None:
    assert fault_of(**{"\ud800": 1}).startswith("the job has half a character")


@pytest.mark.parametrize("name", ["", "a b", "\n", "x" * 100_000, 7, None, ("a",)])
def test_field_name_of_any_kind_is_refused(name: Any) -> None:
    (fault,) = faults_of({"type": "full-crawl", "url": URL, name: 1})
    assert "is not a field of a job" in str(fault)
    assert len(str(fault)) < 600


@pytest.mark.parametrize(
    ("field", "allowed", "refused"),
    [
        ("maxPages", [1, 10_000_000, 5.0], [0, -1, 10_000_001, 2.5, "5", True, [1], 10**5_000]),
        ("priority", [-1_000, 0, 1_000], [-1_001, 1_001, "1", False, 0.5]),
        ("delay", [0, 31_536_000_000], [-1, 31_536_000_001, "1"]),
        ("attempts", [1, 25], [0, 26, 1.5]),
        ("maxDuration", [1_000, 86_400_000], [999, 86_400_001]),
        ("maxDepth", [0, 1_000], [-1, 1_001, float("nan"), float("inf")]),
        ("resultTtl", [0.1, 60, 315_360_000], [0, -1, "60", True, float("nan"), float("inf")]),
        ("turboMode", [True, False], ["true", 1, 0, "", []]),
        ("html", [True, False], ["yes", 1]),
        ("backoff", [{}, {"type": "fixed"}, {"delay": 0}], ["fixed", 5, [], {"type": 1}]),
        ("jobId", ["a", "7.A_b@c-d", "x" * 128], ["", "@a", "-a", "a:b", "a b", "x" * 129, 7, "ä"]),
        ("customerId", ["acme", "a:b"], ["", "@a", "a|b", "a b", "a\n", "x" * 129, 7]),
        ("metadata", [{}, {"a": [1, None, {"b": "ü"}]}], [[], "x", 7, {"a": b"x"}, {"a": {1, 2}}]),
    ],
)
def test_field_takes_its_range_and_refuses_the_rest(
    field: str, allowed: list[Any], refused: list[Any]
) -> None:
    for value in allowed:
        job(**{field: value})
    for value in refused:
        assert fault_of(**{field: value}).startswith(field)


def test_range_is_named_with_its_unit() -> None:
    assert fault_of(maxPages=-5) == "maxPages is -5: give a whole number from 1 to 10,000,000"
    assert fault_of(maxPages="5").endswith("from 1 to 10,000,000, without quotes")
    assert "whole number of ms from 1,000 to 86,400,000" in fault_of(maxDuration=5)


def test_null_counts_as_not_given() -> None:
    assert job(maxPages=None, turboMode=None, backoff=None, newConfigPreset=None) == job()


def test_crawl_types_have_a_budget_of_1000_pages_and_a_single_page_of_one() -> None:
    assert parse({"url": URL}).max_pages is None
    assert parse({"url": URL, "maxPages": 1}).max_pages == 1
    assert job().max_pages == job(type="news-archive").max_pages == 1_000
    assert JobSpec(type="full-crawl", url=URL).max_pages == 1_000
    (fault,) = faults_of({"url": URL, "maxPages": 2})
    assert str(fault).startswith("maxPages is 2 for a single page: leave it out")


def test_unknown_type_lists_or_suggests_types() -> None:
    assert fault_of(type="full_crawl").endswith("did you mean full-crawl?")
    assert fault_of(type="x").endswith("the types are full-crawl, news-archive, single-page")
    assert fault_of(type=7) == "type is 7: give a text in quotes"


def test_job_types_are_the_names_of_the_spider_files() -> None:
    assert {"single-page", "full-crawl"} <= job_types()
    assert not any(name.startswith("-") or "_" in name for name in job_types())


def test_metadata_comes_back_as_given_and_is_a_copy() -> None:
    given_metadata: dict[str, Any] = {"order": 17, "tags": ["ü", None, True, 1.5]}
    spec = job(metadata=given_metadata)
    assert spec.metadata == given_metadata
    given_metadata["tags"].append("later")
    assert spec.metadata["tags"] == ["ü", None, True, 1.5]


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": float("nan")}, {"a": float("inf")}, {"a": 2**64}, {"a": "\ud800"}, {1: 2},
        {"a": "x" * 65_536}, {"a": "ä" * 32_768},
    ],
)  # fmt: skip
def test_metadata_that_would_not_come_back_as_given_is_refused(metadata: Any) -> None:
    assert fault_of(metadata=metadata).startswith("metadata ")


def test_metadata_that_is_nested_without_end_is_refused() -> None:
    circle: dict[str, Any] = {}
    circle["again"] = circle
    assert fault_of(metadata=circle).startswith("metadata ")
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert fault_of(metadata={"deep": deep}).startswith("metadata ")
    assert fault_of(url=deep).startswith("url is a list")
    while isinstance(deep, list):  # taken apart by hand: its own destructor would recurse
        deep = deep.pop()


def test_webhook_takes_a_part_of_the_events() -> None:
    spec = job(webhook={"url": "https://example.com/hook", "events": ["workerFailed"]})
    assert spec.webhook is not None
    assert spec.webhook.events == ("workerFailed",)
    everything = job(webhook={"url": "https://example.com/hook"}).webhook
    assert everything is not None
    assert len(everything.events) == 5


@pytest.mark.parametrize(
    ("webhook", "problem"),
    [
        ({"events": ["workerFailed"]}, "webhook.url is missing"),
        ({"url": "ftp://example.com/"}, "webhook.url begins with ftp://"),
        ({"url": URL, "events": []}, "webhook.events is empty"),
        ({"url": URL, "events": "workerFailed"}, "webhook.events is 'workerFailed': give a list"),
        ({"url": URL, "events": [{}]}, "webhook.events has an object in it"),
        ({"url": URL, "events": ["pageCommited"]}, "did you mean pageCommitted?"),
        ({"url": URL, "secret": ""}, "webhook.secret"),
        ({"url": URL, "scret": "a"}, "did you mean secret?"),
        (URL, "give an object with url, events, secret"),
    ],
)
def test_bad_webhook_is_refused(webhook: Any, problem: str) -> None:
    assert problem in fault_of(webhook=webhook)


def test_secret_of_a_webhook_is_not_shown() -> None:
    spec = job(webhook={"url": URL, "secret": "s3cret"})
    assert "s3cret" not in repr(spec)
    assert "s3cret" not in fault_of(webhook={"url": URL, "secret": "s3cret with spaces"})


def test_preset_goes_beneath_what_the_job_says_itself() -> None:
    preset = {"useNewConfig": True, "newConfigPreset": "polite"}
    assert job(**preset).attempts == 7
    assert job(**preset).max_pages == 50
    assert job(**preset, attempts=1, maxPages=3).attempts == 1
    assert job(**preset, attempts=1, maxPages=3).max_pages == 3


def test_what_a_preset_says_of_crawls_does_not_concern_a_single_page() -> None:
    spec = parse({"url": URL, "useNewConfig": True, "newConfigPreset": "polite"})
    assert (spec.max_pages, spec.exclude_paths, spec.attempts) == (None, (), 7)


def test_flag_alone_takes_the_default_preset() -> None:
    assert job(useNewConfig=True).new_config_preset == "default"
    assert job(useNewConfig=False).new_config_preset is None


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"newConfigPreset": "fast"}, "given without useNewConfig: add"),
        ({"newConfigPreset": "fast", "useNewConfig": False}, "given without useNewConfig: add"),
        ({"newConfigPreset": "x", "useNewConfig": True}, "there are default, fast, polite"),
        ({"newConfigPreset": 7, "useNewConfig": True}, "give the name of a preset"),
        ({"newConfigPreset": "fast", "useNewConfig": "true"}, "useNewConfig is 'true'"),
    ],
)
def test_wrong_choice_of_a_preset_is_refused(fields: dict[str, Any], problem: str) -> None:
    assert problem in fault_of(**fields)


def test_names_of_presets_are_enough_to_check_the_choice() -> None:
    fields = {"url": URL, "useNewConfig": True, "newConfigPreset": "fast"}
    assert parse(fields, presets=["fast"]).new_config_preset == "fast"
    assert "no presets are known" in str(faults_of(fields, presets=())[0])


def test_defaults_go_beneath_the_preset() -> None:
    defaults = {"attempts": 9, "maxPages": 20, "backoff": {"type": "fixed", "delay": 1}}
    spec = job_with = parse({"type": "full-crawl", "url": URL}, defaults=defaults)
    assert (spec.attempts, spec.max_pages, spec.backoff.type) == (9, 20, "fixed")
    assert parse({"url": URL}, defaults=defaults).max_pages is None
    preset = {"type": "full-crawl", "url": URL, "useNewConfig": True, "newConfigPreset": "polite"}
    assert parse(preset, defaults=defaults).attempts == 7
    assert job_with.customer_id == "default"
    assert parse(URL, customer_default="acme").customer_id == "acme"


FULL: dict[str, Any] = {
    "type": "full-crawl", "url": URL, "customerId": "acme", "maxPages": 7,
    "includePaths": ["/blog/**"], "excludePaths": ["re:^/x"], "includeSubdomains": True,
    "allowedHosts": ["b.example:8080"], "followNofollow": True, "ignoreQuery": True,
    "ignoreQueryParams": ["ref_*"], "sortQuery": False, "sitemaps": "only",
    "maxPagesPerShape": 9, "hostDelay": 500, "hostConcurrency": 2, "turboMode": True,
    "ecommerceMode": True, "ownSite": True, "useNewConfig": True, "newConfigPreset": "fast",
    "aiOptimization": True, "metadata": {"a": ["ü", 1, 2.5, None]}, "jobId": "j-1",
    "priority": -5, "delay": 10, "attempts": 4, "backoff": {"type": "fixed", "delay": 0},
    "maxDuration": 5_000, "maxDepth": 0,
    "webhook": {"url": "https://example.com/hook", "events": ["workerFailed"], "secret": "s"},
    "resultTtl": 60.5, "html": True, "verifyTls": False,
}  # fmt: skip


def test_stored_job_is_read_back_equal() -> None:
    assert FULL.keys() == set(FIELDS[""])
    for spec in (parse(FULL), parse(URL), job()):
        assert JobSpec.from_stored(spec.to_json()) == spec
        assert JobSpec.from_stored(spec.to_json().encode()) == spec
    assert parse(FULL).to_json() == json.dumps(
        {"v": 1, **FULL}, separators=(",", ":"), ensure_ascii=False
    )
    assert parse(URL).to_json() == '{"v":1,"type":"single-page","url":"https://example.com/"}'


def test_defaults_stay_as_stored_jobs_were_written() -> None:
    # Jobs are stored without what has its default: to change one is to change jobs in Redis.
    defaults = JobSpec.from_stored('{"v":1,"type":"single-page","url":"https://example.com/"}')
    assert defaults.model_dump(by_alias=True) == {
        "type": "single-page", "url": URL, "customerId": "default", "maxPages": None,
        "includePaths": (), "excludePaths": (), "includeSubdomains": False, "allowedHosts": (),
        "followNofollow": False, "ignoreQuery": False, "ignoreQueryParams": IGNORED_PARAMETERS,
        "sortQuery": True, "sitemaps": "skip", "maxPagesPerShape": 2_000,
        "hostDelay": 0, "hostConcurrency": None,
        "turboMode": False, "ecommerceMode": False,
        "ownSite": False, "useNewConfig": False, "newConfigPreset": None,
        "aiOptimization": False, "metadata": {}, "jobId": None, "priority": 0, "delay": 0,
        "attempts": 3, "backoff": {"type": "exponential", "delay": 5_000}, "maxDuration": None,
        "maxDepth": None, "webhook": None, "resultTtl": None, "html": False,
        "verifyTls": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "{}", '{"v":2,"type":"single-page","url":"https://example.com/"}',
        '{"type":"single-page","url":"https://example.com/"}',
    ],
)  # fmt: skip
def test_stored_job_that_cannot_be_read_is_an_error_of_its_own(text: str) -> None:
    with pytest.raises(UnreadableJobError):
        JobSpec.from_stored(text)


_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(FIELDS[""]) | st.text(max_size=8), _values, max_size=6))
def test_any_object_is_a_job_that_can_be_stored_or_a_clear_refusal(fields: dict[str, Any]) -> None:
    try:
        spec = parse({"url": URL, **fields})
    except InvalidJobError as error:
        refusal = error
    else:
        assert JobSpec.from_stored(spec.to_json().encode()) == spec
        return
    assert all(fault.problem and fault.hint for fault in refusal.faults)
    assert str(refusal).isprintable()


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_payload_is_a_job_or_a_clear_refusal(payload: str | bytes) -> None:
    with suppress(InvalidJobError):
        assert parse(payload).url.startswith("http")


def test_hosts_are_kept_as_urls_have_them() -> None:
    spec = parse_job(
        {
            "type": "full-crawl",
            "url": "https://a.test/",
            "allowedHosts": ["B.test ", "c.test:8080"],
        },
        job_types=("full-crawl",),
    )
    assert spec.allowed_hosts == ("b.test", "c.test:8080")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("allowedHosts", ["https://b.test/"]),
        ("allowedHosts", ["b.test/path"]),
        ("allowedHosts", [""]),
        ("allowedHosts", [7]),
        ("ignoreQueryParams", ["a*b"]),
        ("ignoreQueryParams", [""]),
        ("ignoreQueryParams", ["a b"]),
        ("maxPagesPerShape", 0),
        ("hostDelay", -1),
        ("hostConcurrency", 0),
    ],
)
def test_wrong_scope_options_are_refused_by_name(field: str, value: object) -> None:
    assert field in fault_of(**{field: value})
