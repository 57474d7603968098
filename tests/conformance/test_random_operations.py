"""Property test: conservation, exact budgets, exactly-once and liveness under random operations."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conformance.random_operations import RandomOperations
from tests.support.server_kinds import ServerAccess

# The long search: RANDOM_OPERATIONS=1000. Shrinking takes minutes: RANDOM_OPERATIONS_SHRINK=1.
EXAMPLES = int(os.environ.get("RANDOM_OPERATIONS", "25"))
STEPS = 50
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
if os.environ.get("RANDOM_OPERATIONS_SHRINK"):
    PHASES.append(Phase.shrink)


@pytest.mark.timeout(60 + 3 * EXAMPLES)
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_queue_agrees_with_its_model_and_ends_all_jobs(
    queue_server: ServerAccess, workers: int
) -> None:
    where = {"url": queue_server.url, "admin_url": queue_server.admin_url}
    machine = type(
        f"RandomOperationsOf{workers}", (RandomOperations,), {**where, "worker_count": workers}
    )
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            phases=PHASES,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
