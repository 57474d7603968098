"""Every test of this folder leaves a queue in which everything holds that must hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.queue_snapshot import QueueProbe

pytest.register_assert_rewrite(
    "tests.conformance.random_operations", "tests.support.queue_invariants"
)

from tests.support.queue_invariants import faults  # noqa: E402


@pytest.fixture(autouse=True)
def _all_holds(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves an undocumented key, a lost lane or a wrong count."""
    if "probe" not in request.fixturenames:
        yield
        return
    probe: QueueProbe = request.getfixturevalue("probe")
    yield
    assert faults(probe.snapshot()) == []
