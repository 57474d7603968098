"""Descriptors whose life stands for this process: a fork of it must not keep them open."""

from __future__ import annotations

import contextlib
import os

_owned: set[int] = set()


def own(descriptor: int) -> int:
    """Have every later fork close its copy; programs that are started inherit none anyway."""
    _owned.add(descriptor)
    return descriptor


def disown(descriptor: int) -> None:
    """Its owner closes it here."""
    _owned.discard(descriptor)


def disown_and_close(descriptor: int) -> None:
    """Close it here."""
    disown(descriptor)
    os.close(descriptor)


def _close_in_fork() -> None:
    for descriptor in _owned:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _owned.clear()


os.register_at_fork(after_in_child=_close_in_fork)
