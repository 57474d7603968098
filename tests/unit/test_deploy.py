"""The deployment files fit the code: settings, grace, memory, selectors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scraper.jobs import load_config
from scraper.jobs.config import Config
from scraper.jobs.config_loading import env_name
from supervisor.loop import KILL_AFTER_DRAIN_S

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
SETTINGS = {env_name(field): field for field in Config.model_fields}
# The table of settings in the README and in interfaces: docker-compose.yml lists them all.
PROMISED = {
    "WORKER_CONCURRENCY", "WORKER_COUNT", "QUEUE_NAME", "ENABLE_HEALTH_MONITORING",
    "MEMORY_THRESHOLD", "MAX_JOB_DURATION", "REDIS_URL", "LOG_LEVEL", "ALLOW_PRIVATE_HOSTS",
    "USER_AGENT", "ROBOTS_OBEY",
}  # fmt: skip
# With these, nothing of a drain is cut off: the kill, and the last calls to Redis.
NEEDED_GRACE_S = load_config({}).drain_timeout_s + KILL_AFTER_DRAIN_S + 10


def documents() -> Iterator[dict[str, Any]]:
    for file in sorted(K8S.rglob("*.yaml")):
        yield from (found for found in yaml.safe_load_all(file.read_text()) if found)


def the(kind: str, name: str = "scraper-workers") -> dict[str, Any]:
    [found] = [
        one
        for one in documents()
        if (one["kind"], one.get("metadata", {}).get("name")) == (kind, name)
    ]
    return found


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_compose_lists_each_promised_setting_with_its_default(compose: dict[str, Any]) -> None:
    given = compose["services"]["workers"]["environment"]
    assert given.keys() >= PROMISED
    defaults = load_config({})
    for name, text in given.items():
        assert name in SETTINGS, f"{name} is no setting"
        default = re.fullmatch(r"\$\{" + name + r":-(.*)\}", text)
        assert default, f"{name} cannot be set from outside"
        if name != "REDIS_URL":
            own = load_config({name: default[1]}) if default[1] else defaults
            assert getattr(own, SETTINGS[name]) == getattr(defaults, SETTINGS[name]), name


def test_settings_of_the_config_map_are_valid() -> None:
    given = the("ConfigMap")["data"]
    assert given.keys() <= SETTINGS.keys()
    load_config(given)


def test_everything_waits_long_enough_for_a_drain(compose: dict[str, Any]) -> None:
    pod = the("Deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= NEEDED_GRACE_S
    for service in ("api", "workers"):
        assert (
            float(compose["services"][service]["stop_grace_period"].rstrip("s")) >= NEEDED_GRACE_S
        )
    unit = (ROOT / "deploy" / "systemd" / "scraper-workers.service").read_text()
    [stop] = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert int(stop) >= NEEDED_GRACE_S


def test_a_pod_has_the_memory_that_its_workers_may_use() -> None:
    [container] = the("Deployment")["spec"]["template"]["spec"]["containers"]
    limit = container["resources"]["limits"]["memory"]
    assert limit.endswith("Mi")
    settings = load_config(the("ConfigMap")["data"])
    assert isinstance(settings.worker_count, int)
    workers = settings.worker_count * settings.worker_memory_limit_bytes
    assert int(limit.removesuffix("Mi")) * 2**20 >= workers + 256 * 2**20


def test_redis_out_of_reach_restarts_no_pod() -> None:
    [container] = the("Deployment")["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] == "/health/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def test_selectors_find_the_pods_that_they_mean() -> None:
    labels = the("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        the("Deployment")["spec"]["selector"]["matchLabels"],
        the("Service")["spec"]["selector"],
        the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        the("NetworkPolicy", "scraper-workers-redis")["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
    redis = the("StatefulSet", "redis")["spec"]["template"]["metadata"]["labels"]
    assert the("Service", "redis")["spec"]["selector"].items() <= redis.items()
    assert (
        the("NetworkPolicy", "redis")["spec"]["podSelector"]["matchLabels"].items() <= redis.items()
    )


def test_kustomizations_name_files_that_exist_and_no_file_is_left_out() -> None:
    for file in sorted(K8S.rglob("kustomization.yaml")):
        named = yaml.safe_load(file.read_text())["resources"]
        for resource in named:
            assert (file.parent / resource).exists(), f"{file}: {resource}"
        others = {path.name for path in file.parent.glob("*.yaml")} - {file.name}
        assert others <= set(named)


def test_scaling_asks_for_a_metric_that_is_there() -> None:
    source = (ROOT / "supervisor" / "http" / "metrics.py").read_text()
    [trigger] = the("ScaledObject")["spec"]["triggers"]
    metric = trigger["metadata"]["valueLocation"].partition("{")[0]
    assert f'"{metric.removeprefix("scraper_")}"' in source
    for scaler in ("ScaledObject", "HorizontalPodAutoscaler"):
        assert (
            the(scaler)["spec"]["scaleTargetRef"]["name"] == the("Deployment")["metadata"]["name"]
        )


def test_the_build_context_holds_what_the_image_copies() -> None:
    kept = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = re.findall(r"^COPY (?!--from)(\S+) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert copied
    for path in copied:
        assert path in kept
        assert (ROOT / path).exists()


def test_each_alert_has_its_section_in_the_runbook() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert alerts == sections
