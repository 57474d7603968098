"""DURABILITY=replicas: what was answered is on a replica; what is not is said to be unknown."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from scraper.jobs import Config, JobQueue, JobState
from scraper.jobs.client import SubmitUnknownError
from scraper.jobs.connection import check_server, connect
from scraper.jobs.durability import NotReplicatedError, ReplicaAcknowledgement
from scraper.jobs.leases import LeaseRequest
from scraper.jobs.transitions import Transitions
from supervisor.cli_run import server_problems
from tests.support.queue_driver import POOLS, page_commit
from tests.support.redis_cluster import running_cluster
from tests.support.redis_replication import Member, Replication, running_replication

pytestmark = pytest.mark.anyio

JOB = {"type": "single-page", "url": "http://a.test/", "jobId": "one", "customerId": "acme"}


@pytest.fixture(scope="module")
def servers() -> Iterator[Replication]:
    with running_replication() as servers:
        yield servers


@pytest.fixture
async def queue(servers: Replication) -> AsyncIterator[JobQueue]:
    servers.primary.client.flushall()
    config = Config(
        redis_url=servers.primary.url, queue_name="scrape-test", durability="replicas",
        durability_wait_ms=100,
    )  # fmt: skip
    queue = JobQueue(connect(servers.primary.url), config, job_types=POOLS)
    await queue.initialize()
    yield queue
    await queue.shutdown()


@contextlib.contextmanager
def stopped(replica: Member) -> Iterator[None]:
    replica.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        replica.process.send_signal(signal.SIGCONT)


async def test_acknowledged_submit_is_on_the_replica(servers: Replication, queue: JobQueue) -> None:
    assert (await queue.add_job(JOB)).was_new
    key = queue.transitions.keys.job("one")
    assert servers.replicas[0].client.hget(key, "state") == b"waiting"


async def test_submit_without_a_replica_is_unknown_and_can_be_repeated(
    servers: Replication, queue: JobQueue
) -> None:
    with stopped(servers.replicas[0]):
        # A repetition that changes nothing is no proof that the replica has it.
        for _ in range(2):
            with pytest.raises(SubmitUnknownError, match=r"same jobId \(one\).*0 of 1") as caught:
                await queue.add_job(JOB)
            assert caught.value.job_ids == ("one",)
    handle = await queue.add_job(JOB)
    assert not handle.was_new
    assert (await queue.job("one")).state is JobState.WAITING


async def test_health_says_how_durable_it_is_and_when_replicas_are_missing(
    servers: Replication, queue: JobQueue
) -> None:
    facts = await check_server(queue.redis, replicas_wanted=1)
    assert (facts.durability, facts.replicas) == ("none, 1 replica", 1)
    facts = await check_server(queue.redis, replicas_wanted=2)
    assert any("1 of the 2 replicas" in str(problem) for problem in facts.problems)
    servers.primary.client.config_set("timeout", 20)
    facts = await check_server(queue.redis)
    servers.primary.client.config_set("timeout", 0)
    assert any("CONFIG SET timeout 0" in str(problem) for problem in facts.problems)


async def test_commit_is_stored_once_however_often_it_was_not_replicated(
    servers: Replication, queue: JobQueue
) -> None:
    await queue.add_job(JOB)
    request = LeaseRequest("r1", pages=1, slots=1, pools=POOLS)
    [page] = (await queue.transitions.lease_pages("w1", request, 60_000)).pages
    with stopped(servers.replicas[0]):
        for _ in range(2):
            with pytest.raises(NotReplicatedError, match="start replicas"):
                await queue.transitions.commit_pages("w1", "{}", [page_commit(page)])
    assert await queue.transitions.commit_pages("w1", "{}", [page_commit(page)]) == ["lost"]
    assert (await queue.result("one")).pages_scraped == 1


async def test_cluster_node_is_waited_for_on_the_connection_that_wrote() -> None:
    with running_cluster(masters=3, replicas=1) as cluster:
        config = Config(redis_url=cluster.url, queue_name="scrape-test")
        queue = JobQueue(connect(cluster.url), config, job_types=POOLS)
        meta = queue.transitions.keys.key("meta")
        queue.transitions = Transitions(queue.redis, queue.name, ReplicaAcknowledgement(1, 2000))
        await queue.initialize()
        assert (await queue.add_job(JOB)).was_new
        queue.transitions = Transitions(queue.redis, queue.name, ReplicaAcknowledgement(2, 50))
        with pytest.raises(SubmitUnknownError, match="1 of 2"):
            await queue.add_job({**JOB, "jobId": "two"})
        assert int(cluster.master_of(meta).client.hget(meta, "barriers") or 0) >= 2
        await queue.shutdown()
        # Half of its nodes are replicas: `check` asks the one that matters.
        for _ in range(10):
            assert not any(problem.is_fatal for problem in await server_problems(config))
