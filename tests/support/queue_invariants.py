"""What must hold of a queue between any two scripts; tests call `faults` after every step."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache

from scraper.jobs.keys import Keys, KeySpec
from tests.support.queue_snapshot import Snapshot, StoredJob

FINAL = {"completed", "failed", "cancelled"}
MAY_LEASE = {"waiting", "active"}
STATES = ("waiting", "delayed", "active", "paused", "completed", "failed", "cancelled")
RANK_STEP = 2**40


def faults(snapshot: Snapshot) -> list[str]:
    """Everything that is wrong, as sentences; empty when all is well."""
    return [
        *_undocumented(snapshot),
        *(fault for job in snapshot.jobs.values() for fault in _job_faults(snapshot, job)),
        *_orphans(snapshot),
        *_lease_faults(snapshot),
        *_turnstile_faults(snapshot),
        *_index_faults(snapshot),
    ]


def _undocumented(snapshot: Snapshot) -> Iterator[str]:
    for key, stored in snapshot.all.items():
        if not key.startswith(snapshot.keys.prefix):
            if key != snapshot.keys.inbox and not key.startswith("{"):
                yield f"key {key!r} does not belong to the queue"
            continue
        spec = _spec_of(snapshot.keys, key)
        if spec is None:
            yield f"key {key!r} is not in the catalogue"
        elif spec.type != stored.type:
            yield f"key {key!r} is a {stored.type}, the catalogue says {spec.type}"


@cache
def _spec_of(keys: Keys, key: str) -> KeySpec | None:
    return keys.spec_of(key)


def _job_faults(snapshot: Snapshot, job: StoredJob) -> Iterator[str]:
    name = f"job {job.id} ({job.state})"
    is_final = job.state in FINAL
    letters = Counter(page.state for page in job.pages.values())
    open_pages = letters["q"] + letters["w"] + letters["l"]
    expected = {
        "queued": 0 if is_final else letters["q"],
        "delayed": 0 if is_final else letters["w"],
        "leased": 0 if is_final else letters["l"],
        "done": letters["d"],
        "failed": letters["f"],
        "skipped": letters["s"],
        "left": letters["o"] + (open_pages if is_final else 0),
    }
    for field, count in expected.items():
        if job.number(field) != count:
            yield f"{name}: {field} is {job.number(field)}, its pages say {count}"
    known = sum(count for field, count in expected.items() if field != "left")
    if job.number("known") != known:
        yield f"{name}: known is {job.number('known')}, the sum of its pages is {known}"
    yield from _budget_faults(job, name, open_pages)
    yield from _record_faults(job, name)
    yield from _suspect_faults(job, name)
    if is_final:
        for part in ("hosts", "holders"):
            if f"job:{job.id}:{part}" in snapshot.own:
                yield f"{name}: its {part} are still there"
        if job.lanes:
            yield f"{name}: its lanes are still there: {job.lanes}"
    else:
        yield from _lane_faults(job, name)


def _budget_faults(job: StoredJob, name: str, open_pages: int) -> Iterator[str]:
    done, leased, fetches = job.number("done"), job.number("leased"), job.number("fetches")
    bound = 3 * job.max_pages + 100
    if done + leased > job.max_pages:
        yield f"{name}: {done} done + {leased} leased exceed maxPages {job.max_pages}"
    if not 0 <= fetches <= bound:
        yield f"{name}: {fetches} fetches, the bound is {bound}"
    is_spent = done + leased >= job.max_pages or fetches >= bound
    if job.state not in FINAL and "starved" in job.fields and not is_spent:
        yield f"{name}: starved although its budget is not used up"
    if job.state in MAY_LEASE and leased == 0:
        if open_pages == 0:
            yield f"{name}: no open page, and not finished"
        if is_spent:
            yield f"{name}: its budget is used up, nothing is leased, and it is not finished"


def _record_faults(job: StoredJob, name: str) -> Iterator[str]:
    done = job.number("done")
    if not len(job.records) == len(job.recorded) == done:
        yield f"{name}: {len(job.records)} records, {len(job.recorded)} URLs of them, {done} done"
    twice = [url for url, times in Counter(job.recorded).items() if times > 1]
    if twice:
        yield f"{name}: recorded twice: {twice}"
    numbers = sorted(int(page.note) for page in job.pages.values() if page.state == "d")
    if numbers != list(range(done)):
        yield f"{name}: its pages name the records {numbers}"
    size = sum(len(record) for record in job.records)
    if job.number("bytes") != size:
        yield f"{name}: bytes is {job.number('bytes')}, its records have {size}"


def _suspect_faults(job: StoredJob, name: str) -> Iterator[str]:
    if job.number("suspects") != len(job.suspects):
        yield f"{name}: suspects is {job.number('suspects')}, there are {len(job.suspects)}"
    for url, suspect in job.suspects.items():
        alone = sum(death["alone"] for death in suspect["deaths"])
        if not 0 <= suspect["charges"] <= min(3, alone):
            yield f"{name}: {url} is charged {suspect['charges']} times, it was alone {alone} times"
        if url not in job.pages:
            yield f"{name}: the suspect {url} is no page of it"
    for url, page in job.pages.items():
        if page.note.startswith("quarantined") and job.suspects[url]["charges"] != 3:
            yield f"{name}: {url} is quarantined and charged {job.suspects[url]['charges']} times"


def _lane_faults(job: StoredJob, name: str) -> Iterator[str]:
    queued = {url for url, page in job.pages.items() if page.state == "q"}
    waiting = [url for urls in job.lanes.values() for url in urls if url in queued]
    twice = [url for url, times in Counter(waiting).items() if times > 1]
    if twice:
        yield f"{name}: in its lanes twice: {twice}"
    if lost := queued - set(waiting):
        yield f"{name}: queued, but in no lane: {sorted(lost)}"
    if job.hosts != job.lanes.keys():
        yield f"{name}: its hosts are {job.hosts}, its lanes {sorted(job.lanes)}"
    for host, urls in job.lanes.items():
        if wrong := [url for url in urls if url.split("/")[2] != host]:
            yield f"{name}: pages of other hosts in the lane of {host}: {wrong}"


def _orphans(snapshot: Snapshot) -> Iterator[str]:
    for name in snapshot.own:
        if name.startswith("job:") and name.split(":")[1] not in snapshot.jobs:
            yield f"key {name!r} belongs to no job"


def _lease_faults(snapshot: Snapshot) -> Iterator[str]:
    held: defaultdict[str, Counter[str]] = defaultdict(Counter)
    pages: Counter[tuple[str, str]] = Counter()
    in_flight: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for lease in snapshot.leases:
        held[lease.job][lease.worker] += 1
        pages[lease.job, lease.url] += 1
        in_flight[lease.host][snapshot.jobs[lease.job].number("host_limit")] += 1
        if lease.worker not in snapshot.get("workers", {}):
            yield f"lease {lease.token} of the unknown worker {lease.worker}"
        job = snapshot.jobs.get(lease.job)
        page = job.pages.get(lease.url) if job else None
        if page is None or page.state != "l":
            yield f"lease {lease.token} of {lease.url} in {lease.job}, which is {page}"
    tokens = Counter(lease.token for lease in snapshot.leases)
    if twice := [token for token, times in tokens.items() if times > 1]:
        yield f"tokens given twice: {twice}"
    for job in snapshot.jobs.values():
        if job.holders != dict(held[job.id]):
            yield f"job {job.id}: holders {job.holders}, leases {dict(held[job.id])}"
        for url, page in job.pages.items():
            if job.state not in FINAL and page.state == "l" and pages[job.id, url] != 1:
                yield f"job {job.id}: {url} is leased {pages[job.id, url]} times"
    yield from _host_faults(snapshot, in_flight)


def _host_faults(snapshot: Snapshot, in_flight: defaultdict[str, Counter[int]]) -> Iterator[str]:
    """Each host has in flight what is leased, by limits, too, and of none more than the limit."""
    hosts = {name[5:] for name in snapshot.own if name.startswith("host:")}
    for host in hosts | in_flight.keys():
        stored = snapshot.own.get(f"host:{host}")
        fields = stored.value if stored else {}
        total, leased = int(fields.get("in_flight", 0)), in_flight[host]
        if total != leased.total():
            yield f"host {host}: in_flight {total}, leases {leased.total()}"
        if total == 0 and stored and stored.ttl_ms < 0:
            yield f"host {host} has no fetch, and no end: {fields}"
        pairs = [pair.split(":") for pair in fields.get("by_limit", "").split()]
        if {int(limit): int(fetches) for limit, fetches in pairs} != leased:
            yield f"host {host}: by_limit {fields.get('by_limit')}, leases {dict(leased)}"
        for limit in leased:
            if (fetches := sum(n for other, n in leased.items() if other <= limit)) > limit:
                yield f"host {host}: {fetches} fetches of limits up to {limit}: {dict(leased)}"


def _turnstile_faults(snapshot: Snapshot) -> Iterator[str]:
    ready, parked = snapshot.turnstiles("ready"), snapshot.turnstiles("parked")
    for job in snapshot.jobs.values():
        for host in job.lanes:
            lane = f"{job.id} {host}"
            places = ready.get(lane, set()) | parked.get(lane, set())
            if len(places) > 1:
                yield f"lane {lane!r} waits in {sorted(places)}"
            may_lease = job.state in MAY_LEASE
            if may_lease and "starved" not in job.fields and not places:
                yield f"lane {lane!r} of the {job.state} job waits nowhere"
            if not may_lease and places:
                yield f"lane {lane!r} of the {job.state} job waits in {sorted(places)}"
    for lane in ready.keys() | parked.keys():
        job_id, host = lane.split(" ")
        if job_id not in snapshot.jobs or host not in snapshot.jobs[job_id].lanes:
            yield f"lane {lane!r} waits without pages"
    due = snapshot.get("hosts_due", {})
    for name in snapshot.own:
        if name.startswith("parked:") and "|" not in name and name[7:] not in due:
            yield f"host {name[7:]} has parked lanes that nothing will wake"
    yield from _shape_faults(snapshot)
    yield from _rank_faults(snapshot)


def _shape_faults(snapshot: Snapshot) -> Iterator[str]:
    """Each level of a turnstile names exactly what the level below holds."""
    below: defaultdict[str, set[str]] = defaultdict(set)
    levels = [name for name in snapshot.own if name.startswith(("ready:", "parked:"))]
    for name in levels:
        if "|" in name:
            above, _, member = name.rpartition("|")
            below[above].add(member)
    for name in {*levels, *below}:
        if name.count("|") < 2 and set(snapshot.get(name, {})) != below[name]:
            yield f"turnstile {name}: {set(snapshot.get(name, {}))}, below it {below[name]}"


def _rank_faults(snapshot: Snapshot) -> Iterator[str]:
    for name, stored in snapshot.own.items():
        if not name.startswith("ready:") or name.count("|") != 2:
            continue
        for lane, rank in stored.value.items():
            job = snapshot.jobs.get(lane.split(" ")[0])
            if job and rank != len(job.holders) * RANK_STEP + job.number("seq"):
                yield f"lane {lane!r} has rank {rank} with {len(job.holders)} holders"


def _index_faults(snapshot: Snapshot) -> Iterator[str]:
    jobs = snapshot.jobs.values()
    for state in STATES:
        listed = set(snapshot.get(f"jobs:{state}", {}))
        if listed != {job.id for job in jobs if job.state == state}:
            yield f"jobs:{state} lists {sorted(listed)}"
    ended = {job.id for job in jobs if job.state in FINAL}
    for name in ("finished", "expiries"):
        if set(snapshot.get(name, {})) != ended:
            yield f"{name} lists {set(snapshot.get(name, {}))}, ended are {ended}"
    # A foreground job's time runs from the start: nobody else would ever end it.
    timed = {
        job.id
        for job in jobs
        if job.state == "active"
        or (job.state in ("waiting", "delayed") and job.fields["pool"].startswith("@"))
    }
    if set(snapshot.get("deadlines", {})) != timed:
        yield f"deadlines lists {set(snapshot.get('deadlines', {}))}"
    open_jobs: Counter[str] = Counter()
    by_customer: defaultdict[str, set[str]] = defaultdict(set)
    for job in jobs:
        place = f"{job.fields['priority']}:{job.fields['customer']}"
        open_jobs[place] += job.state not in FINAL
        by_customer[job.fields["customer"]].add(job.id)
    counted = {place: int(count) for place, count in snapshot.get("open_jobs", {}).items()}
    if counted != {place: count for place, count in open_jobs.items() if count}:
        yield f"open_jobs is {counted}, unfinished are {dict(open_jobs)}"
    if surplus := set(snapshot.get("turns", {})) - set(counted):
        yield f"turns of customers without jobs: {surplus}"
    for name, stored in snapshot.own.items():
        if name.startswith("customer:") and set(stored.value) != by_customer[name[9:-5]]:
            yield f"{name} lists {set(stored.value)}"
    yield from _delayed_faults(snapshot)
    yield from _worker_faults(snapshot)


def _delayed_faults(snapshot: Snapshot) -> Iterator[str]:
    entries = set(snapshot.get("delayed", {}))
    delayed = {f"j {job.id}" for job in snapshot.jobs.values() if job.state == "delayed"}
    if {entry for entry in entries if entry.startswith("j ")} != delayed:
        yield f"delayed lists {entries}, delayed are {delayed}"
    for job in snapshot.jobs.values():
        for url, page in job.pages.items():
            if page.state == "w" and job.state not in FINAL and f"p {job.id} {url}" not in entries:
                yield f"job {job.id}: {url} is delayed for ever"


def _worker_faults(snapshot: Snapshot) -> Iterator[str]:
    workers = set(snapshot.get("workers", {}))
    for name, stored in snapshot.own.items():
        kind, _, instance = name.partition(":")
        if kind in ("worker", "leases") and instance not in workers:
            yield f"{name} of a worker that is gone"
        if kind == "idle" and (lost := stored.value - workers):
            yield f"{name} holds workers that are gone: {lost}"
        if kind == "wake" and stored.ttl_ms < 0:
            yield f"{name} has no end"
