"""Each validator of the deployment files runs and notices a fault: `deploy/checks/run.sh`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.scale import full_only
from tests.support.processes import ROOT

BASE = "deploy/k8s/base"
PRODUCTION = "deploy/k8s/overlays/production"
# A file, what to write for what, and a word of the validator that has to notice.
FAULTS = [
    ("Dockerfile", "USER 10001:10001", "USER 10001:10001\nRUN cd /tmp", "DL3003"),
    ("docker-compose.yml", "read_only: true", "readonly: true", "readonly"),
    ("deploy/compose/prometheus.yml", "global:", "global: {}\nglobal:", "duplication"),
    (f"{BASE}/deployment.yaml", "replicas: 2", "replica: 2", "replica"),
    (f"{BASE}/kustomization.yaml", "- service.yaml", "- services.yaml", "services.yaml"),
    (f"{PRODUCTION}/scaledobject.yaml", "minReplicaCount: 1", "minReplicaCount: x", "minReplica"),
    (f"{PRODUCTION}/scaledobject.yaml", "kind: ScaledObject", "kind: ScaledThing", "ScaledThing"),
    (f"{PRODUCTION}/servicemonitor.yaml", "endpoints:", "endpoint:", "endpoint"),
]


def check(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        ["deploy/checks/run.sh", str(Path(sys.executable).parent)], cwd=folder,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what is validated."""
    for name in ("Dockerfile", "docker-compose.yml"):
        shutil.copy(ROOT / name, tmp_path)
    ignored = shutil.ignore_patterns("node_modules")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=ignored)
    modules = ROOT / "deploy" / "checks" / "node_modules"
    assert modules.is_dir(), "run `make check` first"
    (tmp_path / "deploy" / "checks" / "node_modules").symlink_to(modules)
    return tmp_path


@full_only
@pytest.mark.parametrize(("file", "old", "new", "word"), FAULTS)
def test_a_fault_is_noticed(folder: Path, file: str, old: str, new: str, word: str) -> None:
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    code, said = check(folder)
    assert code != 0
    assert word in said, said


@full_only
def test_the_files_as_they_are_have_no_fault(folder: Path) -> None:
    code, said = check(folder)
    assert code == 0, said
