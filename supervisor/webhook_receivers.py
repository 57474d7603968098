"""How much each receiver of webhooks is sent at once, and when one that fails rests."""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import urlsplit

AT_ONCE = 8
# One that fails or hangs holds no more than one connection, and rests in between.
AT_ONCE_FAILING = 1
LONGEST_REST_S = 60.0
LONGEST_WAIT_S, SHORTEST_WAIT_S, WAIT_STEP_S = 30.0, 0.2, 0.02
KEPT = 10_000


@dataclass(slots=True)
class _Receiver:
    in_flight: int = 0
    failures: int = 0
    rests_until_s: float = 0.0
    # Deliveries put off lately: the more there are, the later the next one asks again.
    waits: int = 0


def origin_of(url: str) -> str:
    """Scheme, host and port: what is up or down as one."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


class Receivers:
    """Bookkeeping for all receivers; no clock and no network of its own."""

    def __init__(self, backoff_s: float, longest_s: float) -> None:
        self._backoff_s = backoff_s
        self._longest_s = min(longest_s, LONGEST_REST_S)
        self._known: OrderedDict[str, _Receiver] = OrderedDict()

    def wait_s(self, origin: str, now_s: float) -> float:
        """0: send now. Else how long the delivery is to be put off."""
        receiver = self._known.get(origin)
        if receiver is None:
            return 0.0
        if now_s < receiver.rests_until_s:
            return max(0.02, receiver.rests_until_s - now_s) * random.uniform(1.0, 1.2)
        if receiver.in_flight < (AT_ONCE_FAILING if receiver.failures else AT_ONCE):
            return 0.0
        receiver.waits += 1
        wait_s = max(SHORTEST_WAIT_S, receiver.waits * WAIT_STEP_S)
        return min(LONGEST_WAIT_S, wait_s) * random.uniform(0.5, 1.5)

    def is_failing(self, origin: str) -> bool:
        receiver = self._known.get(origin)
        return receiver is not None and receiver.failures > 0

    def begin(self, origin: str) -> None:
        """A delivery goes out."""
        receiver = self._known.setdefault(origin, _Receiver())
        self._known.move_to_end(origin)
        receiver.in_flight += 1
        receiver.waits //= 2
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def end(self, origin: str, now_s: float, *, is_up: bool) -> None:
        """It came back. `is_up`: the receiver took it."""
        receiver = self._known.get(origin)
        if receiver is None:
            return
        receiver.in_flight = max(0, receiver.in_flight - 1)
        if is_up:
            receiver.failures, receiver.rests_until_s = 0, 0.0
            return
        receiver.failures += 1
        rest_s = self._backoff_s * 2.0 ** min(receiver.failures - 1, 16)
        receiver.rests_until_s = now_s + min(self._longest_s, rest_s)
