"""Prometheus's own check of metrics: promtool of Debian's package `prometheus`."""

from __future__ import annotations

import subprocess

from tests.chaos.doc_packages import tool


def complaints(metrics: bytes) -> str:
    """What `promtool check metrics` finds wrong with an answer of /metrics."""
    done = subprocess.run(
        [tool("promtool", "prometheus"), "check", "metrics"], input=metrics, check=False,
        capture_output=True,
    )  # fmt: skip
    said = (done.stdout + done.stderr).decode()
    return said or (f"it ended with {done.returncode}" if done.returncode else "")
