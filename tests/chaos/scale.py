"""How much of each chaos test runs: short in `make test`, all of it in `make chaos`."""

from __future__ import annotations

import os
import random
from typing import TypeVar

import pytest

T = TypeVar("T")

IS_FULL = os.environ.get("CHAOS") == "full"
IS_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

full_only = pytest.mark.skipif(not IS_FULL, reason="a part of `make chaos`")


def by_scale(short: T, full: T) -> T:
    """The size of a test."""
    return full if IS_FULL else short


def seeded() -> tuple[random.Random, str]:
    """Randomness that CHAOS_SEED repeats, and the words that say so on failure."""
    seed = os.environ.get("CHAOS_SEED") or str(random.SystemRandom().getrandbits(32))
    return random.Random(seed), f"repeat with CHAOS_SEED={seed}"


def unavailable(reason: str) -> None:
    """Skip where a tool of the machine is missing; in CI that is a failure."""
    if IS_CI:
        pytest.fail(reason)
    pytest.skip(reason)
