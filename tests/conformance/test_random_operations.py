"""Property test: conservation, exact budgets, exactly-once and liveness under random operations."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conformance.random_operations import RandomOperations

# RANDOM_OPERATIONS=<examples> runs the long search: 1000 examples take about ten minutes.
EXAMPLES = int(os.environ.get("RANDOM_OPERATIONS", "25"))
STEPS = 50


@pytest.mark.timeout(60 + 3 * EXAMPLES)
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_queue_agrees_with_its_model_and_ends_all_jobs(redis_url: str, workers: int) -> None:
    machine = type(
        f"RandomOperationsOf{workers}", (RandomOperations,),
        {"url": redis_url, "worker_count": workers},
    )  # fmt: skip
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
