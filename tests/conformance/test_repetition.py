"""A repeated call has the effect of one, also when the reply to the first one was lost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from scraper.jobs.scripts import script_names
from tests.conformance.scenarios import SCENES, Scene
from tests.conftest import QUEUE
from tests.support.queue_driver import QueueDriver, strict_client
from tests.support.queue_snapshot import QueueProbe
from tests.support.reply_dropper import reply_dropper
from tests.support.server_kinds import ServerAccess

pytestmark = pytest.mark.anyio

CHANGING = re.compile(
    r'\b(1[0-9]{12}|359[0-9]{4}|r[0-9]+)\b|"rate": "[^"]+"|"job\|[0-9a-z]+": "[0-9]+"'
)


def _end_state(probe: QueueProbe) -> dict[str, str]:
    """All keys but for moments, durations, what is left of an hour, and request ids."""
    return {
        name: CHANGING.sub("...", json.dumps(stored.value, sort_keys=True, default=sorted))
        for name, stored in probe.snapshot().all.items()
    }


def test_every_script_has_a_scene() -> None:
    assert sorted(scene.__name__ for scene in SCENES) == script_names()


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_call_repeated_has_the_effect_of_one(
    queue: QueueDriver, probe: QueueProbe, scene: Scene
) -> None:
    call = await scene(queue, probe)
    await call(queue)
    once = _end_state(probe)
    await call(queue)
    assert _end_state(probe) == once


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_call_whose_reply_was_lost_can_be_repeated(
    queue: QueueDriver, probe: QueueProbe, queue_server: ServerAccess, tmp_path: Path, scene: Scene
) -> None:
    call = await scene(queue, probe)
    await call(queue)
    heard = _end_state(probe)
    probe.flush()
    call = await scene(queue, probe)
    async with reply_dropper(queue_server.node_url, tmp_path) as dropper:
        client = strict_client(dropper.url)
        try:
            await client.ping()
            dropper.drop_next()
            with pytest.raises(RedisConnectionError):
                await call(QueueDriver(client, QUEUE))
            assert dropper.replies_dropped == 1
            await call(QueueDriver(client, QUEUE))
        finally:
            await client.aclose()
    assert _end_state(probe) == heard


async def test_lease_repeated_after_a_lost_reply_returns_the_same_pages(
    queue: QueueDriver, probe: QueueProbe
) -> None:
    await queue.start_crawl("crawl", ["http://a.test/b", "http://a.test/c"])
    first = await queue.ask(request_id="same", pages=2)
    again = await queue.ask(request_id="same", pages=2)
    assert [page.token for page in first.pages] == [page.token for page in again.pages]
    assert len(first.pages) == 2


async def test_lease_repeated_later_leaves_out_what_ended_meanwhile(queue: QueueDriver) -> None:
    await queue.start_crawl("crawl", ["http://a.test/b", "http://a.test/c"])
    first = await queue.ask(request_id="same", pages=2)
    await queue.end("w1", first.pages[0])
    again = await queue.ask(request_id="same", pages=2)
    assert [page.token for page in again.pages] == [first.pages[1].token]
