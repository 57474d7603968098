"""Every key in Redis: its name, type, owner and end. `docs/keys.md` is generated from here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

# A job id has no ":" and no name has "|", so that no two kinds of key can be mistaken.
_PLACEHOLDERS = {
    "<id>": "[^:|]+",
    "<state>": "[a-z]+",
    "<pool>": "[^:|]+",
    "<priority>": "-?[0-9]+",
    "<group>": "-?[0-9]+",
    "<host>": "[^|]+",
    "<origin>": "https?://[^|]+",
    "<customer>": "[^|]+",
    "<instance>": "[^|]+",
    "<supervisor>": "[^|:]+",
    "<order>": "[0-9a-f]+",
}


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One kind of key.

    `pattern` is the name behind `{queue}:`; `<x>` stands for any text. `ends` says what removes
    it: no key lives without an end or a bound.
    """

    pattern: str
    type: str
    owner: str
    ends: str
    holds: str

    def matches(self, name: str) -> bool:
        """True when `name` (without the prefix) is a key of this kind."""
        return _regex(self.pattern).fullmatch(name) is not None


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(<[a-z]+>)", pattern)
    return re.compile("".join(_PLACEHOLDERS.get(p, re.escape(p)) for p in parts))


_FOREVER = "with the queue; size bounded"
_WITH_JOB = "with its job: resultTtl, or the count of finished jobs"
_WITH_HOOK = "WEBHOOK_GIVE_UP and an hour after its job was removed"

CATALOGUE: tuple[KeySpec, ...] = (
    KeySpec(
        "meta",
        "hash",
        "all",
        _FOREVER,
        "counters (jobs, tokens, claims, barriers), `paused`, `moved`, `format`, when reports "
        "came last, events an entry (mean)",
    ),
    KeySpec("settings", "hash", "client", _FOREVER, "limits that scripts need, from the settings"),
    KeySpec("totals", "hash", "all", _FOREVER, "jobs and pages counted since the queue began"),
    KeySpec(
        "measures",
        "hash",
        "workers; finish",
        _FOREVER,
        "pages by outcome, durations by bucket, since the queue began",
    ),
    KeySpec("weights", "hash", "operator", _FOREVER, "customer -> share of turns (default 1)"),
    KeySpec(
        "turns",
        "hash",
        "lease_pages",
        "with the customer's last open job",
        "priority:customer -> virtual time of its next turn",
    ),
    KeySpec("virtual_time", "hash", "lease_pages", _FOREVER, "priority -> virtual time now"),
    KeySpec(
        "open_jobs",
        "hash",
        "submit_jobs",
        "with the customer's last open job",
        "priority:customer -> unfinished jobs",
    ),
    KeySpec("events", "stream", "all", "trimmed to EVENTS_KEPT", "events; no records in them"),
    KeySpec("jobs:<state>", "zset", "all", "emptied by removal", "job -> since when, in ms"),
    KeySpec(
        "customer:<customer>:jobs",
        "zset",
        "submit_jobs",
        "emptied by removal",
        "job -> submitted at, in ms",
    ),
    KeySpec("finished", "zset", "finish", "by retention", "finished job -> when, in ms"),
    KeySpec("expiries", "zset", "finish", "by retention", "finished job -> removed at, in ms"),
    KeySpec(
        "delayed",
        "zset",
        "commit_pages, retry",
        "emptied by promotion",
        "`j <job>` or `p <job> <url>` -> due, in ms",
    ),
    KeySpec("deadlines", "zset", "lease_pages", "with its job", "job -> end of maxDuration, ms"),
    KeySpec("ready:<pool>", "zset", "turnstile", "emptied by leasing", "priority"),
    KeySpec(
        "ready:<pool>|<priority>", "zset", "turnstile", "emptied by leasing", "customer -> turn"
    ),
    KeySpec(
        "ready:<pool>|<priority>|<customer>",
        "zset",
        "turnstile",
        "emptied by leasing",
        "lane `<job> <host>` -> rank",
    ),
    KeySpec(
        "parked:<host>",
        "zset",
        "turnstile",
        "emptied by waking",
        "group: priority + 10,000 x limit of the host (+ 10^8: the job keeps no delay)",
    ),
    KeySpec("parked:<host>|<group>", "zset", "turnstile", "emptied by waking", "as `ready`"),
    KeySpec(
        "parked:<host>|<group>|<customer>",
        "zset",
        "turnstile",
        "emptied by waking",
        "as `ready`; rank is the job's number",
    ),
    KeySpec(
        "hosts_due",
        "zset",
        "lease_pages",
        "emptied by waking",
        "host with parked lanes -> looked at again, in ms",
    ),
    KeySpec(
        "host:<host>",
        "hash",
        "lease_pages",
        "last leave, or TTL of its delay",
        "in_flight, and by_limit: `<limit>:<fetches> ...`; next_at, paused_until, crawl_delay and "
        "by whose file, slow_delay, pushbacks, pace_until; hop: the last start of a redirect",
    ),
    KeySpec(
        "robots:<origin>",
        "string",
        "claim_robots, store_robots",
        "TTL: ROBOTS_TTL, 10 s when it could not be had",
        "robots.txt, Zstandard of JSON; or `pending <worker>`",
    ),
    KeySpec("workers", "zset", "lease_pages", "reclaim", "worker instance -> lease deadline, ms"),
    KeySpec(
        "worker:<instance>",
        "hash",
        "lease_pages",
        "reclaim",
        "last request and what it was granted, pools, whether it waits for work",
    ),
    KeySpec(
        "leases:<instance>",
        "hash",
        "lease_pages",
        "commit, release, reclaim",
        "token -> `<url> <job> <host> <start at ms> <depth> <parent> <attempts>[ <extra>]`",
    ),
    KeySpec("idle:<pool>", "set", "lease_pages", "reclaim", "workers that wait for work"),
    KeySpec(
        "wake:<instance>",
        "list",
        "all",
        "popped by its worker; TTL 60 s",
        "wake-up tokens of one idle worker",
    ),
    KeySpec("claimed", "hash", "drain_inbox", "submit or reject", "claim -> raw push"),
    KeySpec("rejected", "list", "reject_push", "the newest 10,000", "refused pushes, JSON"),
    KeySpec(
        "supervisors",
        "zset",
        "report_supervisor",
        "not heard of for 15 s; its supervisor's end",
        "supervisor -> last heard of, in ms",
    ),
    KeySpec(
        "supervisor:<supervisor>",
        "string",
        "report_supervisor",
        "TTL 15 s; its supervisor's end",
        "report on its workers, memory and health, JSON",
    ),
    KeySpec(
        "loads",
        "hash",
        "report_supervisor",
        "as `supervisors`",
        "supervisor -> workers wanted, running, memory used, allowed (bytes)",
    ),
    KeySpec(
        "history",
        "stream",
        "report_supervisor",
        "trimmed to a day",
        "a point every 10 s: jobs by state, counts since the queue began, workers, memory",
    ),
    KeySpec(
        "told:<supervisor>",
        "string",
        "publish_events",
        "TTL 1 h",
        "its last batch of events, so that a repeated one is not added twice",
    ),
    KeySpec(
        "name:<supervisor>",
        "string",
        "supervisor",
        "TTL 15 s; its supervisor's end",
        "the machine whose name it is: host names may be the same",
    ),
    KeySpec("migration", "string", "migrate", "with the migration", "a copy is under way"),
    KeySpec("orders:<supervisor>", "list", "command line", "taken; TTL 60 s", "orders, JSON"),
    KeySpec("answer:<order>", "list", "supervisor", "taken; TTL 120 s", "what became of an order"),
    KeySpec(
        "tokens",
        "hash",
        "command line",
        "revoked one by one",
        "token id -> whose it is, and the SHA-256 of the token",
    ),
    KeySpec(
        "webhooks",
        "hash",
        "claim_webhooks",
        _FOREVER,
        "holder and until: who delivers, and until when (ms); position: the place in `events` up "
        "to which deliveries are queued",
    ),
    KeySpec(
        "hooks", "zset", "submit_jobs", _WITH_HOOK, "job with a webhook -> removed at, in ms; inf"
    ),
    KeySpec(
        "hooks_due",
        "zset",
        "queue_deliveries",
        "emptied by delivering",
        "job -> when its next delivery is due, in ms",
    ),
    KeySpec(
        "hook:<id>",
        "hash",
        "submit_jobs, settle_delivery",
        _WITH_HOOK,
        "events, numbers given, attempts of the next delivery; spec of a removed job",
    ),
    KeySpec(
        "hook:<id>:queue",
        "list",
        "queue_deliveries",
        "emptied by delivering; at most WEBHOOK_QUEUE",
        "`<number> <sequence> <event id> <event> <at ms> <rest as JSON>`",
    ),
    KeySpec(
        "hook:<id>:log",
        "list",
        "settle_delivery",
        "with its job; at most WEBHOOK_LOG",
        "attempts, the newest first, JSON",
    ),
    KeySpec("job:<id>", "hash", "submit_jobs", _WITH_JOB, "spec, state, counts, times"),
    KeySpec(
        "job:<id>:pages",
        "hash",
        "commit_pages",
        _WITH_JOB,
        "URL -> state, depth, parent record, attempts, note",
    ),
    KeySpec(
        "job:<id>:lane:<host>",
        "list",
        "commit_pages",
        "emptied by leasing, or finish",
        "queued URLs",
    ),
    KeySpec("job:<id>:hosts", "set", "commit_pages", "finish", "hosts with a lane"),
    KeySpec("job:<id>:holders", "hash", "lease_pages", "finish", "worker -> leases it holds"),
    KeySpec(
        "job:<id>:suspects",
        "hash",
        "bury_worker",
        _WITH_JOB,
        "URL -> charges and deaths, JSON: pages that were handled when a worker died",
    ),
    KeySpec("job:<id>:records", "list", "commit_pages", _WITH_JOB, "page records"),
    KeySpec("job:<id>:recorded", "list", "commit_pages", _WITH_JOB, "their URLs, same order"),
    KeySpec("job:<id>:errors", "list", "commit_pages", _WITH_JOB, "failed pages, JSON"),
    KeySpec(
        "job:<id>:sitemaps",
        "list",
        "commit_pages",
        _WITH_JOB,
        "URLs of sitemaps that named pages; -2 as a page's parent is the first",
    ),
    KeySpec(
        "job:<id>:shapes",
        "hash",
        "commit_pages",
        _WITH_JOB,
        "form of URLs of which there may be no end -> pages known of it",
    ),
    KeySpec("job:<id>:filtered", "hash", "commit_pages", _WITH_JOB, "reason -> links left out"),
    KeySpec(
        "job:<id>:filtered_sample",
        "list",
        "commit_pages",
        _WITH_JOB,
        "the newest 200 as `<reason> <url>`",
    ),
)


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names of one queue. All share the hash tag `{queue}`, so one Cluster slot."""

    queue: str

    @property
    def prefix(self) -> str:
        return f"{{{self.queue}}}:"

    @property
    def inbox(self) -> str:
        """The list that `redis-cli lpush <queue>` writes: the queue's bare name, same slot."""
        return self.queue

    def key(self, name: str) -> str:
        return self.prefix + name

    def job(self, job_id: str, part: str = "") -> str:
        """A job's hash, or one of its parts such as `records`."""
        return f"{self.prefix}job:{job_id}" + (f":{part}" if part else "")

    def spec_of(self, key: str) -> KeySpec | None:
        """The catalogue's entry for a key of this queue, None when it is undocumented."""
        if not key.startswith(self.prefix):
            return None
        name = key[len(self.prefix) :]
        return next((spec for spec in CATALOGUE if spec.matches(name)), None)
