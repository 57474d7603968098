"""How fast a job is, when it will be through, and what holds it up, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import orjson

_WORDS = {
    "host_pause": "{host} asked for a rest (429 or 503) of {wait:.0f} s more",
    "crawl_delay": "the robots.txt of {host} asks for {delay:g} s between fetches",
    "slow_host": "{host} answers slowly or fails: {delay:g} s lie between fetches",
    "host_delay": "{delay:g} s lie between fetches of {host} (HOST_DELAY, hostDelay)",
    "host_limit": "{host} has as many fetches as it may have at once (HOST_CONCURRENCY, "
    "hostConcurrency)",
    "turn": "it takes turns with other customers' jobs",
    "memory": "its workers are short of memory",
    "queue_paused": "the queue is paused: `python -m supervisor resume` lets it go on",
    "no_worker": "no worker is running: start the service with `python -m supervisor run`",
}


@dataclass(frozen=True, slots=True)
class JobPace:
    """`rate` in pages/s of late; `eta_ms` None when it cannot be told.

    `reason` is what holds the job up ("": nothing but the workers' speed); `delay_ms` between two
    fetches of `host`, `wait_ms` until it is fetched again, 0 where that is not the reason.
    """

    rate: float
    eta_ms: int | None
    reason: str
    host: str
    delay_ms: int
    wait_ms: int

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From what `job_pace` answers."""
        return cls.from_fields(orjson.loads(text))

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """From that as an object, or from what `to_json` made."""
        slow = fields.get("slow") or {}
        eta = fields.get("eta")
        return cls(
            float(fields["rate"]), None if eta is None else int(eta), slow.get("reason", ""),
            slow.get("host", ""), int(slow.get("delay", 0)), int(slow.get("wait", 0)),
        )  # fmt: skip

    @property
    def held_up_by(self) -> str:
        """What holds the job up, in words; "" for nothing."""
        words = _WORDS.get(self.reason, self.reason)
        return words.format(host=self.host, delay=self.delay_ms / 1000, wait=self.wait_ms / 1000)

    @property
    def sentence(self) -> str:
        """Speed, time left, reason."""
        left = "" if self.eta_ms is None else f", about {self.eta_ms / 1000:.0f} s left"
        why = f"; {self.held_up_by}" if self.reason else ""
        return f"{self.rate:g} pages/s{left}{why}"

    def to_json(self) -> dict[str, Any]:
        """With the names that users see."""
        slow = {
            "reason": self.reason, "host": self.host, "delay": self.delay_ms, "wait": self.wait_ms,
            "text": self.held_up_by,
        }  # fmt: skip
        return {"rate": self.rate, "eta": self.eta_ms, "slow": slow if self.reason else None}
