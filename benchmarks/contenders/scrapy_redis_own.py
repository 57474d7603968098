"""scrapy-redis with its own scheduler, and the documented spider."""

import json
import random
import subprocess
import sys
import time

import redis

from benchmarks.contenders.contender import Contender
from benchmarks.plan import Mode, Plan, Report
from benchmarks.watch import Watch

_KEY = "documented:start_urls"


class ScrapyRedis(Contender):
    """Default settings but for its scheduler and dupefilter; one process."""

    name = "scrapy-redis"
    title = "scrapy-redis, its own scheduler"
    modes = frozenset(Mode)
    needs_redis = True

    def run(self, plan: Plan, watch: Watch) -> Report:
        match plan.mode:
            case Mode.MEMORY:
                return self._fill(plan, watch)
            case Mode.LATENCY:
                return self._push_one_by_one(plan, watch)
        single = plan.mode is Mode.SINGLE_PAGE
        urls = plan.urls_file.read_text().split() if single else [plan.start_url]
        redis.Redis.from_url(plan.redis_url).rpush(_KEY, *urls)
        watch.begin()
        watch.finish(self._worker(plan, watch))
        watch.end()
        return Report.read(plan.report_file)

    def _worker(self, plan: Plan, watch: Watch) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "benchmarks.workers.run_scrapy", "scrapy-redis"]
        return watch.start(command, plan.environment())

    def _fill(self, plan: Plan, watch: Watch) -> Report:
        watch.begin()
        command = [sys.executable, "-m", "benchmarks.workers.fill_scrapy_redis"]
        watch.complete(command, plan.environment())
        client = redis.Redis.from_url(plan.redis_url)
        known = int(client.zcard("documented:requests"))
        watch.end()
        return Report(pages=known, cpu_s=0, wall_s=0)

    def _push_one_by_one(self, plan: Plan, watch: Watch) -> Report:
        client = redis.Redis.from_url(plan.redis_url, decode_responses=True)
        worker = self._worker(plan, watch)
        latencies = []
        chance = random.Random(plan.pages)
        watch.begin()
        for url in plan.urls_file.read_text().split():
            # Its engine looks for work every 5 s: pushes must not keep step with that.
            time.sleep(chance.uniform(0.15, 5.15))
            pushed = time.time()
            client.rpush(_KEY, url)
            answer = client.blpop(["results"], timeout=60)
            if answer is not None:
                latencies.append(1000 * (json.loads(answer[1]) - pushed))
        watch.finish(worker)
        watch.end()
        report = Report.read(plan.report_file)
        report.latencies_ms.extend(latencies)
        return report
