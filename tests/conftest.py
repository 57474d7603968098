"""A real server a session, and an empty queue for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import hypothesis
import pytest

from scraper.jobs.connection import AsyncClient
from tests.support.queue_driver import QueueDriver, strict_client
from tests.support.queue_snapshot import QueueProbe
from tests.support.scheduling import FOLDERS, Together, folder_of
from tests.support.server_kinds import EVERYWHERE, KINDS, ServerAccess, chosen

QUEUE = "scrape-test"

# How fast examples are made says nothing of what they prove; on a busy machine it fails the test.
hypothesis.settings.register_profile(
    "ours", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("ours")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests marked `anyio` run on asyncio."""
    return "asyncio"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of the scripts run on the servers that SERVERS names, else on the embedded one;
    those marked `every_server` on three kinds."""
    if "queue_server" not in metafunc.fixturenames:
        return
    is_everywhere = metafunc.definition.get_closest_marker("every_server") is not None
    kinds = chosen() or (EVERYWHERE if is_everywhere else ("valkey",))
    metafunc.parametrize("queue_server", kinds, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, among each other in the random order that they are in."""
    items.sort(key=lambda item: FOLDERS[folder_of(item.nodeid)])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together | None:
    """What shares a browser or a server stays in one process: it would be started in each."""
    return Together(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(scope="session")
def queue_server(request: pytest.FixtureRequest) -> Iterator[ServerAccess]:
    """A server of this session's own."""
    with KINDS[request.param](QUEUE) as access:
        yield access


@pytest.fixture(scope="session")
def redis_url(queue_server: ServerAccess) -> str:
    """What our code is given as REDIS_URL."""
    return queue_server.url


@pytest.fixture
def probe(queue_server: ServerAccess) -> Iterator[QueueProbe]:
    """Looks into the test's queue, which is empty at first."""
    probe = QueueProbe(queue_server.admin_url, QUEUE)
    probe.flush()
    yield probe
    probe.flush()
    probe.close()


@pytest.fixture
async def redis_client(probe: QueueProbe, redis_url: str) -> AsyncIterator[AsyncClient]:
    """A client that repeats no command."""
    client = strict_client(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def queue(redis_client: AsyncClient) -> QueueDriver:
    """The test's queue, by its transitions."""
    return QueueDriver(redis_client, QUEUE)
